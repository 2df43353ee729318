import re

from trace_frames import MILLISECOND, START_NS

from testbed.trace.ladder import LadderPrinter, draw
from testbed.trace.ladder_svg import draw_svg
from testbed.trace.record import Event


def told(home, *names):
    """One event a millisecond, each of a new port."""
    for number, name in enumerate(names, start=1):
        fields = {"remote": f"203.0.113.50:{40000 + number}"}
        home.trace.add_event("hnb", name, fields, START_NS + number * MILLISECOND)


def names_of(lines):
    found = [re.search(r"\* (\w+)", line) for line in lines]
    return [each[1] for each in found if each and each[1] != "ADDRESS"]


def test_what_repeats_is_drawn_twenty_times_and_once_more_with_the_number(home):
    told(home, *["LOST"] * 50, "DONE")

    lines = draw(home.trace, width=100)

    assert names_of(lines) == ["LOST"] * 20 + ["DONE", "LOST"]
    assert "203.0.113.50:40050" in lines[-2]
    assert lines[-1].split("|")[-1].strip() == "29 more of these before it are not drawn"


def test_what_repeats_in_turns_is_folded_too(home):
    told(home, *["BEGUN", "LOST", "ENDED"] * 50)

    lines = draw(home.trace, width=100)

    assert names_of(lines) == ["BEGUN", "LOST", "ENDED"] * 21


def test_what_comes_now_and_then_is_drawn_each_time(home):
    told(home, *["LOST", "A", "B", "C", "D", "E"] * 30)

    assert names_of(draw(home.trace, width=100)).count("LOST") == 30


def test_everything_is_drawn_where_it_is_asked_for(home):
    told(home, *["LOST"] * 50)

    assert names_of(draw(home.trace, width=100, everything=True)) == ["LOST"] * 50


def test_a_growing_ladder_and_the_whole_one_fold_alike(home):
    printer = LadderPrinter(home.trace, ["hnb"], is_terminal=False)
    lines = []
    home.trace.listeners.append(lambda record: lines.extend(printer.record(record)))

    told(home, *["BEGUN", "LOST"] * 40, "DONE")
    lines += printer.finish()

    assert names_of(lines) == names_of(draw(home.trace, width=100))


def test_a_folded_record_keeps_its_anchor_in_the_picture(home):
    told(home, *["LOST"] * 50)

    drawn = draw_svg(home.trace)

    assert all(drawn.count(f'id="r{record.number}"') == 1 for record in home.trace.records)
    assert drawn.count(">LOST ") < 50


def test_an_event_is_told_in_words_that_can_be_read():
    event = Event("FACTORY", {"roots": ["ab" * 20], "segw": None, "is_strict": True, "at": 1.0})

    assert event.summary() == (
        "FACTORY roots=abababab\N{HORIZONTAL ELLIPSIS} segw=none is_strict=yes at=1"
    )
