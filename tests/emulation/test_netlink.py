"""What the kernel does to our requests, and how it refuses them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netlink import Netlink, NetlinkError
from tests.emulation.inside import in_lab

emulation = pytest.mark.emulation


@contextmanager
def wire() -> Iterator[Netlink]:
    """A namespace with eth0, whose far end is in another one."""
    near, far = Namespace.create("near"), Namespace.create("far")
    netlink = Netlink(near)
    netlink.add_veth("eth0", "eth0", far, "02:00:00:00:00:01", "02:00:00:00:00:02", up=True)
    other = Netlink(far)
    other.set_up("eth0")
    try:
        yield netlink
    finally:
        for each in (netlink, other, near, far):
            each.close()


@emulation
@in_lab
def test_set_address_replaces_and_leaves_the_same_one_alone() -> None:
    with wire() as netlink:
        netlink.set_address("eth0", "10.0.0.1", 24)
        netlink.set_default_route("10.0.0.9")
        netlink.set_address("eth0", "10.0.0.1", 24)

        assert [router for router, _ in netlink.default_routes()] == ["10.0.0.9"]

        netlink.set_address("eth0", "10.0.0.2", 24)

        assert netlink.addresses("eth0") == [("10.0.0.2", 24)]
        assert netlink.default_routes() == []

        netlink.add_address("eth0", "10.0.0.3", 24)
        netlink.flush_addresses("eth0")

        assert netlink.addresses("eth0") == []


@emulation
@in_lab
def test_default_route_is_replaced_and_removed() -> None:
    with wire() as netlink:
        netlink.set_address("eth0", "10.0.0.1", 24)
        netlink.set_default_route("10.0.0.9")
        netlink.set_default_route("10.0.0.8")

        assert [router for router, _ in netlink.default_routes()] == ["10.0.0.8"]

        netlink.set_default_route(None)
        netlink.set_default_route(None)

        assert netlink.default_routes() == []


@emulation
@in_lab
def test_refusal_tells_whose_what_and_why() -> None:
    with wire() as netlink:
        with pytest.raises(NetlinkError, match=r"near: cannot set eth9 up: .*ENODEV") as caught:
            netlink.set_up("eth9")
        assert caught.value.errno == errno.ENODEV
        with pytest.raises(NetlinkError, match=r"route to 192.0.2.1: .*ENETUNREACH"):
            netlink.set_default_route("192.0.2.1")
        with pytest.raises(NetlinkError, match=r"find interface eth9: .*ENODEV"):
            netlink.set_address("eth9", "10.0.0.1", 24)


def several(netlink: Netlink) -> None:
    with netlink.batch():
        netlink.add_bridge("b0")
        netlink.set_up("nothing")
        netlink.enslave("eth0", "b0")  # asks for the bridge's number within the batch
        netlink.set_up("neither")


@emulation
@in_lab
def test_batch_does_the_rest_and_raises_the_first_refusal() -> None:
    with wire() as netlink:
        with pytest.raises(NetlinkError, match="set nothing up"):
            several(netlink)

        assert netlink.link("eth0").master == netlink.index("b0")


@emulation
@in_lab
def test_more_requests_than_fit_one_send_are_all_done_and_all_refusals_fit() -> None:
    with wire() as netlink:
        with netlink.batch():
            for number in range(1, 251):
                netlink.add_address("eth0", f"10.0.{number}.1", 24)

        assert len(netlink.addresses("eth0")) == 250
        with pytest.raises(NetlinkError, match="set x0 up"):
            set_up_many(netlink)


def set_up_many(netlink: Netlink) -> None:
    with netlink.batch():
        for number in range(250):
            netlink.set_up(f"x{number}")
