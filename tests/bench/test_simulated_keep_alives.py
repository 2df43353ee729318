from __future__ import annotations

from bench.simulated_keep_alives import PERIOD_S, Watch, measure
from testbed.protocols import stun
from testbed.trace.record import Record


def test_no_keep_alive_of_a_street_is_lost() -> None:
    homes, virtual_s = 25, 300.0

    count = measure(homes, virtual_s)

    assert (count.unanswered, count.copies, count.gave_up) == (0, 0, 0)
    assert count.fewest >= virtual_s / PERIOD_S
    assert count.requests >= homes * count.fewest


def test_a_request_without_an_answer_is_counted() -> None:
    watch = Watch(1)
    request, other = (stun.BindingRequest(bytes(15) + bytes([number])) for number in (1, 2))
    response = stun.BindingResponse(request.transaction_id)

    for number, message in enumerate((request, other, other, response)):
        watch(Record(number, 0, "home", "device", None, "udp", message=message))

    assert watch.count.requests == 2
    assert watch.count.copies == 1
    assert watch.waiting == {other.transaction_id}
