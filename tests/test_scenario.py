from __future__ import annotations

import asyncio

import pytest

from testbed.errors import BadInput, StepMissed
from testbed.protocols import dhcp, dns
from testbed.roles.role import Role
from testbed.scenario import SCENARIOS, SETTLED_S, Scenario, Stage, scenario
from testbed.topology import Topology
from testbed.trace.packets import Arp
from testbed.trace.record import Frame, Record
from tests.conformance.made_up import HNB, LEASED, ROUTER, SEGW, MadeUp
from tests.fake_host import FakeHost, FakeNetwork
from tests.trace.trace_frames import ethernet
from tests.virtual_time import virtual_time


class Started(Role):
    """A role that tells of its power."""

    starts_off = True

    async def start(self) -> None:
        self.host.tell("STARTED")

    def stop(self) -> None:
        self.host.tell("STOPPED")


class FakeWorld:
    """What a stage asks of a world; keeps what was switched."""

    def __init__(self, hosts: dict[str, FakeHost]) -> None:
        self.hosts = hosts
        self.switched: list[tuple[object, ...]] = []

    def power(self, node: str, on: bool) -> None:
        self.switched.append((node, on))

    def set_link(self, node: str, interface: str, up: bool) -> None:
        self.switched.append((node, interface, up))

    async def flush(self) -> None: ...


class Scene:
    """A stage with hnb, gateway and outer_dns on a made-up trace."""

    def __init__(self, step_s: float = 30.0) -> None:
        self.made = MadeUp()
        self.trace = self.made.trace
        net = Topology("a home")
        home, internet = net.link("home", "192.168.1.0/24"), net.link("internet", "203.0.113.0/24")
        net.node("hnb", home.by_dhcp())
        net.node("gateway", home.at(1), internet.at(100))
        net.node("outer_dns", internet.at(53), role="dns_server")
        network = FakeNetwork()
        self.hosts = {name: network.host(node) for name, node in net.nodes.items()}
        self.world = FakeWorld(self.hosts)
        roles = {name: Started(self.hosts[name], node) for name, node in net.nodes.items()}
        self.at = Stage(self.world, net, self.trace, roles, step_s=step_s)  # type: ignore[arg-type]  # fakes

    def query(self, name: str = SEGW) -> int:
        """The HNB asks its gateway, which is as far as that goes."""
        return self.made.query(server=ROUTER, name=name)

    def after(self, seconds: float, act) -> None:
        asyncio.get_running_loop().call_later(seconds, act)

    def tell(self, event: str, **fields) -> Record:
        self.made.now_ns += 1_000_000
        return self.trace.add_event("hnb", event, fields, self.made.now_ns)


@virtual_time
async def test_sees_waits_for_what_is_still_to_come() -> None:
    scene = Scene()
    at = scene.at
    scene.after(3, scene.made.ack)
    record = await at.sees(at.hnb, "<-", at.gateway, dhcp.Ack)

    assert record.message.WORD == "ACK"
    assert at.steps[-1][1] is record
    assert asyncio.get_running_loop().time() == 1003


@virtual_time
async def test_an_acs_s_call_gives_its_answer() -> None:
    scene = Scene(step_s=30)
    call = asyncio.get_running_loop().create_future()
    scene.after(29, lambda: call.set_result("its answer"))

    assert await scene.at.answered(call) == "its answer"


@virtual_time
async def test_an_acs_s_call_that_nobody_answers_is_a_missed_step() -> None:
    scene = Scene(step_s=30)
    call = asyncio.get_running_loop().create_future()

    with pytest.raises(StepMissed, match="an ACS's call has no answer within 30 s"):
        await scene.at.answered(call)


@virtual_time
async def test_sees_takes_what_has_come_since_the_last_step() -> None:
    scene = Scene()
    at = scene.at
    scene.made.ack()
    scene.query()

    assert (await at.sees(at.gateway, "->", at.hnb, dhcp.Ack)).number == 0
    assert (await at.sees(at.hnb, "->", at.gateway, dns.Query)).number == 1


