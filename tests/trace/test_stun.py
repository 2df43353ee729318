import pytest

from testbed.protocols import stun
from testbed.trace.decoders import Decoders

REQUEST = stun.BindingRequest(bytes(16)).encode()


@pytest.mark.parametrize("ports", [(7547, 3478), (3478, 7547)])
def test_stun_is_read_at_its_own_port(ports):
    decode = Decoders().datagram(*ports)

    assert decode is not None
    assert decode(REQUEST) == stun.decode(REQUEST)


def test_stun_is_read_at_the_ports_that_a_topology_says():
    decoders = Decoders()
    assert decoders.datagram(40000, 3479) is None

    decoders.register_stun(3479)

    assert decoders.datagram(40000, 3479) is not None
