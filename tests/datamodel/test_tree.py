"""Trees: what an ACS may do and is refused with, and what a device has to tell."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.datamodel.definitions import (
    DEVICE,
    GATEWAY,
    device_model,
    device_summary,
    gateway_model,
    hnb_model,
)
from testbed.datamodel.model import Model, Notification
from testbed.datamodel.tree import MOST_INSTANCES, Tree
from testbed.datamodel.values import AttributeRequest, ModelFault, Name, Refusal, Value
from testbed.errors import BadInput

INFO = "Device.DeviceInfo."
SERVER = "Device.ManagementServer."
FAP = "Device.Services.FAPService.1."
SEGW = f"{FAP}FAPControl.UMTS.Gateway.SecGWServer1"
MEMBERS = f"{FAP}AccessMgmt.MemberDetail."
CELLS = f"{FAP}REM.WCDMAFDD.Cell."


@pytest.fixture
def tree() -> Tree:
    return Tree(hnb_model(), {f"{SERVER}URL": "https://hms.example/", f"{INFO}ProductClass": "HNB"})


def values(tree: Tree, *names: str) -> dict[str, str]:
    return {each.path: each.text for each in tree.get(names)}


class TestModels:
    @pytest.mark.parametrize(
        "model",
        [device_model(), gateway_model(), hnb_model(), hnb_model(GATEWAY, 2), hnb_model(DEVICE, 2)],
        ids=["device", "gateway", "hnb", "hnb in a gateway", "hnb of issue 2"],
    )
    def test_every_default_is_a_value_of_its_type(self, model: Model) -> None:
        for each in model.parameters.values():
            assert each.type.canonical(each.default) == each.default

    @pytest.mark.parametrize(
        ("model", "forced"),
        [
            (
                device_model(),
                {
                    *("Device.DeviceSummary", f"{INFO}HardwareVersion", f"{INFO}SoftwareVersion"),
                    *(f"{SERVER}ParameterKey", f"{SERVER}ConnectionRequestURL"),
                    "Device.LAN.IPAddress",
                },
            ),
            (
                gateway_model(),
                {
                    *("InternetGatewayDevice.DeviceSummary",),
                    *("InternetGatewayDevice.DeviceInfo.HardwareVersion",),
                    *("InternetGatewayDevice.DeviceInfo.SoftwareVersion",),
                    *("InternetGatewayDevice.DeviceInfo.SpecVersion",),
                    *("InternetGatewayDevice.DeviceInfo.ProvisioningCode",),
                    *("InternetGatewayDevice.ManagementServer.ParameterKey",),
                    *("InternetGatewayDevice.ManagementServer.ConnectionRequestURL",),
                    "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1."
                    "WANIPConnection.1.ExternalIPAddress",
                },
            ),
        ],
        ids=["Device:1", "InternetGatewayDevice:1"],
    )
    def test_inform_carries_the_forced_parameters_of_its_root(
        self, model: Model, forced: set[str]
    ) -> None:
        assert {each.path for each in Tree(model).inform_values()} == forced

    def test_an_hnbs_inform_also_carries_its_state(self, tree: Tree) -> None:
        carried = {each.path for each in tree.inform_values()}

        assert {f"{FAP}FAPControl.OpState", f"{FAP}FAPControl.RFTxStatus"} <= carried

    def test_issue_2_of_tr_196_moves_state_gps_and_neighbours(self) -> None:
        parameters = hnb_model(DEVICE, 2).parameters

        assert "Device.Services.FAPService.{i}.FAPControl.UMTS.OpState" in parameters
        assert "Device.FAP.GPS.LockedLatitude" in parameters
        assert "Device.Services.FAPService.{i}.REM.UMTS.WCDMA.Cell.{i}.BCCH.LAC" in parameters
        assert "Device.Services.FAPService.{i}.GPS.LockedLatitude" not in parameters

    def test_summary_names_root_and_service(self) -> None:
        assert device_summary(hnb_model(), 1) == (
            "Device:1.1[](Baseline:1,UDPConnReq:1), FAPService:1.1[1](Baseline:1)"
        )
        assert device_summary(gateway_model()).startswith("InternetGatewayDevice:1.2[]")

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("A | R | boolean", "has 3 cells, 5 are needed"),
            ("A | W | boolean | |", "access 'W'"),
            ("A | R | boolean | | loud", "flags"),
            ("A | R | boolean | |\nA | R | boolean | |", "defined twice"),
            ("A | R | float | |", "is no parameter type"),
        ],
    )
    def test_a_line_that_is_none_is_refused(self, line: str, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            Model.of(DEVICE, [line])

    @pytest.mark.parametrize(("root", "issue"), [("Device", 1), (DEVICE, 3)])
    def test_no_other_root_and_no_other_issue(self, root: str, issue: int) -> None:
        with pytest.raises(ValueError, match="not"):
            hnb_model(root, issue)


class TestGet:
    def test_one_parameter(self, tree: Tree) -> None:
        assert tree.get([f"{SERVER}URL"]) == (
            Value(f"{SERVER}URL", "https://hms.example/", "string"),
        )

    def test_a_partial_path_means_all_below(self, tree: Tree) -> None:
        assert set(values(tree, f"{FAP}GPS.")) == {
            path for path in values(tree, "") if path.startswith(f"{FAP}GPS.")
        }

    def test_the_empty_path_means_everything(self, tree: Tree) -> None:
        assert values(tree, "") == values(tree, "Device.")

    @pytest.mark.parametrize(
        "name", ["Device", "Device.Nothing", "Device.Nothing.", f"{CELLS}1.", f"{SERVER}URL."]
    )
    def test_an_unknown_name_is_fault_9005(self, tree: Tree, name: str) -> None:
        with pytest.raises(ModelFault) as refused:
            tree.get([f"{SERVER}URL", name])

        assert refused.value.code == 9005
        assert str(refused.value) == f"no parameter or object is called {name!r}"

    def test_an_empty_table_has_no_values(self, tree: Tree) -> None:
        assert values(tree, CELLS) == {}

    def test_passwords_read_back_empty(self, tree: Tree) -> None:
        tree.set([Value(f"{SERVER}Password", "secret")])

        assert values(tree, f"{SERVER}Password") == {f"{SERVER}Password": ""}
        assert tree.value(f"{SERVER}Password") == "secret"


class TestNames:
    def test_the_level_below_the_empty_path_is_the_root(self, tree: Tree) -> None:
        assert tree.names("", True) == (Name("Device.", False),)

    def test_next_level(self, tree: Tree) -> None:
        assert [each.path for each in tree.names("Device.", True)] == [
            *("Device.DeviceInfo.", "Device.DeviceSummary", "Device.GatewayInfo."),
            *("Device.LAN.", "Device.ManagementServer.", "Device.Services."),
        ]

    def test_all_levels_hold_the_path_itself_and_every_parameter(self, tree: Tree) -> None:
        names = {each.path for each in tree.names("Device.", False)}

        assert "Device." in names
        assert set(values(tree, "")) <= names

    def test_writable_means_may_be_set_or_added_to(self, tree: Tree) -> None:
        number = tree.add_object(MEMBERS)
        writable = {each.path for each in tree.names(f"{FAP}AccessMgmt.", False) if each.writable}

        assert {MEMBERS, f"{MEMBERS}{number}.", f"{MEMBERS}{number}.IMSI"} <= writable
        assert f"{FAP}AccessMgmt." not in writable

    def test_a_parameter_is_its_own_list(self, tree: Tree) -> None:
        assert tree.names(SEGW, False) == (Name(SEGW, True),)

    def test_below_a_parameter_there_is_no_level(self, tree: Tree) -> None:
        with pytest.raises(ModelFault) as refused:
            tree.names(SEGW, True)

        assert refused.value.code == 9003

    def test_an_unknown_path_is_fault_9005(self, tree: Tree) -> None:
        with pytest.raises(ModelFault) as refused:
            tree.names("Device.Nothing.", True)

        assert refused.value.code == 9005


class TestSet:
    def test_all_are_set_and_the_key_is_kept(self, tree: Tree) -> None:
        changed = tree.set(
            [
                Value(SEGW, "segw.example", "string"),
                Value(f"{SERVER}STUNEnable", "true", "boolean"),
            ],
            "k1",
        )

        assert changed == (SEGW, f"{SERVER}STUNEnable")
        assert tree.value(SEGW) == "segw.example"
        assert tree.value(f"{SERVER}STUNEnable") == "1"
        assert tree.value(f"{SERVER}ParameterKey") == "k1"

    @pytest.mark.parametrize(
        ("value", "code", "reason"),
        [
            (Value("Device.Nothing", "1"), 9005, "there is no such parameter"),
            (Value("Device.ManagementServer.", "1"), 9005, "there is no such parameter"),
            (Value(f"{SERVER}STUNEnable", "1", "string"), 9006, "is boolean, not string"),
            (Value(f"{SERVER}PeriodicInformInterval", "0"), 9007, "0 is outside 1 to 4294967295"),
            (Value(f"{SERVER}NATDetected", "1"), 9008, "is read-only"),
            (Value(f"{SERVER}Username", "me", "string"), 9003, "is in the list twice"),
        ],
        ids=["name", "object", "type", "value", "read-only", "twice"],
    )
    def test_one_bad_parameter_sets_none_and_is_named(
        self, tree: Tree, value: Value, code: int, reason: str
    ) -> None:
        before = tree.export()

        with pytest.raises(ModelFault) as refused:
            tree.set([Value(f"{SERVER}Username", "you"), value], "k1")

        assert refused.value.code == 9003
        assert refused.value.refusals == (Refusal(value.path, code, reason),)
        assert tree.export() == before

    def test_every_bad_parameter_is_named(self, tree: Tree) -> None:
        with pytest.raises(ModelFault) as refused:
            tree.set(
                [Value("A", ""), Value(SEGW, "x" * 65), Value(f"{FAP}DeviceType", "Standalone")]
            )

        assert [each.code for each in refused.value.refusals] == [9005, 9007, 9008]

    @pytest.mark.parametrize("operation", ["set", "add", "delete"])
    def test_a_key_of_33_characters_is_fault_9003(self, tree: Tree, operation: str) -> None:
        ask: dict[str, Callable[[str], object]] = {
            "set": lambda key: tree.set([Value(SEGW, "a")], key),
            "add": lambda key: tree.add_object(MEMBERS, key),
            "delete": lambda key: tree.delete_object(f"{MEMBERS}1.", key),
        }
        with pytest.raises(ModelFault) as refused:
            ask[operation]("k" * 33)

        assert refused.value.code == 9003
        assert tree.value(SEGW) == ""

    @given(st.text(max_size=40), st.text(max_size=80), st.sampled_from(["", "string", "int"]))
    def test_any_request_is_done_or_refused(self, name: str, text: str, kind: str) -> None:
        tree = Tree(device_model())
        for path in (name, SERVER + name, f"{SERVER}STUNServerPort", f"{SERVER}Username"):
            try:
                tree.set([Value(path, text, kind)])
            except ModelFault as fault:
                assert fault.code == 9003  # noqa: PT017 - both ends are right, no other is


class TestAttributes:
    def test_notifications_begin_with_the_models(self, tree: Tree) -> None:
        attributes = {each.path: each.notification for each in tree.attributes(["Device."])}

        assert attributes["Device.GatewayInfo.SerialNumber"] is Notification.ACTIVE
        assert attributes[f"{SERVER}UDPConnectionRequestAddress"] is Notification.OFF

    def test_a_partial_path_sets_all_below(self, tree: Tree) -> None:
        tree.set_attributes([AttributeRequest("Device.LAN.", 1, ("Subscriber",))])

        attributes = tree.attributes(["Device.LAN."])
        assert {each.notification for each in attributes} == {Notification.PASSIVE}
        assert {each.access_list for each in attributes} == {("Subscriber",)}

    def test_what_is_not_asked_stays(self, tree: Tree) -> None:
        tree.set_attributes([AttributeRequest("Device.LAN.IPAddress", 2, ("Subscriber",))])
        tree.set_attributes([AttributeRequest("Device.LAN.IPAddress", None, ())])
        tree.set_attributes([AttributeRequest("Device.LAN.IPAddress", None, None)])

        (attributes,) = tree.attributes(["Device.LAN.IPAddress"])
        assert attributes.notification is Notification.ACTIVE
        assert attributes.access_list == ()

    @pytest.mark.parametrize(
        ("path", "notification", "code"),
        [
            ("Device.Nothing", 1, 9005),
            ("Device.LAN.IPAddress", 3, 9003),
            (f"{SERVER}ParameterKey", 2, 9009),
        ],
        ids=["unknown name", "unknown notification", "denied"],
    )
    def test_one_bad_request_sets_none(
        self, tree: Tree, path: str, notification: int, code: int
    ) -> None:
        with pytest.raises(ModelFault) as refused:
            tree.set_attributes(
                [AttributeRequest("Device.LAN.MACAddress", 2), AttributeRequest(path, notification)]
            )

        assert refused.value.code == code
        assert tree.notification("Device.LAN.MACAddress") is Notification.OFF

    def test_forced_active_notification_stays_active(self) -> None:
        tree = Tree(gateway_model())
        software = "InternetGatewayDevice.DeviceInfo.SoftwareVersion"

        with pytest.raises(ModelFault) as refused:
            tree.set_attributes([AttributeRequest(software, 0)])
        tree.set_attributes([AttributeRequest(software, 2)])

        assert refused.value.code == 9009

    def test_table_3_of_tr_111_may_deny_and_table_2_must_not(self) -> None:
        tree = Tree(gateway_model())
        table = "InternetGatewayDevice.ManagementServer.ManageableDevice."
        tree.add_row(table, {"SerialNumber": "1"})

        tree.set_attributes([AttributeRequest(f"{table}1.", 1)])
        tree.set_attributes([AttributeRequest(f"{table[:-1]}NumberOfEntries", 2)])
        with pytest.raises(ModelFault) as refused:
            tree.set_attributes([AttributeRequest(f"{table}1.SerialNumber", 2)])

        assert refused.value.code == 9009

    def test_defaults_apply_again_when_the_url_of_the_acs_changes(self, tree: Tree) -> None:
        tree.set_attributes([AttributeRequest("Device.GatewayInfo.", 0)])
        tree.set([Value(f"{SERVER}URL", "https://other.example/")])

        assert tree.notification("Device.GatewayInfo.SerialNumber") is Notification.ACTIVE


class TestObjects:
    def test_a_new_instance_has_the_defaults_of_the_model(self, tree: Tree) -> None:
        number = tree.add_object(MEMBERS, "k2")

        assert number == 1
        assert values(tree, f"{MEMBERS}1.") == {f"{MEMBERS}1.Enable": "0", f"{MEMBERS}1.IMSI": ""}
        assert tree.value(f"{MEMBERS[:-1]}NumberOfEntries") == "1"
        assert tree.value(f"{SERVER}ParameterKey") == "k2"

    def test_instance_numbers_are_not_used_again(self, tree: Tree) -> None:
        tree.add_object(MEMBERS)
        tree.delete_object(f"{MEMBERS}1.", "k3")

        assert tree.add_object(MEMBERS) == 2
        assert tree.rows(MEMBERS) == (2,)
        assert tree.value(f"{SERVER}ParameterKey") == ""

    def test_deleting_takes_all_below_along(self, tree: Tree) -> None:
        tree.add_object(MEMBERS)
        tree.set_attributes([AttributeRequest(f"{MEMBERS}1.IMSI", 2)])
        tree.delete_object(f"{MEMBERS}1.")

        assert values(tree, MEMBERS) == {}
        assert tree.value(f"{MEMBERS[:-1]}NumberOfEntries") == "0"

    @pytest.mark.parametrize("path", [CELLS, "Device.", "Device.Nothing.", MEMBERS[:-1], SEGW])
    def test_adding_where_it_may_not_is_fault_9005(self, tree: Tree, path: str) -> None:
        with pytest.raises(ModelFault) as refused:
            tree.add_object(path)

        assert refused.value.code == 9005

    @pytest.mark.parametrize(
        "path", [f"{CELLS}1.", f"{MEMBERS}7.", MEMBERS, f"{MEMBERS}x.", FAP, ""]
    )
    def test_deleting_what_it_may_not_is_fault_9005(self, tree: Tree, path: str) -> None:
        tree.add_row(CELLS)

        with pytest.raises(ModelFault) as refused:
            tree.delete_object(path)

        assert refused.value.code == 9005

    def test_a_full_table_is_fault_9004(self, tree: Tree) -> None:
        for _ in range(MOST_INSTANCES):
            tree.add_object(MEMBERS)

        with pytest.raises(ModelFault) as refused:
            tree.add_object(MEMBERS)

        assert refused.value.code == 9004

    def test_tables_within_instances_come_with_them(self) -> None:
        tree = Tree(gateway_model())
        connections = "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection."

        assert tree.add_object(connections) == 2
        assert tree.value(f"{connections}2.NATEnabled") == "1"

    def test_the_device_adds_and_removes_what_the_acs_may_not(self, tree: Tree) -> None:
        number = tree.add_row(CELLS, {"BCCH.LAC": "7"})
        assert tree.value(f"{CELLS}{number}.BCCH.LAC") == "7"
        assert tree.value(f"{CELLS[:-1]}NumberOfEntries") == "1"

        tree.remove_row(CELLS, number)
        assert tree.rows(CELLS) == ()

    def test_the_device_is_told_of_its_own_mistakes(self, tree: Tree) -> None:
        with pytest.raises(BadInput, match="no table is called"):
            tree.add_row("Device.Cells.")
        with pytest.raises(BadInput, match="no object is called"):
            tree.remove_row(CELLS, 9)
        with pytest.raises(BadInput, match="did you mean"):
            tree.assign("Device.DeviceInfo.UpTim", "1")
        with pytest.raises(BadInput, match="UpTime: 'long' is no unsignedInt"):
            tree.assign("Device.DeviceInfo.UpTime", "long")
        with pytest.raises(BadInput, match="no parameter is called"):
            tree.inform_values(["Device.Nothing"])


class TestChanges:
    ADDRESS = f"{SERVER}UDPConnectionRequestAddress"
    SERIAL = "Device.GatewayInfo.SerialNumber"

    def test_a_device_leaves_the_factory_with_nothing_to_tell(self, tree: Tree) -> None:
        assert tree.changes() == ()

    def test_only_notified_parameters_count(self, tree: Tree) -> None:
        tree.assign(self.ADDRESS, "203.0.113.1:3")
        tree.assign(self.SERIAL, "G1")

        (change,) = tree.changes()
        assert change.value == Value(self.SERIAL, "G1", "string")
        assert change.active

    def test_passive_changes_wait_for_the_next_session(self, tree: Tree) -> None:
        tree.set_attributes([AttributeRequest(self.ADDRESS, 1)])
        tree.assign(self.ADDRESS, "203.0.113.1:3")

        (change,) = tree.changes()
        assert not change.active

    def test_the_same_value_again_is_no_change(self, tree: Tree) -> None:
        tree.assign(self.SERIAL, "")

        assert tree.changes() == ()

    def test_a_value_that_changed_back_still_counts(self, tree: Tree) -> None:
        # TR-069 3.7.1.5: "even if its value has changed back".
        tree.assign(self.SERIAL, "G1")
        tree.assign(self.SERIAL, "")

        assert [each.value.text for each in tree.changes()] == [""]

    def test_what_the_acs_sets_is_no_change(self, tree: Tree) -> None:
        tree.set_attributes([AttributeRequest(SEGW, 2)])
        tree.set([Value(SEGW, "segw.example")])

        assert tree.changes() == ()

    def test_a_row_that_the_acs_adds_or_deletes_is_no_change(self, tree: Tree) -> None:
        tree.set_attributes([AttributeRequest(f"{MEMBERS[:-1]}NumberOfEntries", 2)])
        tree.add_object(MEMBERS)
        tree.delete_object(f"{MEMBERS}1.")

        assert tree.changes() == ()

    def test_inform_carries_the_changes_once(self, tree: Tree) -> None:
        tree.assign(self.SERIAL, "G1")

        carried = [each.path for each in tree.inform_values([self.SERIAL, SEGW])]
        assert carried.count(self.SERIAL) == 1
        assert carried[-2:] == [self.SERIAL, SEGW]

    def test_told_changes_are_gone_and_later_ones_are_not(self, tree: Tree) -> None:
        tree.assign(self.SERIAL, "G1")
        first = tree.changes()
        tree.assign(self.SERIAL, "G2")
        tree.told(first)
        assert [each.value.text for each in tree.changes()] == ["G2"]

        tree.told(tree.changes())
        assert tree.changes() == ()

    def test_the_count_of_a_table_is_told(self) -> None:
        tree = Tree(gateway_model())
        table = "InternetGatewayDevice.ManagementServer.ManageableDevice."
        tree.set_attributes([AttributeRequest(f"{table[:-1]}NumberOfEntries", 2)])
        tree.add_row(table)

        assert [each.value.text for each in tree.changes()] == ["1"]


class TestPersistence:
    def test_a_reboot_keeps_everything(self, tree: Tree) -> None:
        tree.set([Value(SEGW, "segw.example")], "k1")
        tree.add_object(MEMBERS)
        tree.set_attributes([AttributeRequest(SEGW, 2, ("Subscriber",))])
        tree.assign(SEGW, "other.example")
        state = json.loads(json.dumps(tree.export()))

        again = Tree(hnb_model())
        again.restore(state)

        assert again.export() == tree.export()
        assert [each.value for each in again.changes()] == [each.value for each in tree.changes()]
        assert again.add_object(MEMBERS) == 2

    def test_a_factory_reset_forgets_all_but_factory_data(self, tree: Tree) -> None:
        fresh = tree.export()
        tree.set([Value(SEGW, "segw.example"), Value(f"{SERVER}URL", "https://b/")], "k1")
        tree.add_object(MEMBERS)
        tree.assign("Device.GatewayInfo.SerialNumber", "G1")

        tree.reset()

        assert tree.export() == fresh
        assert tree.value(f"{SERVER}URL") == "https://hms.example/"

    def test_the_state_of_another_model_is_refused(self, tree: Tree) -> None:
        with pytest.raises(BadInput, match="no parameter is called"):
            tree.restore(Tree(gateway_model()).export())

    def test_factory_data_must_fit_the_model(self) -> None:
        with pytest.raises(BadInput, match=r"no parameter is called 'Device\.Colour'"):
            Tree(device_model(), {"Device.Colour": "blue"})
