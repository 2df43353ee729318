import pytest

from testbed.datamodel.definitions import DEVICE, GATEWAY, device_model, gateway_model
from testbed.datamodel.rules import check_together
from testbed.datamodel.tree import Tree
from testbed.datamodel.values import AttributeRequest, ModelFault, Value

MODELS = {DEVICE: device_model, GATEWAY: gateway_model}


def values(root: str, minimum: str | None, maximum: str | None) -> list[Value]:
    named = {"STUNMinimumKeepAlivePeriod": minimum, "STUNMaximumKeepAlivePeriod": maximum}
    return [
        Value(f"{root}ManagementServer.{name}", text)
        for name, text in named.items()
        if text is not None
    ]


@pytest.mark.parametrize("root", MODELS)
@pytest.mark.parametrize(
    ("minimum", "maximum"),
    [("30", "30"), ("0", "0"), ("30", "-1"), ("30", None), (None, "0"), ("x", "1"), (None, None)],
)
def test_periods_that_can_be_kept_are_let_through(root, minimum, maximum):
    check_together(Tree(MODELS[root]()), values(root, minimum, maximum))


@pytest.mark.parametrize("root", MODELS)
def test_a_minimum_above_the_maximum_is_refused(root):
    tree = Tree(MODELS[root]())
    with pytest.raises(ModelFault) as refused:
        check_together(tree, values(root, "31", "30"))

    assert refused.value.code == 9003
    assert [each.code for each in refused.value.refusals] == [9007]


@pytest.mark.parametrize(("minimum", "maximum"), [("61", None), (None, "59")])
def test_what_the_tree_holds_already_counts(minimum, maximum):
    tree = Tree(device_model())
    tree.set(values(DEVICE, "60", "60"))

    with pytest.raises(ModelFault, match="the minimum is 6"):
        check_together(tree, values(DEVICE, minimum, maximum))


def test_a_held_change_is_told_when_it_is_held_no_more():
    tree = Tree(device_model())
    path = f"{DEVICE}ManagementServer.UDPConnectionRequestAddress"
    tree.set_attributes([AttributeRequest(path, 2)])
    tree.held.add(path)
    tree.assign(path, "203.0.113.1:80")
    assert tree.changes() == ()
    assert tree.value(path) == "203.0.113.1:80"

    tree.held.discard(path)

    assert [each.value.path for each in tree.changes()] == [path]
