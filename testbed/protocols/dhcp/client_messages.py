"""What a DHCP client writes into its messages, and why it would not use an answer."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.protocols.dhcp.client_policy import ClientPolicy
from testbed.protocols.dhcp.kinds import Decline, Release
from testbed.protocols.dhcp.message import Message
from testbed.protocols.dhcp.options import Code, Option, addresses, seconds, text
from testbed.protocols.dhcp.readings import BROADCAST_FLAG, NO_ADDRESS


def compose(
    kind: type[Message],
    policy: ClientPolicy,
    options: Sequence[Option],
    *,
    hardware_address: str,
    transaction: int,
    secs: int,
    held: str | None = None,
) -> Message:
    """A client's message.

    Args:
        kind: `Discover`, `Request`, ...
        policy: what the client says of itself.
        options: what this message says.
        hardware_address: the client's.
        transaction: xid.
        secs: since the client began.
        held: ciaddr, the address that the client can be reached at; None: none.
    """
    all_options = list(options)
    if policy.client_identifier is not None:
        # RFC 2131 section 4.2: a client that uses one MUST use it in all messages.
        all_options.insert(0, Option(Code.CLIENT_IDENTIFIER, policy.client_identifier))
    if kind not in (Release, Decline):
        all_options += _of_itself(policy)
    return kind.build(
        hardware_address=hardware_address,
        options=all_options,
        xid=transaction,
        secs=secs,
        flags=BROADCAST_FLAG if policy.broadcast and held is None else 0,
        ciaddr=held or NO_ADDRESS,
    )


def _of_itself(policy: ClientPolicy) -> list[Option]:
    options = []
    if policy.maximum_message_size is not None:
        size = policy.maximum_message_size.to_bytes(2)
        options.append(Option(Code.MAXIMUM_MESSAGE_SIZE, size))
    if policy.host_name is not None:
        options.append(text(Code.HOST_NAME, policy.host_name))
    if policy.vendor_class is not None:
        options.append(Option(Code.VENDOR_CLASS, policy.vendor_class))
    if policy.parameter_request_list:
        listed = bytes(policy.parameter_request_list)
        options.append(Option(Code.PARAMETER_REQUEST_LIST, listed))
    if policy.vendor_identity is not None:
        options.append(Option(Code.VENDOR_IDENTITY, policy.vendor_identity))
    return [*options, *policy.options]


def wanting(policy: ClientPolicy, address: str | None) -> list[Option]:
    """The options that ask for an address and for a lease time, where they are wanted."""
    options = []
    if address is not None:
        options.append(addresses(Code.REQUESTED_ADDRESS, address))
    if policy.wanted_lease_s is not None:
        options.append(seconds(Code.LEASE_TIME, policy.wanted_lease_s))
    return options


def why_not(policy: ClientPolicy, answer: Message) -> str | None:
    """Why an OFFER or ACK gives no lease that the client can use; None: it does."""
    lease_s = answer.lease_s
    if answer.address is None:
        return "names no address (yiaddr is 0.0.0.0)"
    if lease_s is None:
        return "names no lease time (option 51)"
    if lease_s < policy.minimum_lease_s:
        return f"leases for {lease_s} s, {policy.minimum_lease_s} s are wanted"
    return None


def why_not_offer(policy: ClientPolicy, offer: Message) -> str | None:
    """Why the client does not take an OFFER; None: it may."""
    reason = why_not(policy, offer)
    wanted = policy.domain_wanted
    if reason is None and offer.server_identifier is None:
        return "names no server (option 54)"
    if reason is None and wanted is not None and offer.domain_name != wanted:
        return f"is of domain {offer.domain_name!r}, {wanted!r} is wanted"
    return reason
