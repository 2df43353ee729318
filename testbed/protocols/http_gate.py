"""A server's door: who may come in is asked by basic or digest, and the 401 is made here.

An ACS asks CPEs so, and a CPE asks whoever sends it a connection request.
"""

from __future__ import annotations

from dataclasses import dataclass

from testbed.protocols.http import Request, Response
from testbed.protocols.http_auth import (
    AuthenticationFailed,
    Nonces,
    NonceState,
    Passwords,
    basic_challenge,
    digest_challenge,
    verify_basic,
    verify_digest,
)


@dataclass(frozen=True, slots=True)
class Turned:
    """Somebody who may not come in (yet).

    Attributes:
        reason: why, in a sentence.
        response: the 401 to send.
    """

    reason: str
    response: Response


class Gate:
    """Asks for a name and a password.

    Args:
        realm: what the challenge calls this server.
        passwords: of every user.
        nonces: for digest; None: ask for basic.
        qop: what the digest challenge offers; None: as RFC 2069, without.
        opaque: what the digest challenge wants sent back; None: nothing.
    """

    def __init__(
        self,
        realm: str,
        passwords: Passwords,
        nonces: Nonces | None,
        qop: str | None = "auth",
        opaque: str | None = None,
    ) -> None:
        self.realm = realm
        self._passwords = passwords
        self._nonces = nonces
        self._qop = qop
        self._opaque = opaque

    def enter(self, request: Request, now: float) -> str | Turned:
        """The user's name, or the 401 to answer with."""
        value = request.header("Authorization")
        try:
            if value is None:
                raise AuthenticationFailed("the request carries no authorization")
            if self._nonces is None:
                return verify_basic(value, self._passwords)
            return self._by_digest(self._nonces, value, request, now)
        except AuthenticationFailed as failed:
            return Turned(str(failed), self._challenge(now, failed.stale))

    def _by_digest(self, nonces: Nonces, value: str, request: Request, now: float) -> str:
        credentials = verify_digest(
            *(value, request.method, request.target, self.realm, self._passwords), request.body
        )
        state = nonces.judge(credentials, now)
        if state is not NonceState.GOOD:
            # RFC 2617 3.2.1: stale tells a client whose password is right to try the new nonce.
            raise AuthenticationFailed(f"the digest's nonce is {state.value}", stale=True)
        return credentials.parameters["username"]

    def _challenge(self, now: float, stale: bool) -> Response:
        if self._nonces is None:
            value = basic_challenge(self.realm)
        else:
            nonce = self._nonces.issue(now)
            value = digest_challenge(
                self.realm, nonce, qop=self._qop, opaque=self._opaque, stale=stale
            )
        return Response(status=401, headers=(("WWW-Authenticate", value),))
