from __future__ import annotations

import asyncio
from dataclasses import replace

from testbed.protocols import dhcp
from testbed.protocols.wire import BROADCAST, Endpoint
from tests.roles.home_scene import SEGW, HomeScene, told
from tests.virtual_time import virtual_time

CONNECTED = {
    "address": "192.168.1.100",
    "router": "192.168.1.1",
    "dns_servers": ["203.0.113.53"],
    "lease_s": 600,
}


async def connected(**gateway: object) -> HomeScene:
    home = await HomeScene(**gateway).start()
    await home.hnb.start()
    await asyncio.sleep(5)
    return home


@virtual_time
async def test_a_lease_gives_address_route_and_the_first_name() -> None:
    home = await connected()

    assert home.dhcp_words() == ["DISCOVER", "OFFER", "REQUEST", "ACK"]
    assert told(home.hnb_host, "CONNECTED") == [CONNECTED]
    assert home.hnb_host.addresses == {"eth0": ("192.168.1.100", 24)}
    assert home.hnb_host.default_route == "192.168.1.1"
    assert told(home.hnb_host, "RESOLVED") == [{"name": SEGW, "addresses": ["203.0.113.50"]}]


@virtual_time
async def test_nothing_is_asked_before_there_is_a_lease() -> None:
    home = HomeScene()
    await home.outer_dns.start()
    await home.hnb.start()
    await asyncio.sleep(60)

    assert home.queries() == []
    assert told(home.hnb_host, "FAILED") == [{"step": "1", "cause": "no DHCP offer to 5 attempts"}]
    assert home.hnb_host.addresses == {}


@virtual_time
async def test_a_renewed_lease_keeps_address_and_contact() -> None:
    home = await connected()
    await asyncio.sleep(300)

    assert home.dhcp_words()[4:] == ["REQUEST", "ACK"]
    assert told(home.hnb_host, "RENEWED") == [CONNECTED]
    assert len(told(home.hnb_host, "RESOLVED")) == 1


@virtual_time
async def test_a_renewal_that_brings_another_router_changes_the_route() -> None:
    home = await connected()
    home.gateway.set_dhcp(routers=("192.168.1.9",))
    await asyncio.sleep(300)

    assert home.hnb_host.default_route == "192.168.1.9"


@virtual_time
async def test_a_lease_that_runs_out_takes_address_and_route_with_it() -> None:
    home = await connected()
    home.gateway.set_dhcp(silent=True)
    await asyncio.sleep(599)

    assert home.hnb_host.addresses == {}
    assert home.hnb_host.default_route is None
    assert told(home.hnb_host, "EXPIRED") == [{"address": "192.168.1.100"}]
    assert told(home.hnb_host, "DISCONNECTED") == [{"cause": "expired"}]


@virtual_time
async def test_a_nak_to_a_renewal_takes_the_address_and_begins_anew() -> None:
    home = await connected()
    home.gateway.set_dhcp(nak_requests=1)
    await asyncio.sleep(310)

    assert home.dhcp_words()[4:] == ["REQUEST", "NAK", "DISCOVER", "OFFER", "REQUEST", "ACK"]
    assert told(home.hnb_host, "REFUSED") == [{"by": "192.168.1.1"}]
    assert told(home.hnb_host, "DISCONNECTED") == [{"cause": "refused"}]
    assert len(told(home.hnb_host, "CONNECTED")) == 2
    assert len(told(home.hnb_host, "RESOLVED")) == 2


@virtual_time
async def test_another_address_after_a_restart_takes_the_place_of_the_first() -> None:
    home = await connected()
    home.hnb_host.set_carrier("eth0", False)
    mac = home.hnb_host.interfaces["eth0"].hardware_address
    home.gateway.stop()
    home.gateway.set_dhcp(reservations={mac: "192.168.1.150"})
    await home.gateway.start()
    home.hnb_host.set_carrier("eth0", True)
    await asyncio.sleep(10)

    assert home.hnb_host.addresses == {"eth0": ("192.168.1.150", 24)}
    assert told(home.hnb_host, "CONNECTED")[-1]["address"] == "192.168.1.150"


@virtual_time
async def test_a_plugged_cable_makes_the_client_verify_its_address() -> None:
    home = await connected()
    home.hnb_host.set_carrier("eth0", False)
    home.hnb_host.set_carrier("eth0", True)
    await asyncio.sleep(1)

    assert home.dhcp_words()[4:] == ["REQUEST", "ACK"]
    assert [each["up"] for each in told(home.hnb_host, "LINK")] == [False, True]


@virtual_time
async def test_a_cable_that_is_plugged_in_after_power_on_starts_the_client() -> None:
    home = await HomeScene().start()
    home.hnb_host.set_carrier("eth0", False)
    await home.hnb.start()
    await asyncio.sleep(60)
    assert home.dhcp_words() == []

    home.hnb_host.set_carrier("eth0", True)
    await asyncio.sleep(5)

    assert told(home.hnb_host, "CONNECTED") == [CONNECTED]


