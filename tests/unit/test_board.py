"""The class board, and the points of the challenge."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from invmask.errors import UserError
from invmask.evidence import challenge
from invmask.measure.metrics import Measures
from invmask.runs.store import board, files
from invmask.runs.store.board import Entry
from invmask.runs.store.run import Run

ENTRY = Entry("Ada", 10, (3, 1), 42.5, 0.9, 0.1)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    path = tmp_path / "runs" / "20260101-000000-badnets-abcd"
    path.mkdir(parents=True)
    files.write_json(path / files.SPEC, {})
    return Run(path)


def test_entries_come_back_as_they_were_added(run: Run):
    assert board.entries(run) == []
    board.add(run, ENTRY)
    board.add(run, replace(ENTRY, name="  Grace\n Hopper "))
    assert board.entries(run) == [ENTRY, replace(ENTRY, name="Grace Hopper")]
    board.clear(run)
    assert board.entries(run) == []
    board.clear(run)


def test_everybody_who_adds_at_the_same_time_is_there(run: Run):
    threads = [threading.Thread(target=board.add, args=(run, replace(ENTRY, name=f"n{i}"))) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.name for entry in board.entries(run)} == {f"n{i}" for i in range(16)}


@pytest.mark.parametrize("left", [b'{"name": "half', b"[]", b"[" * 9000, b'{"name": "x", "budget": NaN}', b"\xff\x00"])
def test_a_half_written_line_loses_nothing_else(run: Run, left: bytes):
    board.add(run, ENTRY)
    with (run.path / board.FILE).open("ab") as file:
        file.write(left)
    board.add(run, replace(ENTRY, name="Grace"))
    assert [entry.name for entry in board.entries(run)] == ["Ada", "Grace"]


@pytest.mark.parametrize("name", ["", "   ", "\n\t", "x" * 25])
def test_a_name_has_letters_and_not_too_many(run: Run, name: str):
    with pytest.raises(UserError, match="1 to 24 letters"):
        board.add(run, replace(ENTRY, name=name))
    assert board.entries(run) == []


def test_a_full_board_and_a_deleted_run_say_so(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(board, "MOST_ENTRIES", 2)
    board.add(run, ENTRY)
    board.add(run, ENTRY)
    with pytest.raises(UserError, match="The board is full"):
        board.add(run, ENTRY)
    (run.path / files.SPEC).unlink()
    with pytest.raises(UserError, match="was deleted"):
        board.add(run, ENTRY)


def test_the_board_shows_each_names_best_at_the_budget():
    found = [
        ENTRY,
        replace(ENTRY, name="ada", score=50.0),
        replace(ENTRY, name="Grace", score=45.0),
        replace(ENTRY, name="Ada", score=99.0, budget=20),
        replace(ENTRY, name="ADA", score=10.0),
    ]
    assert [(entry.name, entry.score) for entry in board.best(found, 10)] == [("ada", 50.0), ("Grace", 45.0)]
    assert board.best(found, 5) == []


def test_points_reward_lower_asr_and_cost_acc():
    before = Measures(0.9, 0.95, 0.05, 100, 90)
    assert challenge.score(before, before) == 0
    assert challenge.score(before, replace(before, asr=0.15)) == pytest.approx(80)
    assert challenge.score(before, replace(before, asr=0.15, acc=0.8)) == pytest.approx(50)
    assert challenge.score(before, replace(before, acc=1.0)) == 0
    with pytest.raises(ValueError, match="without a trigger"):
        challenge.score(replace(before, asr=None), before)


def test_rivals_cut_as_many_and_the_same_each_time():
    gates = np.array([0.5, 0.1, 1.0, 0.1, 0.0])
    assert challenge.lowest_gates(gates, 3) == (4, 1, 3)
    drawn = challenge.random_channels(50, 10)
    assert drawn == challenge.random_channels(50, 10)
    assert len(drawn) == challenge.DRAWS
    assert all(len(set(cut)) == 10 and max(cut) < 50 for cut in drawn)
    assert challenge.random_channels(4, 10)[0] == (0, 1, 2, 3)
