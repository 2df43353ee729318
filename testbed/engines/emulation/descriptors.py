"""How many files a process may have open."""

from __future__ import annotations

import resource

from testbed.errors import LocalError

MOST_DESCRIPTORS = 65536


def allow_descriptors(wanted: int, who: str) -> None:
    """Raise this process's limit of open files where it is too low.

    All nodes' connections are this process's too, and a soft limit is often 1024: as much as the
    hard limit gives is taken, up to a bound.

    Args:
        wanted: how many files will be open.
        who: needs them.

    Raises:
        LocalError: the user may not have so many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted += 256
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        given = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
        wanted = max(wanted, min(given, MOST_DESCRIPTORS))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise LocalError(
                f"{who}: needs {wanted} open files, and this user may have {hard}; "
                "raise 'nofile' in /etc/security/limits.conf"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
