"""For all tests: Ctrl-C and hangups are heard, whoever started them; no property has a deadline."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# How long an example takes, or to find one, says how busy the machine is.
settings.register_profile("testbed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("testbed")


def pytest_configure() -> None:
    """A shell without job control starts what it sends to the background with SIGINT ignored; what
    a test starts would inherit that and be deaf to the signal that is tested."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup: what is started is to hear it
        signal.signal(signal.SIGHUP, lambda number, frame: None)
