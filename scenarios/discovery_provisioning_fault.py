"""Discovery over the public Internet that fails between Inform and release (5.1.2, steps 5 to 8).

Either all of the serving set is in force, or nothing of it; nothing later than the failing step is
on the wire (AMB-3G-10), and a later try discovers.  The HNB's back-off is shortened.
"""

from __future__ import annotations

from scenarios.discovery_dns_failure import SOON
from scenarios.discovery_public import (
    STEP_S,
    informed,
    is_empty,
    reads_back,
    secured,
    sets,
    told,
)
from testbed.protocols import tls
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import BOOTSTRAP
from testbed.protocols.http import Request, Response
from testbed.scenario import Stage, scenario
from topologies.public import SERVING_SEGW, hms_on_internet

UNKNOWN = rpc.ParameterValue("Device.Services.FAPService.1.NoSuchParameter", "1", "boolean")
READ_ONLY = rpc.ParameterValue("Device.DeviceInfo.SerialNumber", "2", "string")
WRONG_TYPE = rpc.ParameterValue("Device.ManagementServer.PeriodicInformInterval", "60", "string")
OUT_OF_RANGE = rpc.ParameterValue(
    "Device.ManagementServer.PeriodicInformInterval", "0", "unsignedInt"
)


def _nobody_serves(at: Stage) -> None:
    """Nothing of step 9 may appear."""
    at.never(at.hnb, "->", at.serving_hms, tls.ClientHello)
    at.never(at.hnb, "->", at.north_hms, tls.ClientHello)


async def _refused(at: Stage, wrong: rpc.ParameterValue, code: int) -> None:
    """The HMS adds a wrong parameter to the serving set: fault 9003, and nothing is in force."""
    hnb, hms = at.hnb, at.initial_hms
    hms.set_policy(adds=(wrong,))
    reading = reads_back(hms, hnb)
    _nobody_serves(at)
    hnb.power_on()
    await secured(at, hnb, hms)
    await informed(at, hnb, hms)
    await at.sees(
        *(hnb, "<-", hms, rpc.SetParameterValues), parameters=sets(hnb.paths.segw, SERVING_SEGW)
    )  # 6
    blamed = rpc.ParameterFault(wrong.name, code)
    await at.sees(hnb, "->", hms, rpc.Fault, code=9003, parameters=_blames(blamed))  # 7
    unchanged = sets(hnb.paths.hms_url, hms.url)
    await at.sees(hnb, "->", hms, rpc.GetParameterValuesResponse, parameters=unchanged)
    await at.tells(hnb, "FAILED", step="7")
    await at.answered(reading)


def _blames(blamed: rpc.ParameterFault) -> object:
    """What fits the list of parameters of a fault that blames this one, and only this one."""

    def holds(parameters: tuple[rpc.ParameterFault, ...]) -> bool:
        return [(each.name, each.code) for each in parameters] == [(blamed.name, blamed.code)]

    holds.__doc__ = f"{blamed.name}: {blamed.code}"
    return holds


@scenario(hms_on_internet, step_s=STEP_S)
async def discovery_provisioning_fault(at: Stage) -> None:
    """The HMS sets a parameter that the HNB has not: fault 9003, nothing is applied."""
    await _refused(at, UNKNOWN, 9005)


@discovery_provisioning_fault.variant("read_only")
async def read_only(at: Stage) -> None:
    """The HMS sets a read-only parameter beside the serving set."""
    await _refused(at, READ_ONLY, 9008)


@discovery_provisioning_fault.variant("wrong_type")
async def wrong_type(at: Stage) -> None:
    """The HMS sets a number as a string beside the serving set."""
    await _refused(at, WRONG_TYPE, 9006)


@discovery_provisioning_fault.variant("out_of_range")
async def out_of_range(at: Stage) -> None:
    """The HMS sets a number that is too small beside the serving set."""
    await _refused(at, OUT_OF_RANGE, 9007)


@discovery_provisioning_fault.variant("set_again")
async def set_again(at: Stage) -> None:
    """The HMS mends its set while the HNB waits: the next try discovers, told as BOOTSTRAP."""
    hnb, hms = at.hnb, at.initial_hms
    hms.set_policy(adds=(UNKNOWN,))
    hnb.set_policy(**SOON)
    hnb.power_on()
    await at.tells(hnb, "FAILED", step="7")
    hms.set_policy(adds=())
    await at.sees(hnb, "->", hms, rpc.Inform, events=told(BOOTSTRAP), retry_count=1)
    await at.sees(hnb, "->", hms, rpc.SetParameterValuesResponse)
    await at.tells(hnb, "REGISTRATION_START")


