"""Association on fake hosts: the gateway's table, GatewayInfo, and what the ACS believes."""

from __future__ import annotations

import asyncio
from typing import Any

from testbed.protocols.association import Identity
from testbed.protocols.cwmp import rpc
from testbed.roles import make_role
from testbed.roles.associations import COUNT, TABLE, AssociationPolicy, listed_in
from testbed.roles.manageable import ProbePolicy
from testbed.topology import Link, Nat, Node
from tests.fake_host import FakeNetwork
from tests.virtual_time import virtual_time

URL = "http://203.0.113.21/acs"
OTHER_URL = "http://203.0.113.22/acs"
PHONE = Identity("00005E", "DEVICE", "Phone")
GATEWAY = Identity("00005E", "GW1", "Gateway")


class Association:
    """`device` and `device2` behind `gateway`; all three are managed by `acs`."""

    def __init__(self, static: bool = False, lease_s: int = 600, **policy: Any) -> None:
        self.network = FakeNetwork()
        home, internet = Link("home", "192.168.1.0/24"), Link("internet", "203.0.113.0/24")
        told = {"url": URL, "associates": True, "associations": AssociationPolicy(**policy)}
        self.acs = self._role(Node("acs", "hms", (internet.at(21),), settings=told))
        box = {"hms_url": URL, "serial_number": "GW1", "lease_s": lease_s}
        box["probes"] = ProbePolicy(interval_s=20, attempts=2, answer_within_s=1)
        ends = (home.at(1), internet.at(100))
        self.gateway = self._role(Node("gateway", "gateway", ends, Nat.MASQUERADE, settings=box))
        for number in (1, 2):
            name = f"device{number if number > 1 else ''}"
            settings = {"hms_url": URL, "product_class": "Phone", "is_known": True}
            place = home.at(49 + number) if static else home.by_dhcp()
            setattr(self, name, self._role(Node(name, "device", (place,), settings=settings)))

    device: Any
    device2: Any

    def _role(self, node: Node) -> Any:
        return make_role(node, self.network.host(node))

    async def settled(self) -> Association:
        """All but the second device have power, and ten seconds."""
        for each in (self.acs, self.gateway, self.device):
            await each.start()
            await asyncio.sleep(5)
        return self

    @property
    def listed(self) -> list[str]:
        """The serial numbers in the gateway's table."""
        tree = self.gateway.tree
        return [tree.value(f"{TABLE}{number}.SerialNumber") for number in tree.rows(TABLE)]

    def told(self, node: str, event: str) -> list[dict[str, Any]]:
        """The fields of each event of that name."""
        return [dict(e.fields) for e in self.network.hosts[node].told if e.name == event]


@virtual_time
async def test_a_leased_device_is_listed_knows_its_gateway_and_is_believed() -> None:
    scene = await Association().settled()

    assert scene.listed == ["DEVICE"]
    assert scene.gateway.tree.value(COUNT) == "1"
    assert scene.device.tree.value("Device.GatewayInfo.SerialNumber") == "GW1"
    assert scene.acs.associations.of == {PHONE: GATEWAY}


@virtual_time
async def test_a_static_device_informs_and_is_listed_until_it_answers_no_more() -> None:
    scene = await Association(static=True).settled()
    assert scene.acs.associations.of == {PHONE: GATEWAY}
    scene.network.hosts["device"].set_carrier("eth0", up=False)
    await asyncio.sleep(30)

    assert scene.listed == []
    assert scene.device.tree.value("Device.GatewayInfo.SerialNumber") == ""


@virtual_time
async def test_without_a_dhcp_server_a_static_device_turns_to_its_acs_and_tells_no_gateway() -> (
    None
):
    scene = Association(static=True)
    scene.device.set_dhcp(attempts=2, first_timeout_s=1.0, keeps_trying=True, pause_s=30.0)
    await scene.acs.start()
    await scene.device.start()
    await asyncio.sleep(10)
    assert list(scene.acs.devices) == ["DEVICE"]
    assert scene.device.tree.value("Device.GatewayInfo.SerialNumber") == ""

    await scene.gateway.start()
    await asyncio.sleep(60)
    assert scene.acs.associations.of == {PHONE: GATEWAY}


