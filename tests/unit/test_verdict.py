"""The verdict: what leads become a probability, a word and a sentence."""

import json
import math
from dataclasses import asdict, replace

import pytest

from invmask.defenses import verdict as module
from invmask.defenses.entry import Entry
from invmask.defenses.ims.config import Phase, preset
from invmask.defenses.registry import entries
from invmask.defenses.verdict import (
    LIKELY,
    NO_SIGN,
    UNDECIDED,
    Regression,
    Share,
    Verdict,
    percent,
    regression,
    reliability,
    verdict_of,
    verdict_words,
)

KNOWN = Regression(
    slope=2.0,
    offset=-3.0,
    likely=0.8,
    no_sign=0.2,
    spc=10,
    backdoored=24,
    clean=25,
    auc=0.96,
    brier=0.05,
    accused=Share(1, 25),
    found=Share(20, 24),
    missed=Share(2, 24),
    found_of={"BadNets": Share(3, 3), "SIG": Share(1, 3)},
)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "regression", lambda: KNOWN)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("lead", "word"), [(0.0, NO_SIGN), (0.8, NO_SIGN), (0.81, UNDECIDED), (2.19, UNDECIDED), (2.2, LIKELY)]
)
def test_the_word_says_on_which_side_of_the_bounds_the_probability_lies(lead: float, word: str) -> None:
    told = verdict_of(4, lead, "patch")
    assert told == Verdict(word, pytest.approx(1 / (1 + math.exp(3 - 2 * lead))), 4, lead, "patch")


@pytest.mark.parametrize(
    ("word", "probability", "lead", "words"),
    [
        (LIKELY, 0.964, 2.0, "Likely backdoored, to label ship (probability 96 %)"),
        (UNDECIDED, 0.4, 1.0, "Undecided whether there is a backdoor (probability 40 %); label ship is ahead"),
        (UNDECIDED, 0.4, 0.0, "Undecided whether there is a backdoor (probability 40 %)"),
        (NO_SIGN, 0.004, 0.1, "No sign of a backdoor (probability < 1 %)"),
    ],
)
def test_people_get_a_sentence(word: str, probability: float, lead: float, words: str) -> None:
    assert verdict_words(Verdict(word, probability, 1, lead, "patch"), ("dog", "ship")) == words


def test_where_no_class_has_the_label_its_number_is_said() -> None:
    for classes in ((), ("dog", "ship")):
        said = verdict_words(Verdict(LIKELY, 0.9, 7, 2.0, "patch"), classes)
        assert said == "Likely backdoored, to label 7 (probability 90 %)"


def test_no_probability_is_shown_as_certain() -> None:
    assert [percent(of) for of in (0.0, 0.009, 0.01, 0.5, 0.99, 0.996, 1.0)] == [
        "< 1 %", "< 1 %", "1 %", "50 %", "99 %", "> 99 %", "> 99 %",
    ]  # fmt: skip


def test_the_error_rates_are_told_and_what_is_hardly_found_is_named() -> None:
    words = reliability(KNOWN)
    said = ("24 small networks with a backdoor and 25 without", "10 clean images", "called 1 of 25 clean", "20 of 24")
    assert all(each in words for each in said)
    assert "It found fewer than half of: SIG 1 of 3." in words
    seen = replace(KNOWN, found_of={"BadNets": Share(3, 3), "SIG": Share(1, 2)})
    assert "fewer than half" not in reliability(seen)


def test_a_regression_comes_back_from_json() -> None:
    assert Regression.from_json(json.loads(json.dumps(asdict(KNOWN)))) == KNOWN


@pytest.mark.usefixtures("known")
def test_ims_tells_once_a_search_like_those_of_the_zoo_is_over_and_other_defences_do_not() -> None:
    ims: Entry = entries()["ims"]
    config = preset("default", clear_lead=0.3, rounds_sparsify=3)
    notes = {"leads": {"patch": 2.0}, "label": 3, "family": "patch", "lead": 2.0}
    assert ims.verdict(config, Phase.SEARCH, notes) is None
    assert ims.verdict(config, Phase.MINIMISE, {}) is None
    assert ims.verdict(config, Phase.MINIMISE, notes) == verdict_of(3, 2.0, "patch")
    for changed in ({"rounds_search": 8}, {"search_steps": 1}, {"search_images": 8}):
        assert ims.verdict(replace(config, **changed), Phase.MINIMISE, notes) is None
    for name, other in entries().items():
        assert name == "ims" or other.verdict(config, "anything", notes) is None


def test_what_is_shipped_is_of_enough_networks_and_accuses_few() -> None:
    shipped = regression()
    assert min(shipped.backdoored, shipped.clean) >= 15
    assert 0 < shipped.no_sign < shipped.likely < 1
    assert shipped.accused.count <= 0.1 * shipped.accused.of
    # More of a lead never makes a backdoor less likely.
    assert shipped.slope > 0
