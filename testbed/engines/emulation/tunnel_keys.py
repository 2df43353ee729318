"""The keys of IKE and ESP, read off charon's log at its level 4.

charon has no other way to tell them (its plugin save-keys is in no distribution).  Whatever one
thread of it logs belongs together: an algorithm, then the keys, then the SPIs they are for.  A
responder makes its first keys when IKE_AUTH comes, in another thread than it chose algorithms in,
and may end before it tells the SPIs again: those that it has looked up are taken then.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from testbed.engines.emulation.tunnel_log import LogLine
from testbed.protocols.ike.keys import COMBINED, EspKeys, IkeKeys

OnKeys = Callable[[IkeKeys | EspKeys], None]

_SECRET = re.compile(
    r"Sk_(?P<sk>[ea][ir]) secret => \d+ bytes|"
    r"(?P<kind>encryption|integrity) (?P<end>initiator|responder) key => \d+ bytes"
)
_OCTETS = re.compile(r" *\d+: ((?:[0-9A-F]{2} ){1,16})")
_IKE_PROPOSAL = re.compile(r"selected proposal: IKE:(\S+)")
_ESP_PROPOSAL = re.compile(r"selected proposal: ESP:(\S+)")
_SPIS = re.compile(r"checkin IKEv2 SA .* with SPIs ([0-9a-f]{16})_i ([0-9a-f]{16})_r")
_LOOKED_UP = re.compile(r"checkout IKEv2 SA by message with SPIs ([0-9a-f]{16})_i ([0-9a-f]{16})_r")
_NO_SPI = "0" * 16
_DIRECTION = re.compile(r"(?:adding|registering) (inbound|outbound) ESP SA")
_SPI = re.compile(r"  SPI 0x([0-9a-f]{8}), src (\S+) dst (\S+)")
_MESSAGE = re.compile(r"parsed \S+ (request|response) ")
_KEY_LENGTH = re.compile(r"_\d+$")
_CIPHERS = ("AES_CBC", "AES_CTR", "AES_GCM_8", "AES_GCM_12", "AES_GCM_16", "AES_CCM_16", "3DES_CBC")


@dataclass(slots=True)
class _Thread:
    """What a thread of charon's has told so far."""

    ike: str = ""
    esp: str = ""
    asked: bool = False
    """Whether the message under way is a response: this end has begun the exchange."""
    inbound: bool = False
    spis: tuple[str, str] | None = None
    """Of the association whose message is under way."""
    collecting: str = ""
    secrets: dict[str, bytes] = field(default_factory=dict)


class KeyReader:
    """Turns a log into keys.

    Args:
        on_keys: called with each set of keys, once.
    """

    def __init__(self, on_keys: OnKeys) -> None:
        self._on_keys = on_keys
        self._threads: dict[int, _Thread] = {}
        self._known: set[tuple[str, str]] = set()
        self._proposals: dict[int, str] = {}

    def read(self, line: LogLine) -> None:
        """Take the next line."""
        thread = self._threads.setdefault(line.thread, _Thread())
        if thread.collecting:
            if octets := _OCTETS.match(line.text):
                thread.secrets[thread.collecting] += bytes.fromhex(octets[1])
                return
            if thread.collecting == "er" and thread.spis is not None:
                self._ike(thread, line.sa, *thread.spis)
            thread.collecting = ""
        if line.group in ("IKE", "CHD") and (found := _SECRET.match(line.text)):
            thread.collecting = found["sk"] or f"{found['kind']} {found['end']}"
            thread.secrets[thread.collecting] = b""
        elif line.group == "CHD":
            self._child(thread, line.text)
        elif line.group == "CFG":
            if found := _IKE_PROPOSAL.match(line.text):
                thread.ike = self._proposals[line.sa] = found[1]
            elif found := _ESP_PROPOSAL.match(line.text):
                thread.esp = found[1]
        elif line.group == "ENC" and (found := _MESSAGE.match(line.text)):
            thread.asked = found[1] == "response"
        elif line.group == "MGR" and (found := _SPIS.match(line.text)):
            self._ike(thread, line.sa, found[1], found[2])
        elif line.group == "MGR" and (found := _LOOKED_UP.match(line.text)):
            thread.spis = None if found[2] == _NO_SPI else (found[1], found[2])

    def _ike(self, thread: _Thread, sa: int, initiator: str, responder: str) -> None:
        spis = (initiator, responder)
        proposal = self._proposals.get(sa, thread.ike)
        if "er" not in thread.secrets or not proposal or spis in self._known:
            return
        self._known.add(spis)
        self._proposals.pop(sa, None)
        encryption, integrity = _algorithms(proposal)
        secrets = {name: thread.secrets.pop(name, b"") for name in ("ei", "er", "ai", "ar")}
        self._on_keys(
            IkeKeys(
                bytes.fromhex(initiator),
                bytes.fromhex(responder),
                encryption,
                integrity,
                secrets["ei"],
                secrets["er"],
                secrets["ai"],
                secrets["ar"],
            )
        )

    def _child(self, thread: _Thread, text: str) -> None:
        if found := _DIRECTION.match(text):
            thread.inbound = found[1] == "inbound"
        elif (found := _SPI.match(text)) and thread.esp:
            # Keys are the initiator's and the responder's of the exchange that made them.
            ours = "initiator" if thread.asked else "responder"
            theirs = "responder" if thread.asked else "initiator"
            sender = theirs if thread.inbound else ours
            key = thread.secrets.pop(f"encryption {sender}", None)
            if key is None:
                return  # told before; only now does it come into use
            encryption, integrity = _algorithms(thread.esp)
            check = thread.secrets.pop(f"integrity {sender}", b"")
            self._on_keys(
                EspKeys(int(found[1], 16), found[2], found[3], encryption, key, integrity, check)
            )


def _algorithms(proposal: str) -> tuple[str, str]:
    """Cipher and integrity algorithm of a proposal as charon names it:
    "AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/ECP_256"."""
    cipher, *others = proposal.split("/")
    encryption = cipher if cipher in _CIPHERS else _KEY_LENGTH.sub("", cipher)
    if encryption in COMBINED or not others:
        return encryption, ""
    return encryption, others[0]
