"""Playback of recorded rounds on Defend, and the three beats of slow motion."""

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from invmask.ui.defend.playback import SLOW
from tests.app.conftest import charts
from tests.app.test_defend import ROUNDS, defend, heads, html, write_run


@pytest.fixture(autouse=True)
def home(tiny_victims: Path) -> Path:
    return tiny_victims.parent


def press(at: AppTest, label: str) -> None:
    next(button for button in at.button if button.label == label).click().run()


def tick(at: AppTest) -> str:
    """Let the next picture be due; returns the heading of the views."""
    at.session_state["defend/due"] = 0.0
    at.run()
    assert not at.exception
    return heads(at)[0]


def test_a_run_is_played_back_from_the_beginning_and_stops_at_its_end(home: Path):
    at = defend(run=write_run(home).id)
    press(at, "Play")
    assert heads(at)[0] == "The views, round 0"
    assert [tick(at) for _ in range(ROUNDS)] == [f"The views, round {number}" for number in range(1, ROUNDS + 1)]
    assert tick(at) == f"The views, round {ROUNDS}"
    assert "Play" in [button.label for button in at.button]
    assert "round" not in at.query_params


def test_it_is_held_where_it_is_and_goes_on_from_there(home: Path):
    at = defend(run=write_run(home).id, round="2")
    press(at, "Play")
    assert tick(at) == "The views, round 3"
    press(at, "Hold")
    assert tick(at) == tick(at) == "The views, round 3"
    press(at, "Play")
    assert tick(at) == "The views, round 4"


def test_slow_motion_shows_perturbations_then_gates_then_answers(home: Path):
    at = defend(run=write_run(home).id, round="3")
    at.selectbox(key="defend/pace").set_value(SLOW).run()
    press(at, "Play")

    def seen() -> tuple[str, str, str, bool]:
        assert tick(at) == "The views, round 4"
        body = html(at)
        beat = re.search(r'role="status">(\d of 3, [a-z ]+)', body)[1]
        pruned = re.search(r'aria-label="Pruned view".*?dv-value">([\d.]+)', body)[1]
        return beat, pruned, charts(at)["defend-map"]["data"][0]["z"]["bdata"], "<b>cat</b>" in body

    perturb, move, answer = seen(), seen(), seen()
    assert [each[0] for each in (perturb, move, answer)] == [
        "1 of 3, perturb",
        "2 of 3, the gates move",
        "3 of 3, answer",
    ]
    # ACC of the pruned view was 66 % after round 3 and is 58 % after round 4.
    assert [each[1] for each in (perturb, move, answer)] == ["66.0", "66.0", "58.0"]
    assert perturb[2] != move[2] == answer[2]
    assert [each[3] for each in (perturb, move, answer)] == [False, False, True]
    assert tick(at) == "The views, round 5"