@virtual_time
async def test_sees_passes_over_what_does_not_fit() -> None:
    scene = Scene()
    at = scene.at
    scene.query(name="other.example")
    scene.made.ack()
    scene.query()
    seen = await at.sees(at.hnb, "->", at.gateway, dns.Query, name=SEGW)

    assert seen.number == 2


@virtual_time
async def test_a_record_is_seen_once() -> None:
    scene = Scene()
    at = scene.at
    scene.query()
    await at.sees(at.hnb, "->", at.gateway, dns.Query)
    with pytest.raises(StepMissed):
        await at.sees(at.hnb, "->", at.gateway, dns.Query, within_s=1)


@virtual_time
async def test_steps_that_are_awaited_side_by_side_may_come_in_any_order() -> None:
    scene = Scene()
    at = scene.at
    scene.after(1, scene.made.ack)
    scene.after(2, scene.query)
    query, acknowledged = await asyncio.gather(
        at.sees(at.hnb, "->", at.gateway, dns.Query),  # 2.1
        at.sees(at.hnb, "<-", at.gateway, dhcp.Ack),
    )

    assert (acknowledged.number, query.number) == (0, 1)
    assert at.cursor == 2


@virtual_time
async def test_a_device_that_tells_nothing_has_done_its_part_when_the_wires_are_quiet() -> None:
    scene = Scene()
    scene.at.hnb.role.tells_nothing = True
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for at_s in (2.0, 6.0, 9.0):
        loop.call_at(begun + at_s, lambda: scene.tell("BUSY"))

    latest = await scene.at.tells(scene.at.hnb, "CONNECTED")

    assert loop.time() - begun == pytest.approx(9.0 + SETTLED_S)
    assert latest.number == 2
    assert scene.at.cursor == 0, "a later step may still see what came meanwhile"


@virtual_time
async def test_a_device_that_never_rests_takes_its_step_s_whole_time() -> None:
    scene = Scene(step_s=10.0)
    scene.at.hnb.role.tells_nothing = True
    scene.at.patience = 3.0
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for at_s in range(100):
        loop.call_at(begun + at_s, lambda: scene.tell("BUSY"))

    await scene.at.tells(scene.at.hnb, "CONNECTED")

    assert loop.time() - begun == pytest.approx(30.0)


@virtual_time
async def test_tells_waits_for_an_event_with_its_fields() -> None:
    scene = Scene()
    scene.tell("FAILED", step="1")
    scene.tell("FAILED", step="2", cause="x")

    assert (await scene.at.tells(scene.at.hnb, "FAILED", step="2")).number == 1
    with pytest.raises(StepMissed, match=r"expected   gateway   FAILED"):
        await scene.at.tells(scene.at.gateway, "FAILED", within_s=1)


@virtual_time
async def test_a_missed_step_is_told_with_what_came_in_its_place() -> None:
    scene = Scene()
    at = scene.at
    scene.made.ack()
    await at.sees(at.hnb, "<-", at.gateway, dhcp.Ack)
    scene.query()
    scene.query()
    scene.made.now_ns += 4_997_000_000
    scene.query()
    scene.tell("FAILED", step="2")

    with pytest.raises(StepMissed) as missed:
        await at.sees(at.hnb, "<-", at.outer_dns, dns.Answer, port=53, name=SEGW)  # 2.2

    assert (
        str(missed.value)
        == """\
step 2.2 did not happen within 30 s
  expected   outer_dns -> hnb   dns.Answer   port=53  name=segw.operator.example
  since      hnb -> gateway   DNS A segw.operator.example ?   at 0.001 s, and again at 0.002, 5.0 s
             hnb   FAILED step=2   at 5.001 s"""
    )


@virtual_time
async def test_a_missed_step_on_silent_wires_says_so() -> None:
    at = Scene().at
    with pytest.raises(StepMissed, match="since      nothing was on the wires"):
        await at.sees(at.hnb, "->", at.gateway, dns.Query, within_s=0.5)


