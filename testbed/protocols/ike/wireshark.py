"""Keys in the forms that Wireshark reads: its tables `ikev2_decryption_table` and `esp_sa`.

Each is a file of that name in Wireshark's profile, and `-o uat:NAME:LINE` on tshark's command line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator

from testbed.errors import BadInput
from testbed.protocols.ike.keys import EspKeys, IkeKeys

IKE_TABLE, ESP_TABLE = "ikev2_decryption_table", "esp_sa"
"""The names of the tables' files."""

PREFERENCES = "esp.enable_encryption_decode: TRUE\nesp.enable_authentication_check: TRUE\n"
"""What else Wireshark is to be told, or it opens no ESP."""

ANYWHERE = "*"
"""An address of the ESP table that every address fits."""

_INTEGRITY: dict[str, tuple[str, str]] = {
    "": ("NONE [RFC4306]", "NULL"),
    "HMAC_MD5_96": ("HMAC_MD5_96 [RFC2403]", "HMAC-MD5-96 [RFC2403]"),
    "HMAC_SHA1_96": ("HMAC_SHA1_96 [RFC2404]", "HMAC-SHA-1-96 [RFC2404]"),
    "HMAC_SHA2_256_128": ("HMAC_SHA2_256_128 [RFC4868]", "HMAC-SHA-256-128 [RFC4868]"),
    "HMAC_SHA2_384_192": ("HMAC_SHA2_384_192 [RFC4868]", "HMAC-SHA-384-192 [RFC4868]"),
    "HMAC_SHA2_512_256": ("HMAC_SHA2_512_256 [RFC4868]", "HMAC-SHA-512-256 [RFC4868]"),
}
"""By our name: that of the IKE table, and that of the ESP table."""

_ESP_CIPHERS: dict[str, str] = {
    "NULL": "NULL",
    "AES_CBC": "AES-CBC [RFC3602]",
    "AES_CTR": "AES-CTR [RFC3686]",
    "AES_GCM_8": "AES-GCM with 8 octet ICV [RFC4106]",
    "AES_GCM_12": "AES-GCM with 12 octet ICV [RFC4106]",
    "AES_GCM_16": "AES-GCM with 16 octet ICV [RFC4106]",
}
_OLD_ESP_CIPHERS = {"AES-GCM [RFC4106]": "AES_GCM_16"}
_IKE_CIPHER = re.compile(
    r"AES-(?P<mode>CBC|CTR|GCM|CCM)-(?P<bits>128|192|256)( with (?P<icv>8|12|16) octet ICV)?"
)
_IKE_RFC = {"CBC": "RFC3602", "CTR": "RFC5930", "GCM": "RFC5282", "CCM": "RFC5282"}
_SALT_OCTETS = {"CTR": 4, "GCM": 4, "CCM": 3}


def ike_line(keys: IkeKeys) -> str | None:
    """A line of Wireshark's `ikev2_decryption_table`; None: Wireshark has not these algorithms."""
    parts = keys.encryption.split("_")
    if parts[0] != "AES" or parts[1] not in _IKE_RFC or keys.integrity not in _INTEGRITY:
        return None
    bits = 8 * (len(keys.sk_ei) - _SALT_OCTETS.get(parts[1], 0))
    cipher = f"AES-{parts[1]}-{bits}"
    if len(parts) == 3:
        cipher += f" with {parts[2]} octet ICV"
    cipher += f" [{_IKE_RFC[parts[1]]}]"
    fields = (
        *(keys.initiator_spi.hex(), keys.responder_spi.hex()),
        *(keys.sk_ei.hex(), keys.sk_er.hex(), f'"{cipher}"'),
        *(keys.sk_ai.hex(), keys.sk_ar.hex(), f'"{_INTEGRITY[keys.integrity][0]}"'),
    )
    return ",".join(fields)


def esp_line(keys: EspKeys) -> str | None:
    """A line of Wireshark's `esp_sa`; None: Wireshark has not these algorithms.

    It is for any address: a NAT between the ends shows each link another one.
    """
    if keys.encryption not in _ESP_CIPHERS or keys.integrity not in _INTEGRITY:
        return None
    is_ipv6 = ":" in keys.destination
    fields = (
        *("IPv6" if is_ipv6 else "IPv4", ANYWHERE, ANYWHERE, f"0x{keys.spi:08x}"),
        *(_ESP_CIPHERS[keys.encryption], _hexadecimal(keys.encryption_key)),
        *(_INTEGRITY[keys.integrity][1], _hexadecimal(keys.integrity_key)),
    )
    return ",".join(f'"{each}"' for each in fields)


def _hexadecimal(key: bytes) -> str:
    return f"0x{key.hex()}" if key else ""


def table(lines: Iterable[str | None]) -> str:
    """A table's file: each line once, those that Wireshark has no form for left out."""
    kept = dict.fromkeys(line for line in lines if line is not None)
    return "".join(f"{line}\n" for line in kept)


def read_tables(text: str, name: str) -> tuple[list[IkeKeys], list[EspKeys]]:
    """The keys of a table's file, of either kind: each line tells by its fields which.

    Args:
        text: of the file.
        name: of the file, for errors.

    Raises:
        BadInput: a line is of neither table.
    """
    ike: list[IkeKeys] = []
    esp: list[EspKeys] = []
    for number, fields in _lines(text):
        try:
            if fields[0].upper() in ("IPV4", "IPV6"):
                esp.append(_esp_keys(fields))
            else:
                ike.append(_ike_keys(fields))
        except (ValueError, IndexError, StopIteration):
            raise BadInput(
                f"{name}: line {number} is no line of Wireshark's tables {IKE_TABLE} or "
                f"{ESP_TABLE} with algorithms that are known here"
            ) from None
    return ike, esp


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            fields = next(csv.reader([line], skipinitialspace=True))
            yield number, [each.strip() for each in fields]


def _ike_keys(fields: list[str]) -> IkeKeys:
    octets = [bytes.fromhex(fields[place]) for place in (0, 1, 2, 3, 5, 6)]
    found = _IKE_CIPHER.match(fields[4])
    if found is None or len(octets[0]) != 8 or len(octets[1]) != 8:
        raise ValueError
    cipher = f"AES_{found['mode']}"
    if found["icv"]:
        cipher += f"_{found['icv']}"
    integrity = next(ours for ours, told in _INTEGRITY.items() if told[0] == fields[7])
    return IkeKeys(octets[0], octets[1], cipher, integrity, *octets[2:])


def _esp_keys(fields: list[str]) -> EspKeys:
    _, source, destination, spi, cipher, key, integrity, integrity_key = fields[:8]
    ciphers = {told: ours for ours, told in _ESP_CIPHERS.items()} | _OLD_ESP_CIPHERS
    if cipher not in ciphers:
        raise ValueError
    check = next(ours for ours, told in _INTEGRITY.items() if told[1] == integrity)
    keys = [bytes.fromhex(each.removeprefix("0x")) for each in (key, integrity_key)]
    return EspKeys(int(spi, 0), source, destination, ciphers[cipher], keys[0], check, keys[1])
