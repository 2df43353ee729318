from __future__ import annotations

from pathlib import Path

import pytest

from testbed.engines.emulation import restrictions


def write(root: Path, path: str, text: str = "") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine without any restriction, with AppArmor on."""
    write(tmp_path, "proc/sys/kernel/unprivileged_userns_clone", "1\n")
    write(tmp_path, "proc/sys/user/max_user_namespaces", "96365\n")
    write(tmp_path, "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "0\n")
    write(tmp_path, "sys/module/apparmor/parameters/enabled", "Y\n")
    return tmp_path


@pytest.mark.parametrize(
    ("setting", "forbids", "remedy"),
    [
        (
            "kernel/unprivileged_userns_clone",
            "0",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_a_setting_that_forbids_user_namespaces_is_named_with_its_remedy(
    root: Path, setting: str, forbids: str, remedy: str
) -> None:
    assert restrictions.on_user_namespaces(root) == []

    write(root, f"proc/sys/{setting}", f"{forbids}\n")

    (found,) = restrictions.on_user_namespaces(root)
    assert f"{setting.replace('/', '.')} is {forbids}" == found.what
    assert remedy == found.remedy


def test_settings_that_the_kernel_does_not_have_forbid_nothing(tmp_path: Path) -> None:
    assert restrictions.on_user_namespaces(tmp_path) == []
    assert not restrictions.app_armor_is_on(tmp_path)


def test_a_profile_on_disk_confines_its_program(root: Path) -> None:
    write(root, "etc/apparmor.d/usr.sbin.named")

    assert list(restrictions.on_programs(root)) == ["named"]


def test_a_disabled_profile_confines_nothing(root: Path) -> None:
    write(root, "etc/apparmor.d/usr.sbin.named")
    write(root, "etc/apparmor.d/disable/usr.sbin.named")

    assert restrictions.on_programs(root) == {}


def test_a_profile_confines_nothing_while_app_armor_is_off(root: Path) -> None:
    write(root, "etc/apparmor.d/usr.sbin.named")
    write(root, "sys/module/apparmor/parameters/enabled", "N\n")

    assert restrictions.on_programs(root) == {}


def test_loaded_profiles_count_more_than_files(root: Path) -> None:
    write(root, "etc/apparmor.d/usr.sbin.named")
    write(
        root,
        "sys/kernel/security/apparmor/profiles",
        "named (complain)\n/usr/bin/tcpdump (enforce)\ndnsmasq (enforce)\n",
    )

    assert sorted(restrictions.on_programs(root)) == ["dnsmasq", "tcpdump"]