@virtual_time
async def test_a_power_cut_is_not_told_on_the_wire() -> None:
    home = await connected()
    before = len(home.network.sent)
    home.hnb.stop()
    home.hnb_host.power_off()
    await asyncio.sleep(1000)

    assert len(home.network.sent) == before
    assert home.hnb.lan.lease is None


@virtual_time
async def test_an_address_that_somebody_answers_for_is_declined_and_another_one_is_taken() -> None:
    home = await HomeScene().start()
    await home.device.start()
    await asyncio.sleep(5)
    await home.gateway_restarts()
    home.hnb.set_dhcp(check_address_s=0.5)
    await home.hnb.start()
    await asyncio.sleep(20)

    assert [each["address"] for each in told(home.hnb_host, "DECLINED")] == ["192.168.1.100"]
    assert home.dhcp_words()[8] == "DECLINE"
    assert home.hnb_host.addresses == {"eth0": ("192.168.1.101", 24)}
    assert len(told(home.hnb_host, "CONNECTED")) == 1


@virtual_time
async def test_an_address_that_nobody_answers_for_is_taken_and_kept() -> None:
    home = await HomeScene().start()
    home.hnb.set_dhcp(check_address_s=0.5)
    await home.hnb.start()
    await asyncio.sleep(400)

    assert home.dhcp_words() == ["DISCOVER", "OFFER", "REQUEST", "ACK", "REQUEST", "ACK"]
    assert home.hnb_host.addresses == {"eth0": ("192.168.1.100", 24)}


@virtual_time
async def test_power_that_goes_during_the_check_leaves_nothing_behind() -> None:
    home = await HomeScene().start()
    home.hnb.set_dhcp(check_address_s=5.0)
    await home.hnb.start()
    await asyncio.sleep(1)
    home.hnb.stop()
    await asyncio.sleep(20)

    assert home.dhcp_words() == ["DISCOVER", "OFFER", "REQUEST", "ACK"]
    assert home.hnb_host.addresses == {}


@virtual_time
async def test_an_address_that_is_given_back_is_gone() -> None:
    home = await connected()
    home.hnb.release()
    await asyncio.sleep(1)

    assert home.dhcp_words()[-1] == "RELEASE"
    assert home.hnb_host.addresses == {}
    assert told(home.hnb_host, "DISCONNECTED") == [{"cause": "released"}]


@virtual_time
async def test_a_server_that_offers_and_gives_nothing_is_told() -> None:
    home = HomeScene()
    home.gateway.set_dhcp(withholds_ack=True)
    await home.start()
    home.hnb.set_dhcp(request_attempts=2)
    await home.hnb.start()
    await asyncio.sleep(4)

    assert told(home.hnb_host, "NO_ANSWER")[0] == {"state": "REQUESTING", "attempts": 2}
    assert home.hnb_host.addresses == {}


@virtual_time
async def test_an_offer_that_is_passed_over_is_told_with_its_reason() -> None:
    home = await HomeScene(lease_s=5).start()
    home.hnb.set_dhcp(minimum_lease_s=60)
    await home.hnb.start()
    await asyncio.sleep(1)

    assert "5" in told(home.hnb_host, "PASSED_OVER")[0]["reason"]


@virtual_time
async def test_garbage_is_told_and_the_lease_comes_all_the_same() -> None:
    home = await HomeScene().start()
    await home.hnb.start()
    home.network.inject(b"\xff", Endpoint("192.168.1.66", 67), Endpoint(BROADCAST, 68))
    for host in (home.hnb_host, home.gateway.host):
        for port in list(host.ports):
            port.handler(b"\x00\x01", Endpoint("192.168.1.66", 9))
    await asyncio.sleep(5)

    assert told(home.hnb_host, "MALFORMED")[0]["source"] == "192.168.1.66:9"
    assert told(home.gateway.host, "MALFORMED")[0]["source"] == "192.168.1.66:9"
    assert told(home.hnb_host, "CONNECTED") == [CONNECTED]


@virtual_time
async def test_a_name_that_cannot_be_resolved_fails_at_step_2() -> None:
    home = HomeScene()
    await home.gateway.start()
    home.hnb.set_resolver(timeout_s=1.0, attempts=2)
    await home.hnb.start()
    await asyncio.sleep(30)

    (failed,) = told(home.hnb_host, "FAILED")
    assert failed["step"] == "2"
    assert failed["cause"].startswith(f"{SEGW}: TIMEOUT, ")
    assert set(home.queries()) == {Endpoint("203.0.113.53", 53)}


@virtual_time
async def test_a_device_without_a_name_to_resolve_is_content_with_its_address() -> None:
    home = await HomeScene().start()
    await home.device.start()
    await asyncio.sleep(10)

    assert home.device_host.told_names() == ["CONNECTED"]


@virtual_time
async def test_a_fault_on_the_message_changes_what_goes_out() -> None:
    home = await HomeScene().start()
    home.hnb.mend_of("dhcp").message.append(
        lambda message, _to: [replace(message, xid=7)] if isinstance(message, dhcp.Discover) else []
    )
    await home.hnb.start()
    await asyncio.sleep(1)

    first = dhcp.decode(home.network.sent[0].data)
    assert first.xid == 7
