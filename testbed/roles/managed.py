"""What a managed device says of itself and answers to its ACS, out of its tree.

HNB, device and managed gateway share it.  It has neither clock nor stream: what a call asks for
after the session (Reboot, FactoryReset, Download, ScheduleInform) is only acknowledged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from testbed.datamodel.rules import check_together
from testbed.datamodel.tree import Tree
from testbed.datamodel.values import AttributeRequest, ModelFault, Value
from testbed.protocols.cwmp import faults, rpc
from testbed.protocols.cwmp.envelope import Envelope


def device_id(tree: Tree) -> rpc.DeviceId:
    """Who the device is, by its DeviceInfo."""
    info = f"{tree.model.root}DeviceInfo."
    return rpc.DeviceId(
        tree.value(f"{info}Manufacturer"),
        tree.value(f"{info}ManufacturerOUI"),
        tree.value(f"{info}ProductClass"),
        tree.value(f"{info}SerialNumber"),
    )


def inform(
    tree: Tree,
    events: Iterable[rpc.Event],
    current_time: str = rpc.UNKNOWN_TIME,
    retry_count: int = 0,
    extra: Iterable[str] = (),
) -> rpc.Inform:
    """The Inform that opens a session: forced parameters, changed ones, and `extra`.

    Once the ACS has accepted it, give `tree.told` the changes that were pending when it was made.

    Args:
        current_time: ISO 8601; a device without time leaves it unknown.
        retry_count: how often this session was tried before.
        extra: more parameters, by their full names: an HNB's location.

    Raises:
        BadInput: `extra` names no parameter.
    """
    values = tuple(_to_wire(each) for each in tree.inform_values(extra))
    return rpc.Inform(
        device_id(tree),
        tuple(events),
        current_time=current_time,
        retry_count=retry_count,
        parameters=values,
    )


def serve(tree: Tree, call: Envelope) -> rpc.Rpc:
    """Carry out a call of the ACS; its response, or the fault that TR-069 names."""
    if call.must_understand:
        # SOAP 1.1, 4.2.3: a mandatory header that is not understood forbids the call.
        names = ", ".join(call.must_understand)
        return rpc.Fault(soap_code="MustUnderstand", soap_text=f"{names} is not understood")
    answer = _ANSWERS.get(type(call.message))
    if answer is None:
        return rpc.fault(faults.METHOD_NOT_SUPPORTED)
    try:
        return answer(tree, call.message)
    except ModelFault as refused:
        parameters = tuple(
            rpc.ParameterFault(each.path, each.code, each.text) for each in refused.refusals
        )
        return rpc.fault(refused.code, str(refused), parameters)


def _to_wire(value: Value) -> rpc.ParameterValue:
    return rpc.ParameterValue(value.path, value.text, value.type)


def _methods(tree: Tree, call: rpc.GetRPCMethods) -> rpc.Rpc:
    return rpc.GetRPCMethodsResponse(rpc.CPE_METHODS)


def _set_values(tree: Tree, call: rpc.SetParameterValues) -> rpc.Rpc:
    values = [Value(each.name, each.value, each.type) for each in call.parameters]
    check_together(tree, values)
    tree.set(values, call.key)
    return rpc.SetParameterValuesResponse()


def _get_values(tree: Tree, call: rpc.GetParameterValues) -> rpc.Rpc:
    return rpc.GetParameterValuesResponse(tuple(_to_wire(each) for each in tree.get(call.names)))


def _names(tree: Tree, call: rpc.GetParameterNames) -> rpc.Rpc:
    names = tree.names(call.path, call.next_level)
    return rpc.GetParameterNamesResponse(
        tuple(rpc.ParameterInfo(each.path, each.writable) for each in names)
    )


def _set_attributes(tree: Tree, call: rpc.SetParameterAttributes) -> rpc.Rpc:
    tree.set_attributes(
        [
            AttributeRequest(
                each.name,
                each.notification if each.notification_change else None,
                each.access_list if each.access_list_change else None,
            )
            for each in call.parameters
        ]
    )
    return rpc.SetParameterAttributesResponse()


def _get_attributes(tree: Tree, call: rpc.GetParameterAttributes) -> rpc.Rpc:
    return rpc.GetParameterAttributesResponse(
        tuple(
            rpc.ParameterAttributes(each.path, int(each.notification), each.access_list)
            for each in tree.attributes(call.names)
        )
    )


def _add(tree: Tree, call: rpc.AddObject) -> rpc.Rpc:
    return rpc.AddObjectResponse(tree.add_object(call.object_name, call.key))


def _delete(tree: Tree, call: rpc.DeleteObject) -> rpc.Rpc:
    tree.delete_object(call.object_name, call.key)
    return rpc.DeleteObjectResponse()


def _download(tree: Tree, call: rpc.Download) -> rpc.Rpc:
    scheme = call.url.partition(":")[0].lower()
    if scheme not in ("http", "https"):
        return rpc.fault(9013, f"the URL's scheme is {scheme!r}; http and https are known")
    return rpc.DownloadResponse(status=1)


def _schedule(tree: Tree, call: rpc.ScheduleInform) -> rpc.Rpc:
    if call.delay_s < 1:
        return rpc.fault(faults.INVALID_ARGUMENTS, f"DelaySeconds is {call.delay_s}, at least 1")
    return rpc.ScheduleInformResponse()


_ANSWERS: dict[type[rpc.Rpc], Callable[[Tree, Any], rpc.Rpc]] = {
    rpc.GetRPCMethods: _methods,
    rpc.SetParameterValues: _set_values,
    rpc.GetParameterValues: _get_values,
    rpc.GetParameterNames: _names,
    rpc.SetParameterAttributes: _set_attributes,
    rpc.GetParameterAttributes: _get_attributes,
    rpc.AddObject: _add,
    rpc.DeleteObject: _delete,
    rpc.Reboot: lambda tree, call: rpc.RebootResponse(),
    rpc.FactoryReset: lambda tree, call: rpc.FactoryResetResponse(),
    rpc.Download: _download,
    rpc.ScheduleInform: _schedule,
}
