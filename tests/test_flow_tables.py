"""The pages of the flows say what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow_tables import pages, written

PAGES = list(pages())


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_has_its_tables_as_they_are(page: Path) -> None:
    told = page.read_text()

    assert told == written(told), "run `python -m tests.flow_tables`"


def test_there_are_pages_with_tables() -> None:
    assert len(PAGES) >= 1
