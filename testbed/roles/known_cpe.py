"""What an ACS knows of a CPE by the Informs that it has sent."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.protocols.cwmp import rpc


@dataclass
class KnownCpe:
    """What an ACS knows of a CPE that has been here.

    Attributes:
        device_id: who it is.
        inform: its last one.
        line_address: where that came from.
    """

    device_id: rpc.DeviceId
    inform: rpc.Inform
    line_address: str

    @property
    def connection_request_url(self) -> str | None:
        """Where it takes connection requests; None: it has not told."""
        return next(
            (
                each.value
                for each in self.inform.parameters
                if each.name.endswith(".ManagementServer.ConnectionRequestURL") and each.value
            ),
            None,
        )
