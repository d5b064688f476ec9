"""A model of one's own, whose trigger nobody knows: what every page says of it, and what none may say."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from invmask import settings
from invmask.exports.replay.page import replay
from invmask.exports.report import report
from invmask.frames.run_records import read_records
from invmask.runs.store.run import Run
from invmask.victims.victim import VictimCard
from invmask.victims.without_trigger import AGREEMENT, NOT_KNOWN
from tests.app.conftest import visit
from tests.unit.own_models import bring_in
from tests.unit.run_helpers import small_spec, taken

PAGES = ["start", "lesson", "defend", "flip", "neurons", "tune", "challenge", "export", "results", "attack_lab"]
FALSE_COMFORT = re.compile(
    r"\bcontrol\b|without (a )?backdoor|has no backdoor|\bno backdoor\b|trained on clean|no trigger to measure",
    re.IGNORECASE,
)


def said(app: AppTest) -> str:
    """All words of the page and of the sidebar that speak of the victim."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error", "html", "metric")
    return " ".join(
        str(getattr(each, "value", "") or getattr(each.proto, "body", ""))
        for part in (app.main, app.sidebar)
        for kind in kinds
        for each in part.get(kind)
    )


@pytest.fixture(params=[True, False], ids=["labelled", "unlabelled"])
def own(request: pytest.FixtureRequest, tiny_victims) -> tuple[VictimCard, Run]:  # noqa: ARG001
    card = bring_in(labelled=request.param, home=settings.home()).card
    return card, taken(settings.home(), small_spec(card.name, probe_per_class=2), 4)


@pytest.mark.parametrize("page", PAGES)
def test_no_page_gives_false_comfort(page: str, own: tuple[VictimCard, Run]):
    card, run = own
    app = visit(page, victim=card.name, run=run.id)
    assert not app.exception
    words = said(app)
    # The lab, the lesson and the table of results speak of other networks.
    if page not in ("attack_lab", "lesson", "results"):
        assert FALSE_COMFORT.search(words) is None, FALSE_COMFORT.search(words)
    assert "no trigger known" in words
    assert ("agreement with the original" in words) is not card.dataset_info.labelled


def test_start_and_defend_say_that_it_is_not_known(own: tuple[VictimCard, Run]):
    card, run = own
    assert NOT_KNOWN in said(visit("start", victim=card.name))
    words = said(visit("defend", victim=card.name, run=run.id))
    assert NOT_KNOWN in words
    assert (AGREEMENT in words) is not card.dataset_info.labelled


def test_what_is_taken_away_says_it_too(own: tuple[VictimCard, Run]):
    card, run = own
    records = read_records(run)
    for page in (report(records), replay(records)):
        assert NOT_KNOWN in page
        assert FALSE_COMFORT.search(page.split("plotly.js v")[0]) is None
        assert (AGREEMENT in page) is not card.dataset_info.labelled


def test_flip_shows_synthesized_triggers_in_place_of_true_ones(own: tuple[VictimCard, Run]):
    card, run = own
    app = visit("flip", victim=card.name, run=run.id)
    assert not app.exception
    words = said(app)
    assert "With the synthesized triggers" in words
    assert "Clean image, perturbation amplified" in words
    assert sum("dv-example" in str(html.proto.body) for html in app.get("html")) == 1
    begun = taken(settings.home(), small_spec(card.name, seed=1), 1)
    assert "they begin with a later stage" in said(visit("flip", victim=card.name, run=begun.id))
