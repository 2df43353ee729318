"""What an ACS may not set although each value alone would do: rules between parameters."""

from __future__ import annotations

from collections.abc import Iterable

from testbed.datamodel.tree import Tree
from testbed.datamodel.values import (
    INVALID_ARGUMENTS,
    INVALID_VALUE,
    ModelFault,
    Refusal,
    Value,
)

NO_MAXIMUM = -1


def check_together(tree: Tree, values: Iterable[Value]) -> None:
    """Refuse values that do not fit each other, or what the tree holds already.

    TR-111 Part 2, Table 6 gives the least and the most time between keep-alives; a least that is
    more than the most can be kept by nobody.

    Raises:
        ModelFault: 9003, with 9007 for the parameter that does not fit.
    """
    server = f"{tree.model.root}ManagementServer."
    minimum, maximum = f"{server}STUNMinimumKeepAlivePeriod", f"{server}STUNMaximumKeepAlivePeriod"
    wanted = {each.path: each.text for each in values if each.path in (minimum, maximum)}
    if not wanted:
        return
    try:
        least, most = (int(wanted.get(path, tree.value(path))) for path in (minimum, maximum))
    except ValueError:
        return  # the parameter's own type refuses it
    if NO_MAXIMUM < most < least:
        path = maximum if maximum in wanted else minimum
        text = f"the minimum is {least} s and the maximum {most} s"
        refusal = Refusal(path, INVALID_VALUE, text)
        raise ModelFault(INVALID_ARGUMENTS, f"{path}: {text}", [refusal])
