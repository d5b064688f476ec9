"""What a home with many runs costs, and what its locks and marks do to each other."""

import io
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from filelock import FileLock

from invmask.cli import main
from invmask.errors import UserError
from invmask.measure.metrics import Measures
from invmask.runs.cluster import runs_with_work
from invmask.runs.cluster.executor import Executor
from invmask.runs.store import files
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal, Want, write_want
from invmask.runs.store.records import RunResult, RunState, Views
from invmask.runs.store.run import Run
from invmask.runs.work import cut_curves, evidence
from invmask.runs.work.advance import Outcome, advance
from invmask.runs.work.gather_evidence import gather
from invmask.runs.work.measure_cuts import measure_cuts
from invmask.victims.victim import read_card
from tests.unit.run_helpers import VICTIM, small_spec, write_victims

OPERATIONS = {os: ("stat", "lstat", "open", "listdir", "scandir", "unlink"), io: ("open",)}


class Idle:
    """A cluster whose workers take what they are given and never end."""

    def __init__(self) -> None:
        self.client, self.given = self, []

    def problem(self) -> None:
        return None

    def submit(self, work: Callable[..., str], path: str, *_: object, **__: object) -> "Idle":
        self.given.append((work.__name__, Path(path).name))
        return self

    def done(self) -> bool:
        return False

    def grow(self, workers: int) -> None:
        pass


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often files were looked at or opened, by the operation's name."""
    counts = Counter[str]()
    for module, names in OPERATIONS.items():
        for name in names:
            monkeypatch.setattr(module, name, _counting(getattr(module, name), f"{module.__name__}.{name}", counts))
    return counts


def _counting(real: Callable, name: str, counts: Counter[str]) -> Callable:
    def count(*args: object, **kwargs: object) -> object:
        counts[name] += 1
        return real(*args, **kwargs)

    return count


def finished_runs(store: RunStore, count: int) -> list[Run]:
    """Runs that are over, their folders as they were an hour ago, each with evidence that was asked for once."""
    measures = Measures(0.9, 0.5, 0.4, 10, 9)
    result = RunResult("It was done.", True, 3, {}, 1.0, {}, {}, Views(measures, measures, measures))
    first, runs = store.create(small_spec(), Want(Goal.FINISH)), []
    files.write_json(first.path / files.RESULT, asdict(result))
    evidence.ask(first, 1)
    files.write_json(first.path / evidence.ERRAND.status, {"message": "It could not be gathered."})
    for number in range(count):
        run = Run(store.folder / f"20260101-00{number // 60:02}{number % 60:02}-badnets-aaaa")
        shutil.copytree(first.path, run.path)
        (store.folder / files.WANTED / run.id).touch()
        os.utime(run.path, (time.time() - 3600,) * 2)
        runs.append(run)
    store.delete(first.id)
    return runs


def watching(store: RunStore) -> tuple[Executor, Idle]:
    executor = Executor(store, workers=4, threads=1)
    executor._hands.cluster = cluster = Idle()
    executor._look(executor._hands)
    return executor, cluster


def test_a_look_of_the_watcher_costs_the_same_for_any_number_of_finished_runs(own_home: Path, counted: Counter[str]):
    write_victims(own_home / "victims")
    most = []
    for count in (5, 200):
        store = RunStore(own_home / f"home{count}" / "runs")
        finished_runs(store, count)
        executor, cluster = watching(store)
        looks = []
        for _ in range(10):
            counted.clear()
            executor._look(executor._hands)
            looks.append(counted.total())
        assert cluster.given == []
        assert sorted(looks)[5] < 10
        # The dearest look is one at a run in passing, too.
        executor._hands.lookout._passed_at = 0.0
        executor._hands.lookout._victims_at = time.monotonic()
        counted.clear()
        executor._look(executor._hands)
        most.append(counted.total())
    assert most[0] == most[1]


def test_a_list_reads_no_finished_run_twice(own_home: Path, counted: Counter[str]):
    opened, looked_at = [], []
    for count in (5, 200):
        store = RunStore(own_home / f"home{count}" / "runs")
        runs = finished_runs(store, count)
        first = store.listing()
        counted.clear()
        assert store.listing() == first
        assert len(first.runs) == count
        opened.append(counted["io.open"] + counted["os.open"])
        looked_at.append(counted["os.stat"] / count)
    assert opened == [0, 0]
    assert max(looked_at) <= 1
    store.rename(runs[7].id, "mine")
    store.advance(runs[8].id)
    store.delete(runs[9].id)
    again = {summary.id: summary for summary in store.listing().runs}
    assert len(again) == 199
    assert again[runs[7].id].name == "mine"
    assert (first.runs[-9].until, again[runs[8].id].until) == (None, 1)


