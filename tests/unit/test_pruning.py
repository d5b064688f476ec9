"""Old runs go: announced before, the oldest first, never one that runs, never one that comes with invmask."""

import json
import os
import time
from pathlib import Path

import pytest

from invmask.runs.store import built_in, pruning
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal, Want
from invmask.runs.store.pruner import Pruner
from invmask.runs.store.pruning import DAY, NOTICE_SECONDS, Keep, Old, planned
from invmask.runs.store.run import Run
from tests.unit.run_helpers import small_spec

NOW = time.time()


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def made(store: RunStore, days_old: float, size: int = 0, want: Want | None = None) -> Run:
    run = store.create(small_spec(), want)
    (run.path / "ballast").write_bytes(b"x" * size)
    for path in run.path.iterdir():
        os.utime(path, (NOW - days_old * DAY,) * 2)
    return run


def test_nothing_is_deleted_by_default(store: RunStore):
    run = made(store, 10_000)
    assert pruning.prune(store, Keep(), NOW) == []
    assert run.exists()
    assert pruning.announced(store) == {}


def test_an_old_run_is_announced_first_and_deleted_when_its_time_has_come(store: RunStore):
    old, young = made(store, 31), made(store, 1)
    keep = Keep(days=30)
    assert pruning.prune(store, keep, NOW) == []
    assert pruning.announced(store) == {old.id: pytest.approx(NOW + NOTICE_SECONDS)}
    assert pruning.prune(store, keep, NOW + NOTICE_SECONDS - 1) == []
    assert old.exists()
    assert pruning.prune(store, keep, NOW + NOTICE_SECONDS + 1) == [old.id]
    assert not old.exists()
    assert young.exists()
    assert pruning.announced(store) == {}


def test_who_names_or_goes_on_with_a_run_keeps_it(store: RunStore):
    run = made(store, 31)
    pruning.prune(store, Keep(days=30), NOW)
    store.rename(run.id, "mine")
    assert pruning.prune(store, Keep(days=30), NOW + 2 * NOTICE_SECONDS) == []
    assert pruning.announced(store) == {}
    assert run.exists()


@pytest.mark.parametrize("goal", [Goal.FINISH, Goal.ADVANCE])
def test_a_run_with_work_is_never_deleted(store: RunStore, goal: Goal):
    run = made(store, 100, want=Want(goal, 5))
    keep = Keep(days=1, most_bytes=1)
    for later in (0, 1, 2, 100):
        assert pruning.prune(store, keep, NOW + later * NOTICE_SECONDS) == []
    assert run.exists()


def test_a_run_that_is_begun_again_after_it_was_announced_stays(store: RunStore):
    run = made(store, 100)
    pruning.prune(store, Keep(days=1), NOW)
    store.go_on(run.id)
    assert pruning.prune(store, Keep(days=1), NOW + 2 * NOTICE_SECONDS) == []
    assert run.exists()


def test_a_built_in_run_is_never_deleted(store: RunStore):
    run = made(store, 100)
    (store.folder / built_in.KNOWN).write_text(json.dumps([run.id]))
    keep = Keep(days=1, most_bytes=1)
    pruning.prune(store, keep, NOW)
    assert pruning.prune(store, keep, NOW + 2 * NOTICE_SECONDS) == []
    assert run.exists()


def test_the_oldest_go_until_all_fit(store: RunStore):
    runs = [made(store, days, 1_000_000) for days in (4, 3, 2, 1)]
    keep = Keep(most_bytes=2_100_000)
    pruning.prune(store, keep, NOW)
    assert set(pruning.announced(store)) == {run.id for run in runs[:2]}
    assert set(pruning.prune(store, keep, NOW + NOTICE_SECONDS + 1)) == {run.id for run in runs[:2]}
    assert all(run.exists() for run in runs[2:])


def test_a_run_near_its_age_is_announced_for_the_moment_when_it_reaches_it():
    run = Old("a", NOW - 30 * DAY + 600, 5)
    assert planned([run], 5, Keep(days=30), {}, NOW) == {"a": NOW + NOTICE_SECONDS}
    assert planned([run], 5, Keep(days=30), {"a": NOW + 60}, NOW) == {"a": pytest.approx(NOW + 600)}
    assert planned([Old("a", NOW - DAY, 5)], 5, Keep(days=30), {}, NOW) == {}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": "soon"}', b"\xff"])
def test_a_damaged_announcement_is_made_anew(store: RunStore, content: bytes):
    run = made(store, 31)
    (store.folder / pruning.ANNOUNCED).write_bytes(content)
    assert pruning.prune(store, Keep(days=30), NOW) == []
    assert set(pruning.announced(store)) == {run.id}


def test_the_thread_looks_again_and_again(store: RunStore):
    run, looks = made(store, 31), []

    def wait(seconds: float) -> bool:
        looks.append(seconds)
        return len(looks) == 2

    Pruner(store, Keep(days=30), wait).look()
    assert looks == [60.0, 60.0]
    assert set(pruning.announced(store)) == {run.id}
