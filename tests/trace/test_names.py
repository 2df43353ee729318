"""A file of names says who is who in a capture of the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import BadInput
from testbed.trace.names import load_names

WHO = """
[hnb]
addresses = ["192.168.1.100", "02-00-00-00-00-00"]

[hnb2]
addresses = ["2001:DB8::1"]

[initial_hms]
addresses = ["203.0.113.20"]
web_ports = [8443]
stun_ports = [3479]

[north_hms]
role = "hms"
addresses = ["203.0.113.22", "203.0.113.23"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "who.toml"
    path.write_text(text)
    return path


def test_nodes_have_roles_addresses_and_ports(tmp_path: Path) -> None:
    names = load_names(written(tmp_path, WHO))

    assert names.roles == {"hnb": "hnb", "hnb2": "hnb", "initial_hms": "hms", "north_hms": "hms"}
    assert names.hardware_addresses == {"02:00:00:00:00:00": "hnb"}
    assert names.addresses == {
        "hnb": ["192.168.1.100"],
        "hnb2": ["2001:db8::1"],
        "initial_hms": ["203.0.113.20"],
        "north_hms": ["203.0.113.22", "203.0.113.23"],
    }
    assert names.ports == {"web_ports": {8443}, "stun_ports": {3479}}
    decoders = names.trace([]).decoders
    assert decoders.knows_stream(50000, 8443)
    assert decoders.datagram(50000, 3479) is decoders.datagram(50000, 3478)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names nobody; a table such as [hnb]"),
        ("hnb = ", "not TOML"),
        ('hnb = "10.0.0.1"', "hnb: a table is expected"),
        ("[hnb]", "hnb: has no addresses"),
        ('[hnb]\naddresses = "10.0.0.1"', "addresses is '10.0.0.1'; a list of texts is expected"),
        ('[hnb]\naddresses = ["10.0.0.256"]', "'10.0.0.256' is neither an IP address nor"),
        ('[hnb]\naddress = ["10.0.0.1"]', "address is no key; addresses, role, web_ports, stun_p"),
        ('[HNB]\naddresses = ["10.0.0.1"]', "HNB: a node's name has small letters"),
        ('[hnb]\nrole = 7\naddresses = ["10.0.0.1"]', "hnb: role is 7; a text is expected"),
        (
            '[hnb]\naddresses = ["10.0.0.1"]\nweb_ports = [true]',
            "web_ports is [True]; a list of numbers is expected",
        ),
        (
            '[hnb]\naddresses = ["10.0.0.1"]\nweb_ports = [70000]',
            "web_ports holds 70000; a port is 1 to 65535",
        ),
        (
            '[hnb]\naddresses = ["10.0.0.1"]\n[hnb2]\naddresses = ["10.0.0.1"]',
            "hnb2: 10.0.0.1 is hnb's already",
        ),
    ],
)
def test_what_says_something_else_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        load_names(written(tmp_path, text))

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nobody\.toml: cannot be read: No such file"):
        load_names(tmp_path / "nobody.toml")