@virtual_time
async def test_a_device_that_answers_stays_listed_through_idle_time_and_renewals() -> None:
    scene = await Association(lease_s=100).settled()
    await asyncio.sleep(1000)

    assert scene.gateway.tree.rows(TABLE) == (1,)


@virtual_time
async def test_an_entry_goes_with_the_lease_and_gateway_info_too() -> None:
    scene = await Association().settled()
    scene.device.release()
    await asyncio.sleep(1)

    assert scene.listed == []
    assert scene.device.tree.value("Device.GatewayInfo.ManufacturerOUI") == ""
    assert scene.told("device", "GATEWAY")[-1] == {"identity": None}


@virtual_time
async def test_two_clients_with_one_identity_have_one_entry_until_both_are_gone() -> None:
    scene = Association()
    scene.device2.tell_identity(scene.device.dhcp_policy.vendor_identity)
    await scene.settled()
    await scene.device2.start()
    await asyncio.sleep(5)
    assert scene.listed == ["DEVICE"]
    scene.device.release()
    await asyncio.sleep(1)
    assert scene.listed == ["DEVICE"]
    scene.device2.release()
    await asyncio.sleep(1)
    assert scene.listed == []


@virtual_time
async def test_whom_the_owner_has_not_admitted_is_not_listed_and_not_believed() -> None:
    scene = Association()
    scene.gateway.admit(Identity("00005E", "OWN"))
    await scene.settled()

    assert scene.told("gateway", "NOT_LISTED")[0]["reason"] == "the owner has not admitted it"
    assert [each["kept"] for each in scene.told("acs", "ASSOCIATION_REFUSED")] == [None]
    assert scene.acs.associations.of == {}


@virtual_time
async def test_an_identity_that_no_gateway_has_is_neither_believed_nor_refused() -> None:
    scene = Association()
    scene.gateway.call_itself(Identity("00005E", "GW9"))
    await scene.settled()

    assert scene.acs.associations.of == {}
    assert len(scene.told("acs", "GATEWAY_UNKNOWN")) == 1
    assert scene.told("acs", "ASSOCIATION_REFUSED") == []


@virtual_time
async def test_a_gateway_that_cannot_be_asked_is_a_reason_to_refuse() -> None:
    scene = Association()
    scene.gateway.set_policy(connection_requests=0)
    await scene.settled()

    refused = scene.told("acs", "ASSOCIATION_REFUSED")
    assert [each["cause"] for each in refused] == ["it answers a Connection Request by 503"]


@virtual_time
async def test_without_validation_a_claim_counts_and_is_told_as_such() -> None:
    scene = Association(validates=False)
    scene.gateway.call_itself(Identity("00005E", "GW9"))
    await scene.settled()

    assert [each["validated"] for each in scene.told("acs", "ASSOCIATED")] == [False]


class Coupled(Association):
    """The devices have an ACS of their own, `other`, which shares what it knows with `acs`."""

    def __init__(self, is_coupled: bool = True, **settings: Any) -> None:
        super().__init__(**settings)
        told = {"url": OTHER_URL, "associates": True}
        internet = Link("internet", "203.0.113.0/24")
        self.other = self._role(Node("other", "hms", (internet.at(22),), settings=told))
        for device in (self.device, self.device2):
            device.tree.assign("Device.ManagementServer.URL", OTHER_URL)
            device.cpe.is_known()
        if is_coupled:
            self.other.associations.couple(self.acs.associations)

    async def settled(self) -> Coupled:
        """All but the second device have power, and ten seconds."""
        await self.other.start()
        await super().settled()
        return self


@virtual_time
async def test_a_coupled_acs_associates_by_the_table_that_the_other_one_reads() -> None:
    scene = await Coupled().settled()

    assert [each["validated"] for each in scene.told("other", "ASSOCIATED")] == [True]
    assert scene.told("acs", "TABLE_READ") != []
    assert scene.told("acs", "ASSOCIATED") == []
    assert scene.acs.associations.of == scene.other.associations.of == {PHONE: GATEWAY}


