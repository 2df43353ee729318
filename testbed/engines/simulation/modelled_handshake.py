"""The handshake of modelled TLS, as client and as server."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from random import Random

from cryptography import x509

from testbed.engines.simulation import tls_messages as messages
from testbed.engines.simulation.certificate_checks import (
    CLIENT,
    SERVER,
    Distrusted,
    is_for,
    read_certificate,
    shown,
    verified,
)
from testbed.engines.simulation.epoch import date_now
from testbed.engines.simulation.modelled_records import Records, Unacceptable, alerted
from testbed.engines.tls_policy import dates_refused, name_sentence
from testbed.errors import DecodeError
from testbed.host import TlsProfile, TlsRefused
from testbed.protocols.tls import (
    ALERT,
    CHANGE_CIPHER_SPEC,
    CLIENT_HELLO,
    FATAL,
    HANDSHAKE,
    MOST_HANDSHAKE_OCTETS,
    SERVER_HELLO,
    Alert,
    ClientHello,
    decode_client_hello,
    decode_server_hello,
)

_TO_SERVER, _TO_CLIENT = b"client", b"server"
_SHARE_OCTETS, _SIGNATURE_OCTETS = 32, 70
_FIRST_RECORD = 0x0301


class Handshake:
    """One handshake, from one side.

    Args:
        records: of the connection.
        profile: what this side shows and checks.
        random: of this side.
    """

    def __init__(self, records: Records, profile: TlsProfile, random: Random) -> None:
        self._records = records
        self._profile = profile
        self._random = random
        self._peer = str(records.below.remote)
        self._held = bytearray()
        self._transcript = sha256()
        self._has_begun = False
        self._their_direction = _TO_CLIENT
        self._version = ""
        self._secret = b""

    async def shake(self, server_side: bool) -> None:
        """Until this side is done.

        Raises:
            Unacceptable: this side refuses, by an alert.
            TlsRefused: the other side refuses, or speaks no TLS.
        """
        await (self._serve() if server_side else self._ask())

    # Messages

    async def _message(self, *wanted: int) -> tuple[int, bytes]:
        """Kind and body of the next handshake message, which is one of those."""
        while True:
            if len(self._held) >= 4:
                length = int.from_bytes(self._held[1:4], "big")
                if length > MOST_HANDSHAKE_OCTETS:
                    raise self._bad("excessive message size", "illegal_parameter")
                if len(self._held) >= 4 + length:
                    break
            await self._more()
        kind = self._held[0]
        message = bytes(self._held[: 4 + length])
        del self._held[: 4 + length]
        if kind not in wanted:
            raise self._bad("unexpected message", "unexpected_message")
        if kind == messages.FINISHED:
            self._check_finished(message)
        self._transcript.update(message)
        return kind, message[4:]

    async def _more(self) -> None:
        found = await self._records.next()
        if found is None:
            raise self._records.refused("TLS/SSL connection has been closed (EOF)")
        kind, octets = found
        if kind == ALERT and len(octets) == 2:
            self._take_alert(Alert(octets[0], octets[1]))
        elif kind == HANDSHAKE:
            self._held += octets
        elif kind == CHANGE_CIPHER_SPEC and self._secret:
            self._cipher_changed()
        else:
            raise self._bad("unexpected message", "unexpected_message")

    def _take_alert(self, alert: Alert) -> None:
        if not self._has_begun:
            raise self._bad("unexpected message", "unexpected_message")
        if alert.number == 0:
            raise self._records.refused("TLS/SSL connection has been closed (EOF)")
        if alert.level == FATAL:
            raise alerted(alert, self._profile, self._peer)

    def _bad(self, what: str, alert: str) -> Unacceptable:
        return Unacceptable(self._records.refused(what), alert)

    def _say(self, message: bytes) -> bytes:
        """A handshake message, noted."""
        self._has_begun = True
        self._transcript.update(message)
        return message

    def _finished(self, direction: bytes) -> bytes:
        return messages.finished(self._secret, direction, self._transcript.digest())

    def _check_finished(self, message: bytes) -> None:
        if message != self._finished(self._their_direction):
            raise self._bad("digest check failed", "decrypt_error")

    def _octets(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def _agree(self, client_random: bytes, server_random: bytes) -> None:
        self._secret = sha256(client_random + server_random).digest()

    def _cipher_changed(self) -> None:
        """Below TLS 1.3 the other side seals what it sends from here on."""
        if self._version != "1.3":
            self._records.reads = self._seal(self._their_direction)

    def _seal(self, direction: bytes) -> messages.Seal:
        return messages.Seal(self._secret, direction, self._version)

    @property
    def _record_version(self) -> int:
        """Records of TLS 1.3 look like those of 1.2."""
        return min(messages.version_number(self._version), 0x0303)

    @property
    def _offered(self) -> list[str]:
        """The versions that this side takes, the newest first."""
        first = messages.VERSIONS.index(self._profile.minimum_version)
        last = messages.VERSIONS.index(self._profile.maximum_version or "1.3")
        return list(messages.VERSIONS[first : last + 1][::-1])

    def _no_version(self) -> TlsRefused:
        profile = self._profile
        bounds = f"{profile.minimum_version} to {profile.maximum_version or 'the newest'}"
        return TlsRefused(
            "version",
            f"TLS with {self._peer}: no version in common; this side takes {bounds}",
        )

    # The client

    async def _ask(self) -> None:
        profile, records = self._profile, self._records
        offered = self._offered
        if not offered:
            raise self._no_version()
        name = profile.server_name.rstrip(".") if profile.server_name is not None else None
        random = self._octets(32)
        hello = messages.client_hello(
            random, self._octets(32), self._octets(_SHARE_OCTETS), name, offered
        )
        await records.below.send(records.encoded(HANDSHAKE, self._say(hello), _FIRST_RECORD))
        _, body = await self._message(SERVER_HELLO)
        try:
            answer = decode_server_hello(messages.handshake(SERVER_HELLO, body))
        except DecodeError as error:
            raise self._bad(str(error), "decode_error") from None
        if answer.version not in offered:
            raise Unacceptable(self._no_version(), "protocol_version")
        self._version = answer.version
        records.agreed(self._record_version)
        self._agree(random, body[2:34])
        if self._version == "1.3":
            records.reads = self._seal(_TO_CLIENT)
        requested = await self._hear_server()
        await self._answer(requested)
        if self._version != "1.3":
            await self._message(messages.FINISHED)
            records.reads = records.reads or self._seal(_TO_CLIENT)

    async def _hear_server(self) -> bool:
        """The server's flight; whether it wants a certificate."""
        requested, newest = False, self._version == "1.3"
        last = messages.FINISHED if newest else messages.HELLO_DONE
        kind = 0
        while kind != last:
            kind, body = await self._message(
                messages.ENCRYPTED_EXTENSIONS,
                messages.CERTIFICATE,
                messages.CERTIFICATE_VERIFY,
                messages.SERVER_KEY,
                messages.CERTIFICATE_REQUEST,
                last,
            )
            if kind == messages.CERTIFICATE:
                self._check(self._chain(body), server_side=False)
            requested = requested or kind == messages.CERTIFICATE_REQUEST
        return requested

    async def _answer(self, requested: bool) -> None:
        """The client's second flight."""
        records, version = self._records, self._version
        flight = b""
        identity = self._profile.identity
        if requested:
            chain = shown(identity, self._profile.roots) if identity is not None else ()
            flight += self._say(messages.certificate(chain, version))
        if version != "1.3":
            share = self._octets(_SHARE_OCTETS)
            body = bytes([_SHARE_OCTETS]) + share
            flight += self._say(messages.handshake(messages.CLIENT_KEY, body))
        if requested and identity is not None:
            signature = self._octets(_SIGNATURE_OCTETS)
            flight += self._say(messages.certificate_verify(signature, version))
        changed = records.encoded(CHANGE_CIPHER_SPEC, b"\1")
        clear = b""
        if version != "1.3":
            clear, flight = records.encoded(HANDSHAKE, flight), b""
        records.writes = self._seal(_TO_SERVER)
        flight += self._say(self._finished(_TO_SERVER))
        sealed = records.encoded(HANDSHAKE, flight)
        ordered = changed + sealed if version == "1.3" else clear + changed + sealed
        await records.below.send(ordered)

    # The server

    async def _serve(self) -> None:
        self._their_direction = _TO_SERVER
        profile = self._profile
        _, body = await self._message(CLIENT_HELLO)
        self._has_begun = True
        message = messages.handshake(CLIENT_HELLO, body)
        try:
            hello = decode_client_hello(message)
        except DecodeError as error:
            raise self._bad(str(error), "decode_error") from None
        self._version = self._choose(hello, int.from_bytes(body[:2], "big"))
        self._records.agreed(self._record_version)
        random = self._octets(32)
        self._agree(hello.random, random)
        session = messages.session_of(message)
        share = self._octets(_SHARE_OCTETS)
        answer = self._say(messages.server_hello(random, session, share, self._version))
        assert profile.identity is not None
        if self._version == "1.3":
            await self._serve_newest(answer, shown(profile.identity, profile.roots))
        else:
            await self._serve_older(answer, shown(profile.identity, profile.roots), share)

    def _choose(self, hello: ClientHello, legacy: int) -> str:
        """The newest version that both take."""
        offered = self._offered
        told = [each for each in offered if each in hello.versions]
        if len(hello.versions) == 1 and hello.versions[0] != "1.3":
            # Without the extension: all up to the version that it names (RFC 5246, annex E.1).
            told = [each for each in offered if messages.version_number(each) <= legacy]
        if not told:
            raise Unacceptable(self._no_version(), "protocol_version")
        return told[0]

    async def _serve_newest(self, answer: bytes, chain: tuple[bytes, ...]) -> None:
        records, requires = self._records, self._profile.requires_client_certificate
        clear = records.encoded(HANDSHAKE, answer) + records.encoded(CHANGE_CIPHER_SPEC, b"\1")
        records.writes = self._seal(_TO_CLIENT)
        flight = self._say(messages.handshake(messages.ENCRYPTED_EXTENSIONS, b"\0\0"))
        if requires:
            flight += self._say(messages.certificate_request(self._version))
        flight += self._say(messages.certificate(chain, self._version))
        signature = self._octets(_SIGNATURE_OCTETS)
        flight += self._say(messages.certificate_verify(signature, self._version))
        flight += self._say(self._finished(_TO_CLIENT))
        await records.below.send(clear + records.encoded(HANDSHAKE, flight))
        records.reads = self._seal(_TO_SERVER)
        await self._hear_client(requires)

    async def _serve_older(self, answer: bytes, chain: tuple[bytes, ...], share: bytes) -> None:
        records, requires = self._records, self._profile.requires_client_certificate
        flight = answer + self._say(messages.certificate(chain, self._version))
        signature = self._octets(_SIGNATURE_OCTETS)
        flight += self._say(messages.server_key(share, signature, self._version))
        if requires:
            flight += self._say(messages.certificate_request(self._version))
        flight += self._say(messages.handshake(messages.HELLO_DONE, b""))
        await records.below.send(records.encoded(HANDSHAKE, flight))
        await self._hear_client(requires)
        changed = records.encoded(CHANGE_CIPHER_SPEC, b"\1")
        records.writes = self._seal(_TO_CLIENT)
        done = records.encoded(HANDSHAKE, self._say(self._finished(_TO_CLIENT)))
        await records.below.send(changed + done)

    async def _hear_client(self, requires: bool) -> None:
        """The client's second flight."""
        kind = 0
        while kind != messages.FINISHED:
            kind, body = await self._message(
                messages.CERTIFICATE,
                messages.CLIENT_KEY,
                messages.CERTIFICATE_VERIFY,
                messages.FINISHED,
            )
            if kind == messages.CERTIFICATE and requires:
                chain = self._chain(body)
                if not chain:
                    newest = self._version == "1.3"
                    alert = "certificate_required" if newest else "handshake_failure"
                    raise self._bad("peer did not return a certificate", alert)
                self._check(chain, server_side=True)

    # Certificates

    def _chain(self, body: bytes) -> tuple[bytes, ...]:
        try:
            return messages.read_certificate_message(body, self._version)
        except DecodeError as error:
            raise self._bad(str(error), "decode_error") from None

    def _check(self, chain: tuple[bytes, ...], server_side: bool) -> None:
        """The other side's certificate, by this side's profile."""
        profile, peer = self._profile, self._peer
        if not server_side and not profile.verifies:
            return
        try:
            built = verified(chain, profile.roots, CLIENT if server_side else SERVER)
        except Distrusted as error:
            # A server is told of a client's issuers only, as by OpenSSL.
            told = chain[1:] if server_side else chain
            refusal = TlsRefused("chain", self._chain_sentence(told, str(error)))
            raise Unacceptable(refusal, error.alert) from None
        name = profile.server_name
        checks_name = not server_side and profile.verifies_name and name is not None
        if checks_name and not is_for(built[0], name or "", profile.accepts_common_name):
            refusal = TlsRefused("name", name_sentence(built[0], name, peer))
            raise Unacceptable(refusal, "bad_certificate")
        if profile.verifies_dates:
            moment = profile.moment if profile.moment is not None else date_now()
            dates = dates_refused(built, moment, peer)
            if dates is not None:
                expired = dates.cause == "expired"
                alert = "certificate_expired" if expired else "bad_certificate"
                raise Unacceptable(dates, alert)

    def _chain_sentence(self, chain: tuple[bytes, ...], reason: str) -> str:
        issuer = ""
        with suppress(ValueError, IndexError):
            last: x509.Certificate = read_certificate(chain[-1])
            issuer = f", issued by {last.issuer.rfc4514_string()},"
        return (
            f"TLS with {self._peer}: the certificate{issuer} leads to no trusted root "
            f"({len(self._profile.roots)} trusted): {reason}"
        )
