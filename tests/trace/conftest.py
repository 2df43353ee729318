"""A home whose frames are cut by hand, and scapy, imported once."""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode has no place for shared helpers

from trace_frames import Home


@pytest.fixture
def home() -> Home:
    return Home()


@pytest.fixture(scope="session")
def scapy():
    """The second decoder; its import takes half a second, and warns of what it finds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("scapy.all")
