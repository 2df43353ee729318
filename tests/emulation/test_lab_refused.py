"""A machine that refuses a lab says by which setting, and how to mend it."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.engines.emulation.lab import launch, why_not
from testbed.engines.emulation.refusal import explain
from testbed.errors import MissingFeature
from tests.emulation import ground

USER_STEP = "new namespaces inside a user namespace"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc of a machine that forbids nothing."""
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/user").touch()
    (tmp_path / "self/status").write_text("Name:\tpython\nSeccomp:\t0\n")
    (tmp_path / "self/mountinfo").write_text("22 27 0:21 / /proc rw - proc proc rw\n")
    for setting, value in {
        "kernel/unprivileged_userns_clone": "1",
        "kernel/apparmor_restrict_unprivileged_userns": "0",
        "user/max_user_namespaces": "15000",
        "user/max_net_namespaces": "15000",
    }.items():
        path = tmp_path / "sys" / setting
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_a_setting_that_keeps_users_out_is_named(
    proc: Path, setting: str, value: str, remedy: str
) -> None:
    (proc / "sys" / setting).write_text(value + "\n")

    sentence = explain(USER_STEP, errno.EPERM, as_user=True, sudo_helps=True, proc=proc)

    name = setting.replace("/", ".")
    assert sentence == (
        f"this machine refuses a lab: {USER_STEP} gives 'Operation not permitted', "
        f"for {name} is {value}; allow it by `sudo sysctl -w {remedy}`, or run it with sudo"
    )


def test_sudo_is_not_offered_where_it_does_not_help(proc: Path) -> None:
    (proc / "sys/user/max_net_namespaces").write_text("0\n")

    sentence = explain("new namespaces", errno.ENOSPC, as_user=False, sudo_helps=False, proc=proc)

    assert "user.max_net_namespaces is 0" in sentence
    assert "run it with sudo" not in sentence


def test_a_seccomp_filter_is_named(proc: Path) -> None:
    (proc / "self/status").write_text("Name:\tpython\nSeccomp:\t2\n")

    sentence = explain(USER_STEP, errno.EPERM, as_user=True, sudo_helps=False, proc=proc)

    assert "seccomp filter" in sentence
    assert "--security-opt seccomp=unconfined" in sentence


def test_a_covered_proc_is_named(proc: Path) -> None:
    with (proc / "self/mountinfo").open("a") as mounts:
        mounts.write("30 22 0:25 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n")
        mounts.write("31 22 0:26 / /proc/kcore rw - tmpfs tmpfs rw\n")

    sentence = explain("mounting /proc", errno.EPERM, as_user=True, sudo_helps=False, proc=proc)

    assert "covers /proc/kcore;" in sentence
    assert "systempaths=unconfined" in sentence


def test_a_kernel_without_user_namespaces_is_named(proc: Path) -> None:
    (proc / "self/ns/user").unlink()

    sentence = explain(USER_STEP, errno.EINVAL, as_user=True, sudo_helps=True, proc=proc)

    assert sentence.endswith("has no user namespaces; use another kernel, or run it with sudo")


def test_what_nobody_can_see_is_said_to_be_so(proc: Path) -> None:
    sentence = explain(USER_STEP, errno.EPERM, as_user=True, sudo_helps=True, proc=proc)

    assert sentence.endswith("and no setting that is known shows why; run it with sudo")


def forbid_by(setting: str) -> Callable[[], None]:
    """The kernel's own refusal: the setting of a user namespace holds for what is below it."""

    def forbid() -> None:
        ground.become_root_of_a_user_namespace()
        Path("/proc/sys/user", setting).write_text("0")

    return forbid


def forbid_users() -> None:
    forbid_by("max_user_namespaces")()
    ground.lose_capabilities()


def forbid_by_seccomp() -> None:
    """A filter that answers unshare with EPERM, as container engines install it."""
    unshare = {"x86_64": 272, "aarch64": 97}[os.uname().machine]
    instructions = [
        (0x20, 0, 0, 0),  # load the number of the system call
        (0x15, 0, 1, unshare),  # if it is unshare
        (0x06, 0, 0, 0x00050000 | errno.EPERM),  # give EPERM
        (0x06, 0, 0, 0x7FFF0000),  # else allow it
    ]
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *each) for each in instructions)
    )
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code))
    no_new_privileges, set_seccomp, by_filter = 38, 22, 2
    ground.call("prctl", no_new_privileges, ctypes.c_ulong(1), 0, 0, 0)
    ground.call("prctl", set_seccomp, ctypes.c_ulong(by_filter), program, 0, 0)


@pytest.mark.emulation
@pytest.mark.parametrize(
    ("forbid", "expected"),
    [
        pytest.param(forbid_by("max_net_namespaces"), "user.max_net_namespaces is 0", id="net"),
        pytest.param(forbid_by("max_pid_namespaces"), "user.max_pid_namespaces is 0", id="pid"),
        pytest.param(forbid_users, "user.max_user_namespaces is 0", id="user"),
        pytest.param(forbid_by_seccomp, "seccomp filter", id="seccomp"),
    ],
)
def test_a_refusal_of_this_kernel_is_told_and_leaves_nothing(
    forbid: Callable[[], None], expected: str
) -> None:
    def body() -> int:
        forbid()
        before = os.listdir("/proc/self/fd")
        with pytest.raises(MissingFeature, match=expected):
            launch(lambda lab: 0, "lab")
        assert expected in (why_not() or "")
        assert ground.alive() == {1, os.getpid()}
        assert os.listdir("/proc/self/fd") == before
        return 0

    def facts() -> None:
        with ground.nothing_left():
            status = ground.ended(ground.fork("root", body))

        assert status == 0

    ground.on_ground(facts)