def test_two_changes_within_one_tick_of_the_file_system_are_both_seen(own_home: Path):
    store = RunStore(own_home / "runs")
    run = store.create(small_spec())
    for name in ("first", "second"):
        store.rename(run.id, name)
        # As if the file system's clock had not gone on.
        os.utime(run.path, ns=(run.path.stat().st_atime_ns, int(time.time()) * 10**9))
        assert store.listing().runs[0].name == name


def test_a_wish_of_another_process_is_seen_at_the_next_look(own_home: Path):
    write_victims(own_home / "victims")
    store = RunStore(own_home / "runs")
    run = finished_runs(store, 20)[11]
    fresh = store.create(small_spec())
    executor, cluster = watching(store)
    executor._look(executor._hands)
    assert cluster.given == []
    write_want(fresh.path, Want(Goal.ADVANCE, 1))
    cut_curves.ERRAND.ask(run, 1)
    executor._look(executor._hands)
    assert sorted(cluster.given) == [("cuts_unit", run.id), ("unit", fresh.id)]


def test_making_a_run_reads_no_finished_one(own_home: Path, counted: Counter[str]):
    costs = []
    for count in (5, 50):
        store = RunStore(own_home / f"home{count}" / "runs")
        finished_runs(store, count)
        executor, _ = watching(store)
        # What is imported for it is no cost of it.
        executor.create(small_spec())
        counted.clear()
        executor.create(small_spec())
        costs.append(counted.total())
    assert costs[0] == costs[1]


def test_a_run_that_nobody_marked_is_found_in_passing(own_home: Path, monkeypatch: pytest.MonkeyPatch):
    """As where a mark was lost with its process, or a folder came from another machine."""
    write_victims(own_home / "victims")
    store = RunStore(own_home / "runs")
    finished_runs(store, 3)
    executor, cluster = watching(store)
    monkeypatch.setattr(runs_with_work, "PASSING_SECONDS", 0.0)
    fresh = store.create(small_spec())
    files.write_json(fresh.path / files.WANT, asdict(Want(Goal.ADVANCE, 1)))
    for _ in range(8):
        executor._look(executor._hands)
    assert cluster.given == [("unit", fresh.id)]


def test_a_wish_in_the_moment_in_which_the_mark_goes_is_not_lost(own_home: Path, monkeypatch: pytest.MonkeyPatch):
    write_victims(own_home / "victims")
    store = RunStore(own_home / "runs")
    run = store.create(small_spec())
    executor, cluster = watching(store)
    write_want(run.path, Want(Goal.PAUSE))

    def late(path: Path) -> None:
        write_want(path, Want(Goal.ADVANCE, 1))
        (store.folder / files.WANTED / path.name).unlink()

    monkeypatch.setattr("invmask.runs.cluster.executor.unmark", late)
    executor._look(executor._hands)
    monkeypatch.undo()
    executor._look(executor._hands)
    assert cluster.given == [("unit", run.id)]


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("kind", ["evidence", "cuts"])
def test_results_of_a_victim_trained_anew_are_made_anew(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, kind: str, busy: bool
):
    write_victims(own_home / "victims")
    monkeypatch.setattr(runs_with_work, "VICTIM_SECONDS", 0.0)
    store = RunStore(own_home / "runs")
    run = store.create(small_spec())
    store.advance(run.id)
    advance(run.path)
    errand, work = (evidence.ERRAND, gather) if kind == "evidence" else (cut_curves.ERRAND, measure_cuts)
    errand.ask(run, 1)
    assert work(run.path) is Outcome.IDLE
    if busy:
        store.advance(run.id)
    executor, cluster = watching(store)
    executor._look(executor._hands)
    assert cluster.given == [("unit", run.id)] * busy
    path = own_home / "victims" / f"{VICTIM}.json"
    card = asdict(replace(read_card(path), attack_settings={"size": 2}))
    files.write_json(path, {name: value for name, value in card.items() if name != "folder"})
    executor._look(executor._hands)
    assert cluster.given[busy:] == [("evidence_unit" if kind == "evidence" else "cuts_unit", run.id)]


