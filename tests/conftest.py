"""For all tests: Ctrl-C and a hangup are heard, whoever started them."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """A shell without job control starts what it sends to the background with SIGINT ignored; what
    a test starts would inherit that and be deaf to the signal that is tested."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup: what is started is to hear it
        signal.signal(signal.SIGHUP, lambda number, frame: None)
