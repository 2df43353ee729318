"""Files of `--keys`: TLS key logs, and Wireshark's tables of IKE and ESP keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import BadInput

if TYPE_CHECKING:
    from testbed.protocols.ike.keys import EspKeys, IkeKeys
    from testbed.protocols.tls_secrets import Secrets


@dataclass
class Keys:
    """What opens a capture.

    Attributes:
        tls: secrets, one collection a log.
        tunnels: of IKE and ESP associations.
    """

    tls: list[Secrets] = field(default_factory=list)
    tunnels: list[IkeKeys | EspKeys] = field(default_factory=list)


def is_empty(octets: bytes) -> bool:
    """Whether a file has no line but comments: a key log before its first secret."""
    return all(not line.strip() or line.lstrip().startswith(b"#") for line in octets.splitlines())


def read_keys(logs: Sequence[bytes], files: Sequence[Path]) -> Keys:
    """The keys in a capture and in files beside it; a file tells by its lines what it is.

    Args:
        logs: TLS key logs that the capture holds.
        files: key logs, `ikev2_decryption_table` or `esp_sa`.

    Raises:
        BadInput: a file cannot be read, or holds neither.
    """
    from testbed.protocols.ike.wireshark import read_tables
    from testbed.protocols.tls_secrets import read_key_log

    keys = Keys([read_key_log(each) for each in logs])
    for file in files:
        try:
            octets = file.read_bytes()
        except OSError as error:
            raise BadInput(f"keys {file}: cannot be read: {error.strerror}") from None
        if told := read_key_log(octets):
            keys.tls.append(told)
            continue
        if is_empty(octets):
            continue  # of a run that has made no TLS connection, or none yet
        ike, esp = read_tables(octets.decode("utf-8", "replace"), f"keys {file}")
        if not ike and not esp:
            raise BadInput(
                f"keys {file}: holds no secret; a TLS key log's lines such as "
                f"'CLIENT_TRAFFIC_SECRET_0 RANDOM SECRET' are expected, or lines of Wireshark's "
                f"ikev2_decryption_table or esp_sa"
            )
        keys.tunnels += [*ike, *esp]
    return keys
