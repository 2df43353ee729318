import pytest
from trace_frames import START_NS, Home, words

from testbed.errors import BadInput
from testbed.trace.folder import EVENTS, RunWriter, event_line, load, read_events
from testbed.trace.ladder import draw


@pytest.fixture
def run(home, tmp_path):
    writer = RunWriter(tmp_path, home.trace, {"scenario": "lan_connectivity", "seed": 7})
    home.out(b"hello")
    home.out(b"lost", first=0)
    home.out(b"twice", first=2)
    home.connect()
    home.segment(True, 1001, 24, b"\0\3one\0\3two", 5001)
    home.trace.add_event("hnb", "FAILED", {"step": "2.3", "cause": None}, START_NS + 99 * 10**6)
    return writer


def told(trace):
    return [
        (each.number, each.time_ns, each.link, each.sender, each.receiver, each.payload)
        for each in trace
        if not each.is_event
    ]


def test_a_folder_gives_the_same_trace_again(home, run, tmp_path):
    run.close()

    trace = load(tmp_path, words())

    assert told(trace) == told(home.trace)
    assert [each.delivered for each in trace.arrows if not each.first.is_event] == [
        each.delivered for each in home.trace.arrows if not each.first.is_event
    ]
    assert [path(each) for each in trace.arrows] == [path(each) for each in home.trace.arrows]


def path(arrow):
    return [(hop.sender, hop.receiver, hop.message) for hop in arrow.hops]


def test_a_loaded_trace_draws_the_same_ladder(home, run, tmp_path):
    run.close()

    assert draw(load(tmp_path, words())) == draw(home.trace)


def test_a_killed_run_still_has_its_frames_and_events(home, run, tmp_path):
    assert sorted(each.name for each in tmp_path.iterdir()) == ["events.jsonl", "packets.log"]

    trace = load(tmp_path, words())

    assert told(trace) == told(home.trace)
    assert [each.message.name for each in trace if each.is_event] == ["ADDRESS", "FAILED"]
    run.close()


def test_a_finished_run_leaves_capture_and_events(run, tmp_path):
    run.close()

    assert sorted(each.name for each in tmp_path.iterdir()) == ["events.jsonl", "trace.pcapng"]


def test_a_frame_of_several_messages_is_one_packet(home, run, tmp_path):
    run.close()

    assert len(load(tmp_path, words()).records) < len(home.trace.records) + 1
    assert (tmp_path / "trace.pcapng").read_bytes().count(b"\0\3one\0\3two") == 2


def test_events_are_lines_of_json():
    line = event_line(5, "hnb", "FAILED", {"step": "2.3", "cause": OSError("no route")})

    assert line == (
        '{"time_ns": 5, "node": "hnb", "event": "FAILED", '
        '"fields": {"step": "2.3", "cause": "no route"}}\n'
    )


def test_events_are_read_as_they_were_written():
    text = event_line(5, "hnb", "A", {}) + event_line(6, "segw", "B", {"n": 1})

    assert [tuple(each) for each in read_events(text)] == [
        (5, "hnb", "A", {}, None),
        (6, "segw", "B", {"n": 1}, None),
    ]


def test_a_last_line_that_was_cut_off_is_left_out():
    text = event_line(5, "hnb", "A", {}) + event_line(6, "hnb", "B", {})[:-9]

    assert [each.event for each in read_events(text)] == ["A"]


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"time_ns": 1}'])
def test_a_damaged_line_in_the_middle_is_bad_input(line):
    text = line + "\n" + event_line(6, "hnb", "B", {})

    with pytest.raises(BadInput, match=r"events.jsonl: line 1 is no event"):
        list(read_events(text))


def test_places_that_say_nothing_are_bad_input(run, tmp_path):
    run.close()
    (tmp_path / EVENTS).write_text(event_line(0, "", "PLACES", {"places": 5}))

    with pytest.raises(BadInput, match="does not say who is where"):
        load(tmp_path)


def test_a_folder_without_capture_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match=r"trace.pcapng: cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["trace.pcapng", "events.jsonl", "keys/esp_sa"])
def test_a_file_that_cannot_be_read_is_told_by_its_name(tmp_path, name):
    home = Home()
    writer = RunWriter(tmp_path, home.trace)
    home.out(first=0)
    writer.close()
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).mkdir(parents=True)  # root may read every file, and no folder

    with pytest.raises(BadInput, match=rf"{name}:? cannot be read: Is a directory"):
        load(tmp_path)


def test_without_the_receivers_copies_a_loaded_trace_does_not_guess(tmp_path):
    home = Home(arrivals=False)
    writer = RunWriter(tmp_path, home.trace)
    home.out(first=0)
    writer.close()

    assert [each.delivered for each in load(tmp_path, words()).arrows] == [None, None]


def test_an_event_that_was_told_late_keeps_its_number(home, tmp_path):
    writer = RunWriter(tmp_path, home.trace)
    home.out(b"hello")
    home.trace.add_event("hnb", "EARLIER", {}, START_NS)
    home.out(b"again")
    writer.close()

    events = [(each.number, each.message.name) for each in load(tmp_path, words()) if each.is_event]

    assert events == [(0, "ADDRESS"), (3, "EARLIER")]
