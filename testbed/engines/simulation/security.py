"""How streams of a simulation are protected: by modelled TLS, or by OpenSSL as in the emulation."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Protocol

from testbed.engines.simulation.modelled_tls import ModelledTls, ModelledTlsStream
from testbed.engines.simulation.streams import TcpStream
from testbed.engines.tls import Tap, TlsStream
from testbed.host import TlsProfile

Secured = ModelledTlsStream | TlsStream


class Security(Protocol):
    """Protects streams.

    Attributes:
        about: one line for reports.
    """

    about: str

    def require(self, profile: TlsProfile, server_side: bool) -> None:
        """Nothing, if the profile can be used.

        Raises:
            LocalError: it cannot.
        """

    async def protect(
        self,
        below: TcpStream,
        profile: TlsProfile,
        server_side: bool,
        tap: Tap | None,
        random: Random,
    ) -> Secured:
        """Shake hands; see `TlsStream.open`."""
        ...

    def key_log(self) -> bytes:
        """The secrets of all connections so far, in NSS key log form."""
        ...

    def close(self) -> None:
        """Let go of files."""


class ModelledSecurity:
    """TLS as a model: every check of a profile, no cipher."""

    about = "modelled: real hellos, alerts and certificate checks; opaque octets, no cipher"

    def __init__(self) -> None:
        self._tls = ModelledTls()

    def require(self, profile: TlsProfile, server_side: bool) -> None:
        """Nothing, if the profile can be used."""
        self._tls.require(profile, server_side)

    async def protect(
        self,
        below: TcpStream,
        profile: TlsProfile,
        server_side: bool,
        tap: Tap | None,
        random: Random,
    ) -> Secured:
        """Shake hands."""
        return await ModelledTlsStream.open(below, profile, server_side, self._tls, random, tap)

    def key_log(self) -> bytes:
        """There are no keys."""
        return b""

    def close(self) -> None:
        """There are no files."""


class RealSecurity:
    """OpenSSL, as in the emulation; its random octets are not the seed's.

    Args:
        key_log: where the secrets of connections are written; None: in a file that goes with it.
    """

    about = "OpenSSL; its octets differ from run to run"

    def __init__(self, key_log: Path | None) -> None:
        from testbed.engines.tls_policy import TlsContexts

        self._own: TemporaryDirectory[str] | None = None
        if key_log is None:
            self._own = TemporaryDirectory(prefix="keys")
            key_log = Path(self._own.name, "tls.log")
        self._contexts = TlsContexts(key_log)

    def require(self, profile: TlsProfile, server_side: bool) -> None:
        """Nothing, if the profile can be used."""
        self._contexts.context(profile, server_side)

    async def protect(
        self,
        below: TcpStream,
        profile: TlsProfile,
        server_side: bool,
        tap: Tap | None,
        random: Random,
    ) -> Secured:
        """Shake hands."""
        return await TlsStream.open(below, profile, server_side, self._contexts, tap)

    def key_log(self) -> bytes:
        """The secrets of all connections so far."""
        return self._contexts.key_log()

    def close(self) -> None:
        """Let go of the file."""
        if self._own is not None:
            self._own.cleanup()
