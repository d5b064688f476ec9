"""Every figure is explained: what it shows, how to read it, and the formula."""

import re

import pytest

from invmask.glossary import GLOSSARY
from invmask.ui.parts import explained
from invmask.ui.parts.explained import EXPLAINED, explanation
from tests.app.conftest import make_run, visit

pytestmark = pytest.mark.usefixtures("tiny_victims")

PAGES = {
    "start": {"start-trigger"},
    "defend": {"defend-map", "defend-measures"},
    "flip": {"flip-samples", "flip-probabilities"},
    "neurons": {"neurons-map", "neurons-whatif"},
}


def test_formulas_are_those_of_the_glossary():
    for found in EXPLAINED.values():
        assert found.shows.endswith(".")
        assert found.read.endswith(".")
        for word in found.words:
            assert GLOSSARY[word].formula


def test_a_figure_is_found_by_the_beginning_of_its_name():
    assert explanation("tune-cuts-score") is EXPLAINED["tune-cuts"]
    assert explanation("neurons-channel-maps-synthesized") is EXPLAINED["neurons-channel-maps"]
    assert explanation("tune-cutsx") is None
    assert explanation("nothing") is None


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_of_a_page_has_its_explanation(page: str, monkeypatch: pytest.MonkeyPatch):
    asked = []
    known = explained.explanation
    monkeypatch.setattr(explained, "explanation", lambda name: asked.append(name) or known(name))
    app = visit(page, run=make_run().id)
    assert not app.exception
    assert set(asked) >= PAGES[page]
    assert [name for name in asked if known(name) is None] == []
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in asked)
