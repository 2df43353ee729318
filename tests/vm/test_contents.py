"""What the image is made of, and when it is another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import BadInput, MissingFeature
from vm import contents

LIST = """\
# of Debian
deb [signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian bookworm main contrib
deb http://mirror.example/debian bookworm-updates main
deb-src http://mirror.example/debian bookworm main
deb http://vendor.example/apt bookworm stable
deb http://mirror.example/debian trixie main
"""
SOURCES = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://vendor.example/apt
Suites: nodistro
Components: main

Types: deb
Enabled: no
URIs: http://old.example/debian
Suites: bookworm
Components: main
"""


def test_the_key_is_of_names_and_texts_and_not_of_their_order() -> None:
    key = contents.key({"a": "1", "b": "2"})

    assert key == contents.key({"b": "2", "a": "1"})
    assert len(key) == 16
    others = [{"a": "2", "b": "1"}, {"a": "1"}, {"a": "12", "b": ""}, {"a1": "", "b": "2"}]
    assert key not in {contents.key(other) for other in others}


def test_every_file_that_makes_the_image_is_part_of_its_key() -> None:
    parts = contents.parts({"sources.list": "deb x"}, "click==8\n")
    made_by = {f"vm/{path.name}" for path in (contents.ROOT / "vm").iterdir() if path.is_file()}
    of_each_run = {"__init__", "__main__", "guest", "ladders", "machine", "plan"}

    assert {name for name in made_by if Path(name).stem not in of_each_run} <= set(parts)
    assert {"Vagrantfile", "provision/packages.sh", "provision/venv.sh"} < set(parts)
    assert parts["apt/sources.list"] == "deb x"
    assert parts["python"] == "click==8\n"


def test_code_of_the_project_is_no_part_of_the_key() -> None:
    assert not [name for name in contents.parts({}, "") if name.startswith(("testbed", "tests"))]


def test_the_packages_are_those_that_the_vagrantfile_asks_for() -> None:
    listing = "[run]\nmininet  # the API\n[test]\n# more\ntshark # a decoder\n[vm]\nqemu # the VM\n"

    assert contents.debian_packages(listing) == ["mininet", "tshark"]


def test_apt_tells_the_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "apt-cache"
    program.write_text(
        "#!/bin/sh\nprintf 'nft:\\n  Installed: (none)\\n  Candidate: 1.0\\n  Version table:\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert contents.debian_versions(["nft", "unknown"]) == "nft 1.0\n"


def test_without_apt_no_version_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert contents.debian_versions(["nft"]) == ""


def test_of_apt_s_sources_only_debian_12_is_taken(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(LIST)
    (tmp_path / "sources.list.d/debian.sources").write_text(SOURCES)
    (tmp_path / "sources.list.d/other.disabled").write_text(SOURCES)

    found = contents.apt_sources(folder=tmp_path)

    assert found["sources.list"].splitlines() == LIST.splitlines()[1:3]
    assert found["debian.sources"].strip() == SOURCES.split("\n\n")[0]
    assert len(found) == 2


def test_where_debian_12_is_not_offered_the_remedy_is_told(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian trixie main\n")

    with pytest.raises(MissingFeature, match="--sources FILE"):
        contents.apt_sources(folder=tmp_path)


def test_given_sources_are_taken_as_they_are(tmp_path: Path) -> None:
    given = tmp_path / "mine.list"
    given.write_text("deb http://vendor.example/apt bookworm stable\n")

    assert contents.apt_sources([given]) == {"mine.list": given.read_text()}


def test_given_sources_that_are_not_there_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.list cannot be read"):
        contents.apt_sources([tmp_path / "none.list"])


def test_the_project_is_copied_without_what_tools_made(tmp_path: Path) -> None:
    for name in ("a.py", "b/c.py", ".ci/run", ".venv/x", "runs/x", "b/__pycache__/x", ".git/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert [str(path) for path in contents.project_files(tmp_path)] == [".ci/run", "a.py", "b/c.py"]


def test_requirements_are_those_of_running_testing_and_installing() -> None:
    names = [each.split()[0] for each in contents.python_requirements()]

    assert {"click", "pytest", "pystun3==2.0.0", "setuptools>=68"} <= set(names)
    assert not [name for name in names if name.startswith("#")]