@discovery_provisioning_fault.variant("location_refused")
async def location_refused(at: Stage) -> None:
    """The HMS answers the Inform by a fault: no value is set, no registration starts."""
    hnb, hms = at.hnb, at.initial_hms
    hms.set_policy(inform_fault=8002)
    _nobody_serves(at)
    hnb.power_on()
    await secured(at, hnb, hms)
    await at.sees(hnb, "->", hms, rpc.Inform)  # 4
    at.never(hnb, "->", hms, Request, body=is_empty)
    at.never(hnb, "<-", hms, rpc.SetParameterValues)
    await at.sees(hnb, "<-", hms, rpc.Fault, code=8002)  # 5
    await at.tells(hnb, "FAILED", step="5")


@discovery_provisioning_fault.variant("no_segw")
async def no_segw(at: Stage) -> None:
    """The HMS sets a serving HMS and no SeGW: half a set is none."""
    hnb, hms = at.hnb, at.initial_hms
    hms.set_policy(omits=("segw",))
    _nobody_serves(at)
    hnb.power_on()
    await secured(at, hnb, hms)
    await informed(at, hnb, hms)
    await at.sees(hnb, "<-", hms, rpc.SetParameterValues)  # 6
    await at.tells(hnb, "FAILED", step="6")


@discovery_provisioning_fault.variant("unavailable")
async def unavailable(at: Stage) -> None:
    """The HMS answers 503 and asks for a second of patience: the HNB waits, and is served."""
    hnb, hms = at.hnb, at.initial_hms
    hms.set_policy(unavailable_times=1, retry_after_s=1)
    hnb.set_policy(**SOON)
    hnb.power_on()
    await secured(at, hnb, hms)
    await at.sees(hnb, "->", hms, rpc.Inform)  # 4
    refused = await at.sees(hnb, "<-", hms, Response, status=503)  # 5
    await at.tells(hnb, "FAILED", step="5")
    again = await at.sees(hnb, "->", hms, rpc.Inform, retry_count=1)  # 4, again
    assert again.time_ns - refused.time_ns >= 1_000_000_000
    await at.tells(hnb, "REGISTRATION_START")


async def _dies(at: Stage, moment: str, step: str) -> None:
    """The HMS resets the connection instead of an answer; the HNB's next try discovers."""
    hnb, hms = at.hnb, at.initial_hms
    hms.set_policy(dies_at=moment)
    hnb.set_policy(**SOON)
    hnb.power_on()
    await secured(at, hnb, hms)
    await at.tells(hnb, "FAILED", step=step)
    await at.sees(hnb, "->", hms, rpc.Inform, retry_count=1)  # 4, again
    await at.tells(hnb, "REGISTRATION_START")


@discovery_provisioning_fault.variant("dies_at_inform")
async def dies_at_inform(at: Stage) -> None:
    """The HMS dies over the Inform, and lives again."""
    await _dies(at, "Inform", "5")


@discovery_provisioning_fault.variant("dies_before_set")
async def dies_before_set(at: Stage) -> None:
    """The HMS dies over the empty POST, and lives again."""
    await _dies(at, "empty", "6")


@discovery_provisioning_fault.variant("dies_before_release")
async def dies_before_release(at: Stage) -> None:
    """The HMS dies over the SetParameterValuesResponse: the session was never released."""
    await _dies(at, "SetParameterValuesResponse", "8")


@discovery_provisioning_fault.variant("silent")
async def silent(at: Stage) -> None:
    """The HMS never answers the Inform: the HNB gives up in its own time."""
    hnb, hms = at.hnb, at.initial_hms
    hms.set_policy(silent_at="Inform")
    hnb.set_policy(answer_within_s=0.5)
    _nobody_serves(at)
    hnb.power_on()
    await secured(at, hnb, hms)
    await at.sees(hnb, "->", hms, rpc.Inform)  # 4
    at.never(hnb, "->", hms, Request, body=is_empty)
    await at.tells(hnb, "FAILED", step="5")


@discovery_provisioning_fault.variant("redirected")
async def redirected(at: Stage) -> None:
    """The HMS sends the HNB elsewhere (307): it tells everything there, and is served there."""
    hnb, hms, other = at.hnb, at.initial_hms, at.north_hms
    hms.set_policy(redirect_to=other.url)
    other.assign("south", SERVING_SEGW, at.serving_hms.url, "hnbgw.south.operator.example")
    hnb.power_on()
    await secured(at, hnb, hms)
    await at.sees(hnb, "->", hms, rpc.Inform)  # 4
    await at.sees(hnb, "<-", hms, Response, status=307)
    await at.sees(hnb, "->", other, tls.ClientHello, server_name=other.node.names[0])  # 3
    await at.sees(hnb, "->", other, rpc.Inform)  # 4
    await at.sees(hnb, "<-", other, rpc.InformResponse)  # 5
    await at.sees(hnb, "->", other, rpc.SetParameterValuesResponse, status=0)  # 7
    await at.tells(hnb, "REGISTRATION_START")  # 9