@virtual_time
async def test_what_the_machine_lost_is_not_on_a_steps_account() -> None:
    scene = Scene(step_s=7)
    scene.after(2, lambda: scene.trace.lateness.add(scene.made.now_ns, 1.5))
    scene.after(8, lambda: scene.trace.lateness.add(scene.made.now_ns, 0.5))
    scene.after(8.9, scene.made.ack)
    assert (await scene.at.sees(scene.at.hnb, "<-", scene.at.gateway, dhcp.Ack)).number == 0

    with pytest.raises(StepMissed, match="did not happen within 7 s"):
        await scene.at.sees(scene.at.hnb, "->", scene.at.gateway, dns.Query)
    assert asyncio.get_running_loop().time() == pytest.approx(1000 + 8.9 + 7)


@virtual_time
async def test_what_was_on_a_wire_at_a_steps_end_has_come_in_time() -> None:
    scene = Scene(step_s=7)

    async def flush() -> None:
        scene.made.ack()

    scene.world.flush = flush  # type: ignore[method-assign]
    assert (await scene.at.sees(scene.at.hnb, "<-", scene.at.gateway, dhcp.Ack)).number == 0


@virtual_time
async def test_a_step_says_how_long_it_was_waited_for() -> None:
    at = Scene(step_s=7).at
    with pytest.raises(StepMissed, match="did not happen within 7 s"):
        await at.sees(at.hnb, "->", at.gateway, dns.Query)
    with pytest.raises(StepMissed, match=r"did not happen within 0\.5 s"):
        await at.sees(at.hnb, "->", at.gateway, dns.Query, within_s=0.5)

    assert asyncio.get_running_loop().time() == 1007.5


@virtual_time
async def test_a_step_is_named_by_its_comment_by_its_argument_or_by_its_line() -> None:
    at = Scene(step_s=1).at
    names = []
    for step in (
        at.sees(at.hnb, "->", at.gateway, dns.Query),  # 2.1, the HNB's first query
        at.sees(
            at.hnb,
            "->",
            at.gateway,
            dns.Query,
            name="a#b",
        ),  # 2.3
        at.tells(at.hnb, "CONNECTED", step_name="9"),
        at.tells(at.hnb, "CONNECTED", text="#1"),
    ):
        with pytest.raises(StepMissed) as missed:
            await step
        names.append(str(missed.value).split(" did not")[0])

    assert names[:3] == ["step 2.1, the HNB's first query", "step 2.3", "step 9"]
    assert names[3].startswith("step at line ")


async def told_since(names: list[str]) -> list[str]:
    """What a missed step says of so many queries."""
    scene = Scene()
    for name in names:
        scene.query(name=f"{name}.example")
    with pytest.raises(StepMissed) as missed:
        await scene.at.sees(scene.at.hnb, "->", scene.at.gateway, dhcp.Request, within_s=1)
    return str(missed.value).split("\n")[2:]


@virtual_time
async def test_of_much_that_happened_the_begin_and_the_end_are_told() -> None:
    lines = await told_since([f"n{number}" for number in range(20)])
    whole = await told_since([f"n{number}" for number in range(13)])

    names = [line.split("DNS A ")[1].split(".")[0] for line in lines if "DNS A" in line]
    assert names == [f"n{number}" for number in (0, 1, 2, 3, *range(12, 20))]
    assert lines[4].split() == ["...", "8", "more"]
    assert len(whole) == 13


@virtual_time
async def test_who_asks_for_hardware_addresses_hides_nothing_that_happened() -> None:
    scene = Scene()
    asks = Arp(1, HNB, LEASED, "00:00:00:00:00:00", ROUTER)
    frame = ethernet(HNB, "ff:ff:ff:ff:ff:ff", asks.encode(), 0x0806)
    scene.trace.add_frame(Frame(scene.made.now_ns, "home", "hnb", 1, frame))
    scene.query()
    with pytest.raises(StepMissed) as missed:
        await scene.at.sees(scene.at.hnb, "->", scene.at.gateway, dhcp.Request, within_s=1)

    (line,) = str(missed.value).split("\n")[2:]
    assert "DNS A" in line


@virtual_time
async def test_a_callable_condition_is_told_by_its_docstring() -> None:
    def in_pool(address: str) -> bool:
        """an address of the pool"""
        return address.startswith("10.")

    at = Scene().at
    with pytest.raises(StepMissed, match="address=an address of the pool"):
        await at.sees(at.hnb, "<-", at.gateway, dhcp.Ack, address=in_pool, within_s=1)


