"""How OMA DM proves things: packages by a MAC, clients and servers by MD5 and HMAC (OMA-TS-DM 1.2
security, 5.3; OMA-WAP-TS-ProvBoot 1.1, 5.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from testbed.errors import DecodeError
from testbed.protocols.dm.account import Credentials

HMAC_HEADER = "x-syncml-hmac"
AUTH_MD5 = "syncml:auth-md5"
AUTH_BASIC = "syncml:auth-basic"
AUTH_MAC = "syncml:auth-MAC"

USERPIN = 1
"""SEC: the key is a PIN that the user was told."""

_PARAMETER = re.compile(r';\s*([A-Za-z0-9-]+)\s*=\s*("[^"]*"|[^;\s]*)')


@dataclass(frozen=True, slots=True)
class Security:
    """The security parameters of a package's media type.

    Attributes:
        method: SEC: 0 NETWPIN, 1 USERPIN, 2 USERNETWPIN, 3 USERPINMAC.
        mac: of the document, 40 hexadecimal digits.
    """

    method: int
    mac: str


def package_mac(key: bytes, body: bytes) -> str:
    """The MAC of a bootstrap document: HMAC-SHA-1, upper case hexadecimal digits."""
    return hmac.new(key, body, hashlib.sha1).hexdigest().upper()


def secured(media_type: str, key: bytes, body: bytes) -> str:
    """The Content-Type of a package that is secured by a PIN."""
    return f"{media_type}; sec={USERPIN}; mac={package_mac(key, body)}"


def read_content_type(value: str) -> tuple[str, Security | None]:
    """Media type, and security parameters; None: it has none.

    Raises:
        DecodeError: SEC is no number.
    """
    media_type = value.partition(";")[0].strip().lower()
    told = {key.lower(): text.strip('"') for key, text in _PARAMETER.findall(value)}
    if "mac" not in told and "sec" not in told:
        return media_type, None
    if not told.get("sec", "").isascii() or not told.get("sec", "").isdecimal():
        raise DecodeError(f"bootstrap package: SEC is {told.get('sec')!r}, not a number")
    return media_type, Security(int(told["sec"]), told.get("mac", ""))


def is_authentic(security: Security, key: bytes, body: bytes) -> bool:
    """Whether that MAC is the document's; compared in constant time, letters of either case."""
    return hmac.compare_digest(security.mac.upper().encode(), package_mac(key, body).encode())


def _base64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def _md5(octets: bytes) -> bytes:
    return hashlib.md5(octets, usedforsecurity=False).digest()


def nonce_octets(nonce: str) -> bytes:
    """A nonce as it goes into a digest.

    Raises:
        DecodeError: it is not base 64.
    """
    try:
        return base64.b64decode(nonce, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DecodeError(f"DM nonce {nonce!r} is not base 64") from error


def digest(credentials: Credentials, nonce: str) -> str:
    """syncml:auth-md5: base 64 of MD5(B64(MD5(name:secret)):nonce)."""
    known = _base64(_md5(f"{credentials.name}:{credentials.secret}".encode()))
    return _base64(_md5(known + b":" + nonce_octets(nonce))).decode()


def basic(credentials: Credentials) -> str:
    """syncml:auth-basic: base 64 of name:secret."""
    return _base64(f"{credentials.name}:{credentials.secret}".encode()).decode()


def message_mac(credentials: Credentials, nonce: str, body: bytes) -> str:
    """syncml:auth-MAC: base 64 of MD5(B64(MD5(name:secret)):nonce:B64(MD5(body)))."""
    known = _base64(_md5(f"{credentials.name}:{credentials.secret}".encode()))
    parts = (known, nonce_octets(nonce), _base64(_md5(body)))
    return _base64(_md5(b":".join(parts))).decode()


def hmac_header(credentials: Credentials, nonce: str, body: bytes) -> str:
    """The value of `x-syncml-hmac` for a message."""
    mac = message_mac(credentials, nonce, body)
    return f'algorithm=MD5, username="{credentials.name}", mac={mac}'


def read_hmac_header(value: str) -> tuple[str, str]:
    """Name and MAC of an `x-syncml-hmac` header; the algorithm is MD5 where none is named.

    Raises:
        DecodeError: no name, no MAC, or another algorithm.
    """
    told = {
        key.lower(): text.strip('"')
        for key, text in re.findall(r'([A-Za-z]+)\s*=\s*("[^"]*"|[^,\s]*)', value)
    }
    if told.get("algorithm", "MD5").upper() != "MD5":
        raise DecodeError(f"{HMAC_HEADER}: algorithm {told['algorithm']!r}; MD5 is the only one")
    if "username" not in told or not told.get("mac"):
        raise DecodeError(f"{HMAC_HEADER}: {value!r} has no username or no mac")
    return told["username"], told["mac"]


def new_nonce(octets: bytes) -> str:
    """A nonce as messages carry it."""
    return _base64(octets).decode()
