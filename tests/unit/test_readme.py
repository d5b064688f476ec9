"""README shows what there is: pictures, files and tables."""

import re

import pytest

from tests.unit.run_helpers import ROOT

README = (ROOT / "README.md").read_text()
LOCAL = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith(("http", "#"))]


@pytest.mark.parametrize("link", sorted(set(LOCAL)))
def test_what_is_linked_is_there(link: str):
    assert (ROOT / link).exists()


def test_no_table_of_numbers_is_empty():
    blocks = re.findall(r"<!-- numbers: (\w+) -->\n(.*?)<!-- /numbers: \1 -->", README, re.DOTALL)
    assert len(blocks) == README.count("<!-- numbers:")
    assert [name for name, content in blocks if not content.strip()] == []
