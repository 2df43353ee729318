"""The pages of both flows say what the code does; `python -m tests.discovery_pages` writes it."""

from __future__ import annotations

import pytest

from tests.discovery_pages import DOCS, PAGES, rewritten


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_a_page_are_those_of_the_code(page: str) -> None:
    assert rewritten(page) == (DOCS / f"{page}.md").read_text()
