"""Discovery data of an HNB: the same for an HMS, whatever root and issue the HNB speaks."""

from __future__ import annotations

import pytest

from testbed.datamodel.definitions import DEVICE, GATEWAY, hnb_model
from testbed.datamodel.femto import Cell, FemtoPaths, ReportedLocation, reported_location
from testbed.datamodel.tree import Tree

LAYOUTS = [(root, issue) for root in (DEVICE, GATEWAY) for issue in (1, 2)]


def located(root: str, issue: int) -> tuple[Tree, FemtoPaths]:
    """An HNB that has heard GPS and two neighbours."""
    tree, paths = Tree(hnb_model(root, issue)), FemtoPaths(root, issue)
    tree.assign(paths.gps_status, "Success")
    tree.assign(paths.latitude, "48137154")
    tree.assign(paths.longitude, "-11576124")
    tree.add_row(paths.cells, {"BCCH.PLMNID": "26201", "BCCH.LAC": "77", "BCCH.CellID": "5"})
    tree.add_row(paths.cells, {"BCCH.PLMNID": "26202"})
    return tree, paths


@pytest.mark.parametrize(("root", "issue"), LAYOUTS)
class TestEveryLayout:
    def test_all_paths_are_parameters_of_the_model(self, root: str, issue: int) -> None:
        tree, paths = located(root, issue)

        for path in (
            *(paths.hms_url, paths.segw, paths.hnb_gw, paths.hnb_gw_port, paths.op_state),
            *(paths.admin_state, paths.latitude, paths.longitude, paths.gps_status),
            paths.cells_status,
        ):
            tree.value(path)

    def test_an_inform_tells_the_place(self, root: str, issue: int) -> None:
        tree, paths = located(root, issue)
        inform = {each.path: each.text for each in tree.inform_values(paths.location_names(tree))}

        assert reported_location(inform) == ReportedLocation(
            48.137154, -11.576124, (Cell("26201", 77, 5), Cell("26202", 0, 0))
        )

    def test_an_inform_tells_the_layout(self, root: str, issue: int) -> None:
        tree, paths = located(root, issue)
        names = [each.path for each in tree.inform_values(paths.location_names(tree))]

        assert FemtoPaths.of_names(names) == paths

    def test_the_serving_set_can_be_set(self, root: str, issue: int) -> None:
        tree, paths = located(root, issue)

        tree.set(paths.serving_set("segw.example", "https://hms.example/", "10.10.0.9"), "1")

        assert tree.value(paths.segw) == "segw.example"
        assert tree.value(paths.hms_url) == "https://hms.example/"
        assert tree.value(paths.hnb_gw) == "10.10.0.9"


def test_the_hnb_gw_is_optional() -> None:
    assert len(FemtoPaths().serving_set("segw.example", "https://hms.example/")) == 2


def test_no_position_is_told_before_a_scan_has_succeeded() -> None:
    tree, paths = Tree(hnb_model()), FemtoPaths()

    assert paths.location_names(tree) == ()


def test_an_hmss_view_of_an_inform_without_place() -> None:
    assert reported_location({"Device.DeviceSummary": "Device:1.1[]"}) == ReportedLocation()
    assert FemtoPaths.of_names([]) == FemtoPaths()


def test_what_is_no_number_counts_as_missing() -> None:
    place = reported_location(
        {
            "Device.Services.FAPService.1.GPS.LockedLatitude": "north",
            "Device.Services.FAPService.1.REM.WCDMAFDD.Cell.1.BCCH.LAC": "",
            "Device.LAN.IPAddress": "192.0.2.7",
        }
    )

    assert place == ReportedLocation(None, None, (Cell(),), ("192.0.2.7",))


def test_the_services_instance_is_read_from_the_names() -> None:
    names = ["Device.Services.FAPService.3.FAPControl.OpState"]

    assert FemtoPaths.of_names(names) == FemtoPaths(DEVICE, 1, 3)
