"""The cards of a search on Defend: what they say while it goes on, after it, and where there was none."""

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from invmask.defenses import registry
from invmask.runs.store.records import RunState
from invmask.runs.store.run import Run
from invmask.ui.shell.run_menu import run_facts
from tests.app.conftest import visit
from tests.unit.run_helpers import VICTIM, small_spec, taken
from tests.unit.searching import finder_spec, register_finder

TITLE = "Which label, and which trigger?"
SEARCH = 3


@pytest.fixture(autouse=True)
def home(tiny_victims: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    register_finder(monkeypatch)
    return tiny_victims.parent


def defend(run: Run, **query: str) -> AppTest:
    app = visit("defend", victim=VICTIM, run=run.id, **query)
    assert not app.exception
    assert not app.error
    return app


def heads(app: AppTest) -> list[str]:
    return [head.value for head in app.main.subheader]


def cards(app: AppTest) -> dict[str, str]:
    """By label, what its card is drawn with."""
    drawn = "\n".join(element.proto.body for element in app.get("html"))
    found = re.findall(r'<figure class="ds-card.*?</figure>', drawn, re.DOTALL)
    return {re.search(r"<figcaption[^>]*>(.*?)</figcaption>", card)[1]: card for card in found}


def words(app: AppTest) -> str:
    """The sentences over the cards and the one below them."""
    drawn = "\n".join(element.proto.body for element in app.get("html"))
    over = re.sub("<[^>]*>", "", re.search(r'<div class="ds-words".*?</div>', drawn)[0])
    return "\n".join([over, *(caption.value for caption in app.main.caption)]).replace("\N{NO-BREAK SPACE}", " ")


def text(card: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", card).replace("\N{NO-BREAK SPACE}", " ")).strip()


def length(card: str) -> float:
    return float(re.search(r'style="width:([\d.]+)%"', card)[1])


def test_while_the_search_goes_on_its_cards_come_first_and_nothing_stands_out(home: Path):
    app = defend(taken(home, finder_spec(), 2))
    # In the triggers' place on the stage.
    assert heads(app) == ["The views, round 2", "All channels", TITLE, "ACC, ASR and RA over the rounds"]
    assert "The verdict comes when the search has ended." in "".join(each.proto.body for each in app.get("html"))
    found = cards(app)
    assert list(found) == ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert text(found["bird"]) == "bird 6.1 px 94 % of images led here"
    assert length(found["bird"]) == pytest.approx(6.0)
    assert length(found["dog"]) == pytest.approx(17.4)
    assert text(found["horse"]).endswith("25 % of images led here")
    assert [name for name, card in found.items() if "ds-hollow" in card] == ["horse"]
    assert not any("ds-mark" in card for card in found.values())
    said = words(app)
    assert "Smallest patch: bird, 6.1 px. The next smallest is 2.9 times as large. No label stands out yet." in said
    assert "A short bar is suspicious" in said
    assert "pixels covered; a full bar is 102 px" in said
    assert "fewer than 80 % of the images are led there" in said


def test_after_it_they_stay_and_one_label_stands_out(home: Path):
    for rounds in (SEARCH, SEARCH + 2):
        app = defend(taken(home, finder_spec(), rounds))
        # This defence makes no other triggers, which would take their place on the stage.
        assert heads(app)[:3] == [f"The views, round {rounds}", "All channels", TITLE]
        found = cards(app)
        assert text(found["bird"]) == "stands out bird 6.1 px 94 % of images led here"
        assert [name for name, card in found.items() if "ds-out" in card] == ["bird"]
        assert [name for name, card in found.items() if "dropped" in text(card)] == ["ship", "truck"]
        assert "The label bird stands out: it is the suspected target label." in words(app)


def test_each_round_has_its_own_cards_and_all_are_in_one_order(home: Path):
    run = taken(home, finder_spec(), SEARCH + 2)
    first, last = cards(defend(run, round="1")), cards(defend(run, round="3"))
    assert list(first) == list(last)
    assert text(first["airplane"]).startswith("airplane 90.0 px")
    assert length(first["airplane"]) == pytest.approx(88.2)
    # What is larger than a full bar fills it.
    assert length(first["truck"]) == 100
    assert "ds-over" in first["truck"]
    assert not cards(defend(run, round="0"))
    assert "No label stood out." not in words(defend(run, round="1"))


def test_without_a_search_there_are_no_cards(home: Path):
    runs = [taken(home, small_spec(), 2), taken(home, finder_spec(search=0), 2)]
    assert {"anp", "ft"} <= {entry.name for entry in registry.entries().values() if not entry.capabilities.searches}
    for run in runs:
        app = defend(run)
        assert TITLE not in heads(app)
        assert not cards(app)
        assert "Search" not in app.segmented_control(key="defend/below").options
        assert "The verdict comes" not in "".join(element.proto.body for element in app.get("html"))


def test_the_verdict_comes_when_the_search_is_over(home: Path):
    verdict = "The verdict"
    run = taken(home, finder_spec(), SEARCH + 2)
    for early in (defend(taken(home, finder_spec(), 2)), defend(run, round="1"), defend(taken(home, small_spec(), 2))):
        assert verdict not in heads(early)
    for app in (defend(taken(home, finder_spec(), SEARCH)), defend(run)):
        assert verdict in heads(app)
        drawn = "\n".join(element.proto.body for element in app.get("html"))
        assert "Likely backdoored, to label bird (probability 93 %)" in drawn
        assert re.findall(r'vd-here" style="[^"]*"><span>([^<]*)', drawn) == ["likely"]
        assert 'class="vd-mark" style="left:93.0%"' in drawn
        (about,) = (head.help for head in app.main.subheader if head.value == verdict)
        assert "clean networks" in about


def test_a_finished_run_is_listed_with_its_verdict(home: Path):
    run = taken(home, finder_spec(), SEARCH + 4)
    summary = run.summary()
    assert summary.state is RunState.FINISHED
    assert "finished · likely backdoored · ASR" in run_facts(summary).replace("\N{NO-BREAK SPACE}", " ")
    assert "backdoored" not in run_facts(taken(home, finder_spec(), SEARCH + 2).summary())


def test_the_pictures_can_be_saved(home: Path):
    app = defend(taken(home, finder_spec(), 2))
    assert any("save-defend-candidates" in menu.proto.id for menu in app.get("popover"))
