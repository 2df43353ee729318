"""The algorithms of IKE and ESP, by IANA's names (RFC 7296, 3.3.2; RFC 5282; RFC 4106; RFC 7634).

Only what opening and sealing one packet needs; which algorithm is meant is told by the caller.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.cmac import CMAC

from testbed.errors import DecodeError


class CannotOpen(DecodeError):
    """What is encrypted cannot be opened: the keys are of another association, or it is damaged."""


@dataclass(frozen=True, slots=True)
class CipherForm:
    """The measures of a cipher.

    Attributes:
        iv_octets: of the initialization vector before the ciphertext.
        block_octets: what the plaintext is padded to.
        salt_octets: at the end of the key.
        tag_octets: of its own integrity check value; 0: an integrity algorithm stands beside it.
    """

    iv_octets: int
    block_octets: int = 1
    salt_octets: int = 0
    tag_octets: int = 0


CIPHERS: dict[str, CipherForm] = {
    "NULL": CipherForm(0),
    "AES_CBC": CipherForm(16, 16),
    "AES_CTR": CipherForm(8, salt_octets=4),
    "AES_GCM_8": CipherForm(8, salt_octets=4, tag_octets=8),
    "AES_GCM_12": CipherForm(8, salt_octets=4, tag_octets=12),
    "AES_GCM_16": CipherForm(8, salt_octets=4, tag_octets=16),
    "AES_CCM_8": CipherForm(8, salt_octets=3, tag_octets=8),
    "AES_CCM_12": CipherForm(8, salt_octets=3, tag_octets=12),
    "AES_CCM_16": CipherForm(8, salt_octets=3, tag_octets=16),
    "CHACHA20_POLY1305": CipherForm(8, salt_octets=4, tag_octets=16),
}
"""The ciphers that can be opened."""

_HASHES: dict[str, tuple[str, int]] = {
    "HMAC_MD5_96": ("md5", 12),
    "HMAC_SHA1_96": ("sha1", 12),
    "HMAC_SHA2_256_128": ("sha256", 16),
    "HMAC_SHA2_384_192": ("sha384", 24),
    "HMAC_SHA2_512_256": ("sha512", 32),
}
CHECK_OCTETS: dict[str, int] = {
    **{name: octets for name, (_, octets) in _HASHES.items()},
    "AES_CMAC_96": 12,
    "": 0,
    "NONE": 0,
}
"""The integrity algorithms that can be checked, with the octets of their values."""

PRFS: dict[str, str] = {
    "HMAC_MD5": "md5",
    "HMAC_SHA1": "sha1",
    "HMAC_SHA2_256": "sha256",
    "HMAC_SHA2_384": "sha384",
    "HMAC_SHA2_512": "sha512",
}
"""Pseudo-random functions, by the hash that each is made of."""


def form_of(cipher: str) -> CipherForm:
    """The measures of a cipher.

    Raises:
        CannotOpen: it is not known here.
    """
    if cipher not in CIPHERS:
        raise CannotOpen(f"cipher {cipher!r} is not known ({', '.join(CIPHERS)})")
    return CIPHERS[cipher]


def check_octets(integrity: str) -> int:
    """How many octets an integrity algorithm's value has.

    Raises:
        CannotOpen: it is not known here.
    """
    if integrity not in CHECK_OCTETS:
        known = ", ".join(name for name in CHECK_OCTETS if name)
        raise CannotOpen(f"integrity algorithm {integrity!r} is not known ({known})")
    return CHECK_OCTETS[integrity]


def check_value(integrity: str, key: bytes, data: bytes) -> bytes:
    """The integrity check value of some octets."""
    octets = check_octets(integrity)
    if not octets:
        return b""
    if integrity in _HASHES:
        return hmac.digest(key, data, _HASHES[integrity][0])[:octets]
    code = CMAC(_aes(key))
    code.update(data)
    return code.finalize()[:octets]


def prf(name: str, key: bytes, data: bytes) -> bytes:
    """A pseudo-random function (RFC 7296, 2.13)."""
    return hmac.digest(key, data, PRFS[name])


def prf_plus(name: str, key: bytes, seed: bytes, octets: int) -> bytes:
    """prf+, as long as is asked (RFC 7296, 2.13)."""
    found, last = b"", b""
    for number in range(1, 256):
        if len(found) >= octets:
            break
        last = prf(name, key, last + seed + bytes([number]))
        found += last
    return found[:octets]


def decrypt(cipher: str, key: bytes, iv: bytes, data: bytes, tag: bytes, beside: bytes) -> bytes:
    """The plaintext, padding included.

    Args:
        cipher: its name.
        key: with its salt, where it has one.
        iv: initialization vector.
        data: ciphertext.
        tag: the cipher's own integrity check value; b"" for those that have none.
        beside: what the tag protects too.

    Raises:
        CannotOpen: key or octets do not fit.
    """
    return _run(cipher, key, lambda ready: ready.decrypt(iv, data, tag, beside))


def encrypt(cipher: str, key: bytes, iv: bytes, data: bytes, beside: bytes) -> tuple[bytes, bytes]:
    """The ciphertext of a padded plaintext, and the tag; arguments as of `decrypt`.

    Raises:
        CannotOpen: the key does not fit.
    """
    sealed = _run(cipher, key, lambda ready: ready.encrypt(iv, data, beside))
    octets = form_of(cipher).tag_octets
    return (sealed[: len(sealed) - octets], sealed[len(sealed) - octets :])


def _run(cipher: str, key: bytes, work: Callable[[_Ready], bytes]) -> bytes:
    try:
        return work(_Ready(cipher, key))
    except (ValueError, InvalidTag) as error:
        reason = str(error) or "its integrity check value is of other keys"
        raise CannotOpen(f"{cipher} with a key of {len(key)} octets: {reason}") from None


def _aes(key: bytes) -> algorithms.AES:
    return algorithms.AES(key)


class _Ready:
    """A cipher with its key; wrong measures are ValueErrors of the library."""

    def __init__(self, cipher: str, key: bytes) -> None:
        form = form_of(cipher)
        cut = len(key) - form.salt_octets
        self.name, self.form = cipher, form
        self.key, self.salt = key[:cut], key[cut:]

    def decrypt(self, iv: bytes, data: bytes, tag: bytes, beside: bytes) -> bytes:
        nonce = self.salt + iv
        if self.name.startswith("AES_CCM"):
            return AESCCM(self.key, self.form.tag_octets).decrypt(nonce, data + tag, beside)
        if self.name == "CHACHA20_POLY1305":
            return ChaCha20Poly1305(self.key).decrypt(nonce, data + tag, beside)
        if self.name.startswith("AES_GCM"):
            mode = modes.GCM(nonce, tag, min_tag_length=self.form.tag_octets)
            context = Cipher(_aes(self.key), mode).decryptor()
            context.authenticate_additional_data(beside)
            return context.update(data) + context.finalize()
        if self.name == "NULL":
            return data
        return _through(self._plain(iv).decryptor(), data)

    def encrypt(self, iv: bytes, data: bytes, beside: bytes) -> bytes:
        nonce = self.salt + iv
        if self.name.startswith("AES_CCM"):
            return AESCCM(self.key, self.form.tag_octets).encrypt(nonce, data, beside)
        if self.name == "CHACHA20_POLY1305":
            return ChaCha20Poly1305(self.key).encrypt(nonce, data, beside)
        if self.name.startswith("AES_GCM"):
            context = Cipher(_aes(self.key), modes.GCM(nonce)).encryptor()
            context.authenticate_additional_data(beside)
            sealed = context.update(data) + context.finalize()
            return sealed + context.tag[: self.form.tag_octets]
        if self.name == "NULL":
            return data
        return _through(self._plain(iv).encryptor(), data)

    def _plain(self, iv: bytes) -> Cipher[modes.CBC] | Cipher[modes.CTR]:
        if self.name == "AES_CTR":  # RFC 3686 section 4: nonce, IV, and a counter from 1
            return Cipher(_aes(self.key), modes.CTR(self.salt + iv + bytes([0, 0, 0, 1])))
        return Cipher(_aes(self.key), modes.CBC(iv))


def _through(context: CipherContext, data: bytes) -> bytes:
    return context.update(data) + context.finalize()