@pytest.mark.parametrize("name", ["00000000-000000-demo-aaaa", "20260231-000000-demo-aaaa"])
def test_an_impossible_date_hides_no_other_run(own_home: Path, name: str, capsys: pytest.CaptureFixture[str]):
    store = RunStore(own_home / "runs")
    good, bad = store.create(small_spec()), store.create(small_spec())
    bad.path.rename(store.folder / name)
    assert main(["runs", "--json"]) == 0
    told = capsys.readouterr()
    assert good.id in told.out
    assert f"Run {name} is damaged" in told.err
    assert [summary.id for summary in store.listing().runs] == [good.id]
    assert main(["show", name]) == 2
    assert main(["delete", name]) == 0
    assert store.listing().problems == ()


@pytest.mark.parametrize("values", [{"until": "many"}, {"because": 3}, {"until": [1], "goal": "finish"}])
def test_a_wish_that_makes_no_sense_hides_no_other_run(own_home: Path, values: dict[str, object]):
    store = RunStore(own_home / "runs")
    good, bad = store.create(small_spec()), store.create(small_spec())
    files.write_json(bad.path / files.WANT, {"goal": "advance", **values})
    listing = store.listing()
    assert [summary.id for summary in listing.runs] == [good.id]
    assert len(listing.problems) == 1


@pytest.mark.parametrize("take", [advance, gather, measure_cuts])
def test_a_run_deleted_before_its_lock_is_taken_does_not_come_back(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, take: Callable[[Path], Outcome]
):
    write_victims(own_home / "victims")
    store = RunStore(own_home / "runs")
    run = store.create(small_spec(), Want(Goal.ADVANCE, 1))
    evidence.ask(run, 0)
    cut_curves.ERRAND.ask(run, 0)
    acquire = FileLock.acquire

    def late(lock: FileLock, timeout: float) -> object:
        monkeypatch.undo()
        store.delete(run.id)
        return acquire(lock, timeout)

    monkeypatch.setattr(FileLock, "acquire", late)
    assert take(run.path) is Outcome.IDLE
    assert not run.path.exists()


@pytest.mark.parametrize("ask", ["advance", "go_on", "pause", "stop"])
def test_a_wish_for_a_run_deleted_meanwhile_is_a_sentence_and_no_folder(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, ask: str
):
    store = RunStore(own_home / "runs")
    run = store.create(small_spec())
    store.delete(run.id)
    monkeypatch.setattr(RunStore, "run", lambda store, run_id: Run(store.folder / run_id))
    with pytest.raises(UserError, match="There is no run"):
        getattr(store, ask)(run.id)
    assert not run.path.exists()


def test_locks_of_runs_that_are_gone_go_and_those_of_others_stay(own_home: Path):
    store = RunStore(own_home / "runs")
    held, gone, last = (store.create(small_spec()) for _ in range(3))
    store.pause(gone.id)
    shutil.rmtree(gone.path)
    with held.advance_lock():
        before = files.lock_file(held.path, files.LOCK).stat().st_ino
        store.delete(last.id)
        assert files.lock_file(held.path, files.LOCK).stat().st_ino == before
        assert {path.name.partition(".")[0] for path in (store.folder / files.LOCKS).iterdir()} == {held.id}
        store.advance(held.id)
        assert advance(held.path) is Outcome.BUSY


def test_a_name_is_kept_with_the_run_and_taken_away_again(own_home: Path):
    store = RunStore(own_home / "runs")
    run = store.create(small_spec())
    store.rename(run.id, "  <b>my</b>   *best* run ")
    assert run.summary().name == "<b>my</b> *best* run"
    for wrong in ("x" * 61, "a\u202eb", "a\0b"):
        with pytest.raises(UserError, match="at most 60 characters"):
            store.rename(run.id, wrong)
    assert run.summary().name == "<b>my</b> *best* run"
    store.rename(run.id, "")
    assert run.summary().name == ""
    (run.path / files.NAME).write_text("[")
    assert run.summary().state is RunState.NEW
    with pytest.raises(UserError, match="There is no run"):
        store.rename("20260101-000000-badnets-aaaa", "mine")