@virtual_time
async def test_what_must_never_be_is_judged_on_the_drained_trace() -> None:
    scene = Scene()
    at = scene.at
    scene.query()
    at.never(at.hnb, "->", at.gateway, dns.Query, name=SEGW)  # 2
    scene.query(name="other.example")
    assert at.violated() == []

    scene.query()
    scene.query()
    ((wanted, record),) = at.violated()

    assert (wanted.step, record.number) == ("2", 2)
    assert wanted.describe() == f"hnb -> gateway   dns.Query   name={SEGW}"


@virtual_time
async def test_a_direction_that_is_none_is_refused() -> None:
    at = Scene().at
    for direction in ("<->", "", "to"):
        with pytest.raises(BadInput, match="a step's direction is '->' or '<-', not"):
            at.sees(at.hnb, direction, at.gateway, dns.Query)
        with pytest.raises(BadInput, match="a step's direction"):
            at.never(at.hnb, direction, at.gateway, dns.Query)


@virtual_time
async def test_an_attribute_that_no_such_message_has_is_refused_with_the_nearest() -> None:
    scene = Scene()
    scene.made.ack()
    with pytest.raises(BadInput, match=r"no attribute of Ack is called 'adress'.*address"):
        await scene.at.sees(scene.at.hnb, "<-", scene.at.gateway, dhcp.Ack, adress="x")


@virtual_time
async def test_an_unknown_player_is_told_with_those_there_are() -> None:
    at = Scene().at
    with pytest.raises(AttributeError, match="no node 'hms': it has hnb, gateway, outer_dns"):
        _ = at.hms

    assert [player.name for player in at.all("dns_server")] == ["outer_dns"]
    assert at.all("hms") == []


@virtual_time
async def test_power_starts_and_stops_a_role_once() -> None:
    scene = Scene()
    hnb = scene.at.hnb
    hnb.power_on()
    await asyncio.sleep(0)
    with pytest.raises(BadInput, match="hnb has power already"):
        hnb.power_on()
    hnb.power_off()
    with pytest.raises(BadInput, match="hnb has no power"):
        hnb.power_off()

    assert scene.world.switched == [("hnb", True), ("hnb", False)]
    assert scene.hosts["hnb"].told_names() == ["STARTED", "STOPPED"]


@virtual_time
async def test_cables_are_pulled_and_plugged_in() -> None:
    scene = Scene()
    scene.at.gateway.unplug("eth1")
    scene.at.gateway.plug("eth1")
    scene.at.hnb.unplug()

    assert scene.world.switched == [
        ("gateway", "eth1", False),
        ("gateway", "eth1", True),
        ("hnb", "eth0", False),
    ]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Scenario:
    monkeypatch.setattr("testbed.scenario.SCENARIOS", {})

    @scenario(lambda: Topology(), step_s=5, homes=2)
    async def made_up(at: Stage) -> None:
        """A made-up one.

        With more to say.
        """

    @made_up.variant("worse", homes=3)
    async def worse(at: Stage) -> None:
        """It goes worse."""

    return made_up


def test_a_scenario_has_its_functions_name_and_its_variants(made: Scenario) -> None:
    assert (made.name, made.title, made.step_s) == ("made_up", "A made-up one.", 5)
    assert list(made.variants) == ["", "worse"]
    assert made.find("").settings == {"homes": 2}
    assert made.find("worse").settings == {"homes": 3}
    assert made.find("worse").title == "It goes worse."


def test_an_unknown_variant_is_refused_with_the_nearest(made: Scenario) -> None:
    with pytest.raises(BadInput, match=r"no variant of made_up is called 'wors'.*worse"):
        made.find("wors")


def test_two_scenarios_of_one_name_are_refused(made: Scenario) -> None:
    async def made_up(at: Stage) -> None: ...

    with pytest.raises(BadInput, match="two scenarios are called 'made_up'"):
        scenario(lambda: Topology())(made_up)


def test_the_projects_own_scenarios_are_not_the_tests() -> None:
    assert "made_up" not in SCENARIOS