@virtual_time
async def test_acss_that_are_not_coupled_know_nothing_of_each_other() -> None:
    scene = await Coupled(is_coupled=False).settled()

    assert len(scene.told("other", "GATEWAY_UNKNOWN")) == 1
    assert scene.acs.associations.of == scene.other.associations.of == {}


@virtual_time
async def test_a_coupled_acs_refuses_whom_the_other_ones_gateway_does_not_list() -> None:
    scene = Coupled()
    scene.gateway.admit(Identity("00005E", "OWN"))
    await scene.settled()

    (refused,) = scene.told("other", "ASSOCIATION_REFUSED")
    assert refused["cause"] == "its table does not list the device"
    assert scene.told("acs", "ASSOCIATION_REFUSED") == []


@virtual_time
async def test_a_claim_waits_until_the_gateway_comes_to_a_coupled_acs() -> None:
    scene = Coupled(learns_by="notification")
    await scene.other.start()
    await scene.acs.start()
    url = "InternetGatewayDevice.ManagementServer.URL"
    scene.gateway.tree.assign(url, "")
    await scene.gateway.start()
    await scene.device.start()
    await asyncio.sleep(5)
    assert len(scene.told("other", "GATEWAY_UNKNOWN")) == 1
    scene.gateway.tree.assign(url, URL)
    scene.gateway.cpe.happened("1 BOOT")
    await asyncio.sleep(5)

    assert scene.other.associations.of == {PHONE: GATEWAY}


@virtual_time
async def test_a_claim_that_was_replaced_is_not_decided_any_more() -> None:
    scene = await Coupled().settled()
    mine, theirs = scene.other.associations, scene.acs.associations
    mine._claim(PHONE, Identity("00005E", "GW9"))
    first = mine._claims[PHONE]
    theirs._claims[PHONE] = first
    mine._claim(PHONE, Identity("00005E", "GW8"))
    theirs._decided(PHONE, first.gateway, None)

    assert mine.of == {PHONE: GATEWAY}


@virtual_time
async def test_an_acs_that_is_new_to_the_device_is_told_its_gateway_by_bootstrap() -> None:
    scene = await Association().settled()
    device = scene.device
    assert device.inform_names(to_new_acs=False) == ()

    told = {each.rpartition(".")[2]: device.tree.value(each) for each in device.inform_names(True)}
    assert told == {
        "ManufacturerOUI": "00005E",
        "SerialNumber": "GW1",
        "ProductClass": "Gateway",
    }

    device.release()
    await asyncio.sleep(1)
    assert device.inform_names(to_new_acs=True) == ()


@virtual_time
async def test_the_limit_holds_notifications_back_and_tells_the_end() -> None:
    scene = Association(learns_by="notification", limit_s=60)
    await scene.settled()
    start = scene.gateway.cpe.host.now()
    counts: list[tuple[float, str]] = []
    informed = scene.acs.associations._gateway_informed

    def note(who: Identity, device: Any) -> None:
        if device.inform.value(COUNT) is not None:
            counts.append((scene.acs.host.now() - start, device.inform.value(COUNT)))
        informed(who, device)

    scene.acs.associations._gateway_informed = note
    await scene.device2.start()
    await asyncio.sleep(120)

    ((after_s, count),) = counts
    assert count == "2"
    assert after_s > 50


@virtual_time
async def test_a_count_that_comes_back_within_the_window_is_not_told() -> None:
    scene = Association(learns_by="notification", limit_s=60)
    await scene.settled()
    before = scene.acs.sessions_ended
    scene.device2.set_policy(requires_tls=True)  # its ACS is not asked: only the gateway counts
    await scene.device2.start()
    await asyncio.sleep(5)
    scene.device2.release()
    await asyncio.sleep(200)

    assert scene.listed == ["DEVICE"]
    assert scene.acs.sessions_ended == before


def test_a_table_is_read_from_its_parameters() -> None:
    values = {"1.ManufacturerOUI": "00005E", "1.SerialNumber": "7", "3.SerialNumber": "8"}
    told = tuple(rpc.ParameterValue(f"{TABLE}{name}", text) for name, text in values.items())
    other = rpc.ParameterValue(COUNT, "2", "unsignedInt")

    assert listed_in((*told, other)) == {Identity("00005E", "7"), Identity("", "8")}
