"""Runs tests in namespaces of their own: the decorated test's body runs in a pytest in there."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

_INSIDE = "TESTBED_TEST_INSIDE"
_WITHIN_S = 120


def command_in_namespaces(command: list[str]) -> list[str]:
    """The command that runs `command` as the first process of fresh namespaces.

    Whatever it leaves behind ends with it, and it ends with the test's process, however that ends.
    The one place to change for another way into a lab.
    """
    as_user = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
    with_parent = ["setpriv", "--pdeathsig", "KILL"]  # a change of user would clear it: after that
    namespaces = ["--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
    return [*as_user, *with_parent, "unshare", *namespaces, *command]


def run_in_namespaces(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in fresh namespaces and give what it said."""
    return subprocess.run(
        command_in_namespaces(command),
        stdin=options.pop("stdin", subprocess.DEVNULL),
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
        **options,
    )


def in_lab(test: Callable[..., None]) -> Callable[..., None]:
    """Run this test in namespaces of its own.  It may have parameters, but no fixtures."""
    if os.environ.get(_INSIDE):
        return test

    @functools.wraps(test)
    def launched(**_parameters: Any) -> None:
        node = os.environ["PYTEST_CURRENT_TEST"].rsplit(" ", 1)[0]
        done = run_in_namespaces(
            [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", node],
            env={**os.environ, _INSIDE: "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        )
        assert done.returncode == 0, f"in its namespaces:\n{done.stdout}\n{done.stderr}"

    return launched
