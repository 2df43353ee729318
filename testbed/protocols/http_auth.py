"""Basic and digest authentication of HTTP (RFC 2617, RFC 7616), both ways, as pure functions.

MD5 with and without `qop`, MD5-sess, SHA-256; `auth-int` too.  Nonces come from a `Random` and are
judged by a clock that is passed in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random

from testbed.errors import PeerError

_ALGORITHMS = {"md5": "md5", "md5-sess": "md5", "sha-256": "sha256", "sha-256-sess": "sha256"}
_PARAMETER = re.compile(
    r"""\s*([A-Za-z0-9_.-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|$)"""
)
_SCHEME = re.compile(r"\s*,?\s*([A-Za-z0-9_-]+)(?:\s+|$)(?!\s*=)")


class AuthenticationFailed(PeerError):
    """The other side could not prove who it is; the message says why.

    Attributes:
        stale: the proof was right, only its nonce is no longer good.
    """

    def __init__(self, sentence: str, stale: bool = False) -> None:
        super().__init__(sentence)
        self.stale = stale


@dataclass(frozen=True, slots=True)
class Credentials:
    """A scheme with its parameters: a challenge (WWW-Authenticate) or its answer (Authorization).

    Attributes:
        scheme: in small letters ("digest").
        parameters: by name in small letters; quotes taken off.
        token: what stands in their place for "basic".
    """

    scheme: str
    parameters: Mapping[str, str]
    token: str = ""


def parse_challenges(values: Iterable[str]) -> tuple[Credentials, ...]:
    """The challenges of all WWW-Authenticate headers; what is no challenge is left out."""
    found: list[Credentials] = []
    for value in values:
        position = 0
        while (scheme := _SCHEME.match(value, position)) is not None:
            parameters, position = _parameters(value, scheme.end())
            found.append(Credentials(scheme.group(1).lower(), parameters))
    return tuple(found)


def parse_authorization(value: str) -> Credentials:
    """The one scheme of an Authorization header; what it lacks is the verifier's business."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() == "basic":
        return Credentials("basic", {}, rest.strip())
    return Credentials(scheme.lower(), _parameters(rest, 0)[0])


def _parameters(text: str, position: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    while (match := _PARAMETER.match(text, position)) is not None:
        name, quoted, plain = match.groups()
        value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        parameters.setdefault(name.lower(), value)
        position = match.end()
    return parameters, position


def basic(username: str, password: str) -> str:
    """The Authorization header of RFC 2617 section 2."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def basic_challenge(realm: str) -> str:
    """The WWW-Authenticate header that asks for it."""
    return f"Basic realm={_quoted(realm)}"


def digest_challenge(
    realm: str,
    nonce: str,
    *,
    qop: str | None = "auth",
    opaque: str | None = None,
    algorithm: str | None = None,
    stale: bool = False,
) -> str:
    """The WWW-Authenticate header that asks for a digest; None leaves a parameter out."""
    parts = [f"realm={_quoted(realm)}", f"nonce={_quoted(nonce)}"]
    if qop is not None:
        parts.append(f"qop={_quoted(qop)}")
    if opaque is not None:
        parts.append(f"opaque={_quoted(opaque)}")
    if algorithm is not None:
        parts.append(f"algorithm={algorithm}")
    if stale:
        parts.append("stale=true")
    return "Digest " + ", ".join(parts)


def digest_response(
    username: str,
    password: str,
    realm: str,
    nonce: str,
    method: str,
    uri: str,
    *,
    qop: str | None = None,
    count: str = "",
    cnonce: str = "",
    algorithm: str = "MD5",
    body: bytes = b"",
) -> str:
    """The `response` of RFC 2617 3.2.2.1, in small hexadecimal digits.

    Args:
        qop: "auth", "auth-int" or None (RFC 2069).
        count: nonce count as it travels ("00000001"); only with `qop`.
        cnonce: the client's nonce; with `qop` or a "-sess" algorithm.
        body: of the request; only for "auth-int".
    """
    name = _ALGORITHMS[algorithm.lower()]

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    secret = digest(f"{username}:{realm}:{password}")
    if algorithm.lower().endswith("-sess"):
        secret = digest(f"{secret}:{nonce}:{cnonce}")
    subject = f"{method}:{uri}"
    if qop == "auth-int":
        subject += f":{hashlib.new(name, body, usedforsecurity=False).hexdigest()}"
    middle = f"{count}:{cnonce}:{qop}:" if qop else ""
    return digest(f"{secret}:{nonce}:{middle}{digest(subject)}")


def answer(
    challenges: Iterable[Credentials],
    username: str,
    password: str,
    method: str,
    uri: str,
    *,
    cnonce: str,
    count: int = 1,
    body: bytes = b"",
) -> str | None:
    """The Authorization header for the best challenge that can be answered: digest before basic.

    Args:
        cnonce: fresh for each request.
        count: how often this nonce has been used, this time included.

    Returns:
        None: none of the challenges can be answered.
    """
    known = tuple(challenges)
    for challenge in known:
        parameters = challenge.parameters
        algorithm = parameters.get("algorithm", "MD5")
        if challenge.scheme != "digest" or algorithm.lower() not in _ALGORITHMS:
            continue
        offered = [each.strip().lower() for each in parameters.get("qop", "").split(",")]
        qop = next((each for each in ("auth", "auth-int") if each in offered), None)
        if "nonce" not in parameters or (qop is None and offered != [""]):
            continue
        realm, nonce, counted = parameters.get("realm", ""), parameters["nonce"], f"{count:08x}"
        response = digest_response(
            *(username, password, realm, nonce, method, uri),
            qop=qop,
            count=counted,
            cnonce=cnonce,
            algorithm=algorithm,
            body=body,
        )
        parts = [f"username={_quoted(username)}", f"realm={_quoted(realm)}"]
        parts += [f"nonce={_quoted(nonce)}", f"uri={_quoted(uri)}", f'response="{response}"']
        if "algorithm" in parameters:
            parts.append(f"algorithm={algorithm}")
        if "opaque" in parameters:
            parts.append(f"opaque={_quoted(parameters['opaque'])}")
        if qop is not None:
            parts += [f"qop={qop}", f"nc={counted}"]
        if qop is not None or algorithm.lower().endswith("-sess"):
            parts.append(f"cnonce={_quoted(cnonce)}")
        return "Digest " + ", ".join(parts)
    if any(challenge.scheme == "basic" for challenge in known):
        return basic(username, password)
    return None


Passwords = Callable[[str], str | None]
"""The password of a user name; None: nobody is called that."""


def verify_basic(value: str, passwords: Passwords) -> str:
    """Check an Authorization header of the scheme basic; the user's name.

    Raises:
        AuthenticationFailed: says why.
    """
    credentials = parse_authorization(value)
    if credentials.scheme != "basic":
        raise AuthenticationFailed(f"authorization is {credentials.scheme or 'empty'}, not basic")
    try:
        username, colon, password = (
            base64.b64decode(credentials.token, validate=True).decode().partition(":")
        )
    except (binascii.Error, ValueError) as error:
        raise AuthenticationFailed("basic authorization is not base64 of text") from error
    expected = passwords(username)
    same = hmac.compare_digest((expected or "").encode(), password.encode())
    if not colon or expected is None or not same:
        raise AuthenticationFailed(f"user {username!r} is unknown or the password is wrong")
    return username


def verify_digest(
    value: str, method: str, uri: str, realm: str, passwords: Passwords, body: bytes = b""
) -> Credentials:
    """Check an Authorization header of the scheme digest, all but its nonce: `Nonces` judges that.

    Args:
        uri: the target of the request line.

    Returns:
        Its parameters ("username", "nonce", "nc").

    Raises:
        AuthenticationFailed: says why.
    """
    credentials = parse_authorization(value)
    parameters = credentials.parameters
    if credentials.scheme != "digest":
        raise AuthenticationFailed(f"authorization is {credentials.scheme or 'empty'}, not digest")
    wanted = ("username", "realm", "nonce", "uri", "response")
    missing = [name for name in wanted if name not in parameters]
    qop = parameters.get("qop")
    missing += [name for name in ("nc", "cnonce") if qop and name not in parameters]
    if missing:
        raise AuthenticationFailed(f"digest authorization lacks {', '.join(missing)}")
    algorithm = parameters.get("algorithm", "MD5")
    if algorithm.lower() not in _ALGORITHMS or qop not in (None, "auth", "auth-int"):
        raise AuthenticationFailed(f"digest with algorithm {algorithm!r} and qop {qop!r}")
    if parameters["realm"] != realm:
        raise AuthenticationFailed(
            f"digest is for the realm {parameters['realm']!r}, not {realm!r}"
        )
    if parameters["uri"] != uri:
        raise AuthenticationFailed(f"digest is for {parameters['uri']!r}, the request for {uri!r}")
    username = parameters["username"]
    password = passwords(username)
    expected = digest_response(
        *(username, password or "", realm, parameters["nonce"], method, uri),
        qop=qop,
        count=parameters.get("nc", ""),
        cnonce=parameters.get("cnonce", ""),
        algorithm=algorithm,
        body=body,
    )
    same = hmac.compare_digest(expected.encode(), parameters["response"].lower().encode())
    if password is None or not same:
        raise AuthenticationFailed(f"user {username!r} is unknown or the password is wrong")
    return credentials


class NonceState(Enum):
    """What a server thinks of a nonce that a client has used."""

    GOOD = "good"
    STALE = "stale"
    REPLAYED = "replayed"
    UNKNOWN = "unknown"


class Nonces:
    """The nonces that a server has given out.

    Args:
        random: where they come from.
        lifetime_s: after that a nonce is stale.
        most_uses: after so many a nonce is stale; None: any number.
        most_kept: older ones are forgotten beyond this.
    """

    def __init__(
        self,
        random: Random,
        lifetime_s: float = 300.0,
        most_uses: int | None = None,
        most_kept: int = 10_000,
    ) -> None:
        self._random = random
        self._lifetime_s = lifetime_s
        self._most_uses = most_uses
        self._most_kept = most_kept
        self._born: dict[str, float] = {}
        self._uses: dict[str, int] = {}
        self._count: dict[str, int] = {}

    def issue(self, now: float) -> str:
        """A new one."""
        nonce = f"{self._random.getrandbits(128):032x}"
        self._born[nonce] = now
        while len(self._born) > self._most_kept:
            self._forget(next(iter(self._born)))
        return nonce

    def judge(self, credentials: Credentials, now: float) -> NonceState:
        """Whether the nonce of these credentials may be used now; counts the use.

        With `qop` the nonce count must grow (RFC 2617 3.2.2).
        """
        nonce = credentials.parameters.get("nonce", "")
        if nonce not in self._born:
            return NonceState.UNKNOWN
        uses = self._uses.get(nonce, 0) + 1
        too_often = self._most_uses is not None and uses > self._most_uses
        if now - self._born[nonce] > self._lifetime_s or too_often:
            return NonceState.STALE
        if "qop" in credentials.parameters:
            text = credentials.parameters.get("nc", "")
            count = int(text, 16) if re.fullmatch(r"[0-9A-Fa-f]{1,8}", text) else 0
            if count <= self._count.get(nonce, 0):
                return NonceState.REPLAYED
            self._count[nonce] = count
        self._uses[nonce] = uses
        return NonceState.GOOD

    def _forget(self, nonce: str) -> None:
        del self._born[nonce]
        self._uses.pop(nonce, None)
        self._count.pop(nonce, None)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
