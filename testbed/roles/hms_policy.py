"""What an HMS gives to whom, and how it behaves: assignments by place, and misbehaviour on demand.

Plain data; `Hms` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from testbed.datamodel.femto import FemtoPaths, ReportedLocation
from testbed.datamodel.location import Area as Area
from testbed.datamodel.values import Value
from testbed.protocols.cwmp import faults, rpc

Item = Literal["segw", "hms", "hnb_gw"]
Moment = Literal["Inform", "empty", "SetParameterValuesResponse", "Fault"]
"""A message of the CPE: an envelope's method, or an empty body."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an HNB in some place is told to use.  What is None is not set.

    Attributes:
        name: of the place; the ParameterKey of what is set is the HMS's name and this one.
        area: where it holds.
        segw: name or address of the serving SeGW.
        hms_url: URL of the serving HMS.
        hnb_gw: name or address of the HNB-GW.
        serial_number: holds for this HNB only; None: for every one.
        more_segws: the second and the third serving SeGW.
        more_hnb_gws: the second and the third HNB-GW.
    """

    name: str
    area: Area = field(default_factory=Area)
    segw: str | None = None
    hms_url: str | None = None
    hnb_gw: str | None = None
    serial_number: str | None = None
    more_segws: tuple[str, ...] = ()
    more_hnb_gws: tuple[str, ...] = ()

    def fits(self, who: rpc.DeviceId, place: ReportedLocation, line_address: str) -> bool:
        """Whether it holds for an HNB that reports this place from that address."""
        if self.serial_number not in (None, who.serial_number):
            return False
        return self.area.holds(place, line_address)

    def values(self, paths: FemtoPaths, without: Iterable[Item] = ()) -> tuple[Value, ...]:
        """What is set, by the names of that HNB's tree."""
        more_segws = zip(paths.segws[1:], self.more_segws, strict=False)
        more_hnb_gws = zip(paths.hnb_gws[1:], self.more_hnb_gws, strict=False)
        named: list[tuple[Item, str, str | None]] = [
            ("segw", paths.segw, self.segw),
            *(("segw", path, text) for path, text in more_segws),
            ("hms", paths.hms_url, self.hms_url),
            ("hnb_gw", paths.hnb_gw, self.hnb_gw),
            *(("hnb_gw", path, text) for path, text in more_hnb_gws),
        ]
        return tuple(
            Value(path, text, "string")
            for item, path, text in named
            if text is not None and item not in without
        )


@dataclass(frozen=True, slots=True)
class HmsPolicy:
    """How an HMS behaves; the defaults are good behaviour.

    Attributes:
        version: of CWMP that it answers in; None: the CPE's own.
        authentication: how CPEs prove who they are; None: not at all.
        users: password by user name.
        realm: of the challenge.
        refusal: fault code that answers an Inform for whose place nothing is assigned: 8001,
            Request denied (TS 32.583 names none; AMB-3G-10).
        session_within_s: a session whose CPE has fallen silent is forgotten after this time.
        unavailable_times: so many requests are answered 503.
        retry_after_s: with those; None: without Retry-After.
        redirect_to: so many requests, `redirect_times`, are answered 307 to this URL.
        dies_at: at this message of a CPE the connection is reset instead of answered,
            `dies_times` times.
        silent_at: this message of a CPE is never answered.
        inform_fault: fault code that answers every Inform.
        omits: what is left out of the serving set.
        adds: parameters that are set beside the serving set, for instance wrong ones.
    """

    version: str | None = None
    authentication: Literal["basic", "digest"] | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    realm: str = "HMS"
    refusal: int = faults.ACS_REQUEST_DENIED
    session_within_s: float = 60.0
    unavailable_times: int = 0
    retry_after_s: int | None = None
    redirect_to: str | None = None
    redirect_times: int = 1
    dies_at: Moment | None = None
    dies_times: int = 1
    silent_at: Moment | None = None
    inform_fault: int | None = None
    omits: tuple[Item, ...] = ()
    adds: tuple[rpc.ParameterValue, ...] = ()
