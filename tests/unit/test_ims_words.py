"""What IMS says of a run: while it searches, while the masks learn, and of what it found."""

from typing import Any

import pytest

from invmask.defenses.base import Record
from invmask.defenses.entry import Course
from invmask.defenses.ims.config import IMSConfig, Phase, preset
from invmask.defenses.ims.texts import found, now

CLASSES = ("airplane", "cat", "frog")
LED = {"label": 2, "lead": 0.987, "family": "smooth", "stands out": True, "leads": {"patch": 0.1, "smooth": 0.987}}
NONE_LED = {**LED, "label": 1, "lead": 0.599, "family": "patch", "stands out": False}


def course(stage: Phase, *notes: dict[str, Any], of: Phase | None = None, config: IMSConfig | None = None) -> Course:
    """One whose last rounds were of stage `of`, with these notes."""
    records = [
        Record(place, of or stage, place, {}, 1.0, notes={"rounds without progress": 3, **each})
        for place, each in enumerate(notes, 1)
    ]
    return Course(config or preset("default"), stage, records, CLASSES, 100)


def test_a_search_says_what_it_begins_with_and_then_who_is_ahead() -> None:
    assert now(course(Phase.SEARCH)) == "The search begins with a small patch for every label."
    searching = course(Phase.SEARCH, NONE_LED, LED)
    assert now(searching) == "So far frog has the largest lead: 0.98 nats, with a smooth change."
    assert found(searching) is None, "nothing is found before the search is over"


def test_the_first_round_behind_the_search_says_what_it_found() -> None:
    assert now(course(Phase.MINIMISE, LED, of=Phase.SEARCH)) == (
        "The label frog stands out: its trigger is a smooth change, and its lead is 0.98 nats. "
        "The stage ends after 12 rounds, or after more than 25 without progress (0 so far)."
    )


def test_what_was_found_is_told_to_the_end() -> None:
    assert now(course(Phase.SPARSIFY, LED, LED)) == (
        "The label frog stands out: its trigger is a smooth change, and its lead is 0.98 nats. "
        "The stage ends after 16 rounds, or after more than 25 without progress (3 so far)."
    )
    assert (
        found(course(Phase.SPARSIFY, LED))
        == "The label frog stands out: its trigger is a smooth change, and its lead is 0.98 nats."
    )


def test_a_lead_that_just_misses_does_not_look_as_if_it_were_enough() -> None:
    said = "No label stands out: cat leads by 0.59 nats, but 0.6 are needed."
    assert found(course(Phase.MINIMISE, NONE_LED)) == said
    assert (now(course(Phase.MINIMISE, NONE_LED)) or "").startswith(f"{said} The stage ends after")


@pytest.mark.parametrize("records", [(), ({},)], ids=["before", "later"])
def test_without_a_search_there_is_only_the_end_of_the_phase(records: tuple[dict[str, Any], ...]) -> None:
    published = course(Phase.INITIALISE, *records, config=preset("paper"))
    assert found(published) is None
    stalled = 3 if records else 0
    assert now(published) == (
        f"The stage ends after 100 rounds, or after more than 25 without progress ({stalled} so far)."
    )
