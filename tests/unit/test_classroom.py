"""The class at once: what is computed from what was measured, and its table."""

import argparse
import json
from pathlib import Path

import pytest

from benchmarks import classroom
from benchmarks.classroom import Seen
from benchmarks.classroom_table import classroom_table
from invmask.runs.store.records import RunState


def sample(second: float, rounds: dict[str, int], finished: int = 0, memory: float = 100.0) -> dict[str, object]:
    return {
        "second": second,
        "dashboard_mib": memory,
        "workers_mib": [50.0, 50.0],
        "rounds": rounds,
        "finished": finished,
    }


SAMPLES = [
    sample(0, {"a": 0}),
    sample(5, {"a": 3, "b": 1}),
    sample(10, {"a": 6, "b": 4}, memory=200.0),
    sample(15, {"a": 30, "b": 5}, finished=1),
]


def test_fairness_is_taken_while_all_are_under_way():
    found = classroom.fairness(SAMPLES)  # type: ignore[arg-type]
    assert (found["from_second"], found["to_second"]) == (5, 10)
    assert (found["fewest"], found["most"], found["jain"]) == (3, 3, 1.0)
    assert classroom.fairness([]) == {}
    unfair = [sample(0, {"a": 0, "b": 0}), sample(5, {"a": 8, "b": 0})]
    assert classroom.fairness(unfair)["jain"] == 0.5  # type: ignore[arg-type]


def test_the_95th_percentile_is_a_value_that_was_measured():
    assert classroom.spread([float(value) for value in range(100)]) == {
        "n": 100,
        "median": 49.5,
        "p95": 95.0,
        "largest": 99.0,
    }
    assert classroom.spread([])["n"] == 0


def test_the_table_says_what_was_measured(tmp_path: Path):
    seen = Seen()
    seen.clicks["open Defend"].append(5.0)
    seen.clicks["Run"] += [0.5, 0.7]
    seen.samples = SAMPLES  # type: ignore[assignment]
    arguments = argparse.Namespace(readers=2, arrive=5.0, seconds=10.0, pause=3.0, workers=2, note="Beside others.")
    rounds = {"a": (30, RunState.FINISHED), "b": (5, RunState.RUNNING)}
    file = tmp_path / "classroom.json"
    file.write_text(json.dumps(classroom.summary(seen, [], rounds, arguments)))
    text = classroom_table(file, tmp_path / "none.json")
    # Opening a page is no click.
    assert "a click answers in | median 0.60 s, 95 % under 0.70 s, at most 0.70 s (n = 2)" in text
    assert "| open Defend | median 5.00 s" in text
    assert "Jain's index 1.0" in text
    assert "over 15 s. Beside others." in text
    assert classroom_table(tmp_path / "none.json").startswith("Not measured")
    hour = tmp_path / "hour.json"
    hour.write_text(json.dumps(json.loads(file.read_text()) | {"seconds": 3600}))
    assert "memory of the workers after a third, two thirds and all of 60 min" in classroom_table(file, hour)


@pytest.mark.parametrize("page", classroom.PAGES)
def test_start_has_no_path_of_its_own(page: str):
    assert classroom.path(page) == ("" if page == "start" else page)


def test_rounds_are_kept_until_all_have_finished():
    samples = [sample(0, {"a": 1, "b": 2}, finished=1), sample(5, {"a": 2, "b": 2}, finished=2)]
    found = classroom.thinned(samples)  # type: ignore[arg-type]
    assert ["rounds" in each for each in found] == [True, False]
    assert found[1]["finished"] == 2
