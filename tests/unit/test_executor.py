"""Real worker processes: one cluster for the whole file, for starting one takes seconds."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from invmask import settings
from invmask.errors import UserError
from invmask.runs.cluster.capacity import Need, Room
from invmask.runs.cluster.executor import Executor
from invmask.runs.store import files
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RunState
from invmask.runs.store.run import Run
from invmask.runs.work.advance import Outcome, advance
from tests.unit.run_helpers import ROOT, long_spec, small_spec, without_time, write_victims

# Generous: a machine that is busy with something else takes a minute to import torch.
PATIENCE = 200.0


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def worker_of(run: Run) -> int:
    return json.loads((run.path / files.WORKER).read_text())["pid"]


ENVIRONMENTS: set[frozenset[tuple[str, str]]] = set()
"""Every state in which this process's environment was seen while workers started."""


def started(executor: Executor) -> bool:
    ENVIRONMENTS.add(frozenset(os.environ.items()))
    return executor._hands.cluster is not None or executor.problem is not None


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    home = tmp_path_factory.mktemp("shared")
    write_victims(home / "victims")
    executor = Executor(RunStore(home / "runs"), workers=1, threads=1)
    # Workers have to find the package whatever directory the dashboard was started in.
    before = Path.cwd()
    os.chdir(home)
    try:
        executor.start()
        wait(lambda: started(executor), "the cluster")
    finally:
        os.chdir(before)
    yield executor
    executor.close()


@pytest.fixture
def run(executor: Executor) -> Iterator[Run]:
    run = executor.create(long_spec())
    yield run
    if run.exists():
        executor.delete(run.id)


def test_children_have_an_environment_of_their_own(executor: Executor):
    # A page, or an export that begins meanwhile, reads this process's.
    assert len(ENVIRONMENTS) == 1
    asked = executor._hands.cluster.client.submit(eval, "dict(__import__('os').environ)", pure=False)
    of_worker = asked.result(PATIENCE)
    assert (of_worker["INVMASK_PARENT"], of_worker["OMP_NUM_THREADS"]) == (str(os.getpid()), "1")
    assert of_worker["GOMP_SPINCOUNT"] == os.environ["GOMP_SPINCOUNT"]
    assert str(ROOT) in of_worker["PYTHONPATH"]


def test_a_victim_is_loaded_before_a_run_of_it_is_asked_for(executor: Executor, monkeypatch: pytest.MonkeyPatch):
    rounds: list[bool] = []
    client = executor._hands.cluster.client
    submit = client.submit

    def watched(work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        if work.__name__ == "prepare_unit":
            rounds.append(given[2])
        return submit(work, *given, **named)

    monkeypatch.setattr(client, "submit", watched)
    executor.prepare(small_spec())
    # Two units: a run that is asked for meanwhile waits for the one under way alone.
    wait(lambda: rounds == [False, True], "the victim, and then a round")
    wait(lambda: executor._hands.prepared is not None and executor._hands.prepared.done(), "the round")
    prepared = executor._hands.prepared
    assert prepared is not None
    # A victim that the worker does not find would be an exception.
    assert prepared.exception(PATIENCE) is None
    assert list(executor.store.runs()) == []
    executor.prepare(small_spec(spc=2))
    executor.advance(executor.create(small_spec()).id)
    (run,) = executor.store.runs()
    wait(lambda: run.summary().state is RunState.PAUSED, "the first step")
    assert executor._hands.prepared is prepared
    executor.delete(run.id)


def test_a_step_a_run_a_pause_and_a_deletion(executor: Executor, run: Run):
    assert run.summary().state is RunState.NEW
    executor.advance(run.id)
    wait(lambda: run.summary().state is RunState.PAUSED, "the first step")
    assert run.summary().round == 1
    executor.go_on(run.id)
    wait(lambda: run.summary().round >= 4, "three rounds more")
    assert run.summary().state is RunState.RUNNING
    executor.pause(run.id)
    asked = run.summary().round
    wait(lambda: run.summary().state is RunState.PAUSED, "the pause")
    # The round in hand, and one that was stored between asking and looking.
    assert run.summary().round <= asked + 2
    assert executor.problem is None
    executor.go_on(run.id)
    executor.delete(run.id)
    assert not run.path.exists()


def test_a_worker_killed_in_the_middle_comes_back_and_gives_the_same_records(executor: Executor):
    spec = long_spec(60)
    killed, through = executor.create(spec), executor.create(spec)
    executor.go_on(killed.id)
    wait(lambda: killed.summary().round >= 5, "five rounds")
    before = worker_of(killed)
    os.kill(before, signal.SIGKILL)
    reached = killed.summary().round
    assert reached < 60, "it was over before the kill"
    wait(lambda: killed.summary().round > reached + 2, "the next worker")
    assert worker_of(killed) != before
    assert killed.summary().state is RunState.RUNNING
    executor.stop(killed.id)
    wait(lambda: killed.summary().state is RunState.STOPPED, "the end")

    rounds = killed.summary().round
    executor.store.go_on(through.id, until=rounds)
    while advance(through.path) is not Outcome.IDLE:
        time.sleep(0.1)
    assert without_time(through.entries()) == without_time(killed.entries())
    assert np.array_equal(through.mask_history(), killed.mask_history())
    assert through.result().views == killed.result().views


class Elsewhere:
    """A cluster whose workers do not get far: each unit ends at once as it is told to."""

    def __init__(self, outcome: str | Exception) -> None:
        self.outcome, self.client, self.submitted = outcome, self, 0

    def problem(self) -> None:
        return None

    def submit(self, *_: object, **__: object) -> "Elsewhere":
        self.submitted += 1
        return self

    def done(self) -> bool:
        return True

    def result(self, timeout: float) -> str:  # noqa: ARG002
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (
            ModuleNotFoundError("No module named 'invmask'"),
            "A worker cannot do its work (ModuleNotFoundError: No module",
        ),
        ("idle", "Every worker has to see that folder."),
        (CancelledError(), None),
        ("busy", None),
    ],
)
def test_workers_that_get_nowhere_are_told_of(own_home: Path, outcome: str | Exception, words: str | None):
    write_victims(own_home / "victims")
    executor, run = Executor(RunStore(own_home / "runs"), workers=1, threads=1), None
    run = executor.create(small_spec())
    executor.go_on(run.id)
    executor._hands.cluster = cluster = Elsewhere(outcome)
    for _ in range(8):
        executor._look(executor._hands)
    assert (executor.problem is None) if words is None else (words in (executor.problem or ""))
    # It is tried again after a while, not at every look.
    assert cluster.submitted <= 4
    executor.pause(run.id)
    for watched in executor._hands.watched.values():
        watched.not_before = 0.0
    executor._look(executor._hands)
    assert executor.problem is None


class Held(Elsewhere):
    """A cluster whose units do not end before they are told to."""

    def __init__(self) -> None:
        super().__init__("more")
        self.grown, self.units = 1, []

    def grow(self, workers: int) -> None:
        self.grown = max(self.grown, workers)

    def submit(self, _work: object, path: str, *_: object, **__: object) -> "Unit":
        self.units.append(Unit(path.rpartition("/")[2]))
        return self.units[-1]

    def under_way(self) -> list[str]:
        return [unit.run for unit in self.units if not unit.over]


class Unit(Elsewhere):
    def __init__(self, run: str) -> None:
        super().__init__("more")
        self.run, self.over = run, False

    def done(self) -> bool:
        return self.over


@pytest.fixture
def two_cores(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Executor, Held]:
    """An executor on a machine of two cores, which nobody has told how many workers there shall be."""
    write_victims(own_home / "victims")
    monkeypatch.setattr(settings, "cores", lambda: 2)
    executor = Executor(RunStore(own_home / "runs"))
    executor._hands.cluster = cluster = Held()
    return executor, cluster


def test_a_run_alone_has_all_cores_and_those_made_beside_it_one_thread_each(two_cores: tuple[Executor, Held]):
    executor, _ = two_cores
    threads = []
    for _ in range(3):
        run = executor.create(small_spec(threads=settings.threads()))
        threads.append(run.spec().threads)
        executor.go_on(run.id)
    assert threads == [2, 1, 1]
    # What takes no core leaves them to others.
    for run in executor.store.runs():
        executor.pause(run.id)
    assert executor.create(small_spec(threads=2)).spec().threads == 2
    assert executor.create(small_spec(threads=1)).spec().threads == 1


def test_runs_of_one_thread_go_on_side_by_side_and_take_turns(two_cores: tuple[Executor, Held]):
    executor, cluster = two_cores
    runs = [executor.store.create(small_spec(threads=1)).id for _ in range(3)]
    for run in runs:
        executor.go_on(run)
    for _ in range(2):
        executor._look(executor._hands)
        assert (len(cluster.under_way()), cluster.grown) == (2, 2)
    for _ in range(6):
        next(unit for unit in cluster.units if not unit.over).over = True
        executor._look(executor._hands)
    # Each has its turn before any has another.
    handed = [unit.run for unit in cluster.units]
    assert all(set(handed[place : place + 3]) == set(runs) for place in range(0, 6, 3))


def test_runs_of_all_cores_take_turns_in_one_worker(two_cores: tuple[Executor, Held]):
    executor, cluster = two_cores
    for _ in range(2):
        executor.go_on(executor.store.create(small_spec(threads=2)).id)
    for _ in range(4):
        executor._look(executor._hands)
        assert (len(cluster.under_way()), cluster.grown) == (1, 1)
        cluster.units[-1].over = True
    assert len({unit.run for unit in cluster.units[:2]}) == 2


def test_an_accelerator_has_one_unit_at_a_time():
    room = Room(4, cores=2)
    at_work = [Need(2, "cuda:0"), Need(1)]
    assert not room.has(Need(2, "cuda:0"), at_work)
    assert room.has(Need(2, "cuda:1"), at_work)
    assert room.has(Need(2), at_work)
    assert not room.has(Need(1), [*at_work, Need(1)])
    assert Room(4, cores=None).has(Need(2, "cuda:0"), at_work)
    assert not Room(2, cores=None).has(Need(2, "cuda:1"), at_work)


def test_cuda_and_its_first_device_are_one(own_home: Path):
    store = RunStore(own_home / "runs")
    needs = [Need.of(store.create(small_spec(device=name))) for name in ("cuda", "cuda:0", "cuda:1", "cpu")]
    assert needs[0] == needs[1] != needs[2]
    assert needs[3].accelerator is None


def test_runs_share_one_worker(executor: Executor):
    runs = [executor.create(long_spec()) for _ in range(3)]
    for run in runs:
        executor.go_on(run.id)
    wait(lambda: min(run.summary().round for run in runs) >= 3, "every run's share")
    assert all(run.result() is None for run in runs)
    for run in runs:
        executor.pause(run.id)


@pytest.mark.usefixtures("executor")
def test_a_wish_of_another_process_is_seen(run: Run):
    code = f"""
from pathlib import Path
from invmask.runs.store.goals import Goal, Want, write_want
write_want(Path({str(run.path)!r}), Want(Goal.ADVANCE, 2))
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    wait(lambda: run.summary().round == 2, "two rounds")


def test_two_executors_on_one_home_do_each_round_once(executor: Executor):
    address = executor._hands.cluster.client.scheduler.address
    second = Executor(executor.store, workers=3, threads=1, scheduler=address).start()
    run = executor.create(small_spec())
    try:
        executor.go_on(run.id)
        second.go_on(run.id)
        wait(lambda: run.summary().state is RunState.FINISHED, "the end")
        # What its scheduler has, not what this machine would start.
        wait(lambda: second.places == 1, "the count of what the scheduler has")
    finally:
        second.close()
    assert [entry.record.round for entry in run.entries()] == list(range(1, 8))
    assert executor.problem is None


def test_a_run_that_fails_leaves_the_others_alone(executor: Executor):
    lost, good = executor.create(small_spec("cifar10-preactresnet18w2-nothing")), executor.create(small_spec())
    for run in (lost, good):
        executor.advance(run.id)
    wait(lambda: lost.summary().state is RunState.FAILED, "the failure")
    wait(lambda: good.summary().state is RunState.PAUSED, "the other run")
    assert "There is no victim" in lost.summary().message
    assert executor.problem is None


def test_workers_do_not_fetch_memory_anew_for_every_tensor(executor: Executor, run: Run):
    """Left to Dask's settings, each of these 50 tensors of 2,048 pages is 2,048 page faults."""
    executor.advance(run.id)
    wait(lambda: run.summary().round == 1, "a worker")
    faults = "__import__('resource').getrusage(0).ru_minflt"
    # Sums that stayed tensors would lie between the freed ones, and at times leave no place for the next.
    tensors = "[__import__('torch').ones(2**21).sum().item() for _ in range(50)]"
    # Submitted, it runs in the thread that rounds run in.
    asked = executor._hands.cluster.client.submit(eval, f"({faults}, {tensors}, {faults})", pure=False)
    before, _, after = asked.result(PATIENCE)
    assert after - before < 20_000


def test_what_does_not_exist_is_a_sentence(executor: Executor):
    for ask in (executor.advance, executor.go_on, executor.resume, executor.pause, executor.stop, executor.delete):
        with pytest.raises(UserError, match="There is no run"):
            ask("20261122-151230-badnets-ab12")


def test_a_second_worker_comes_up_beside_the_first(executor: Executor):
    cluster = executor._hands.cluster
    cluster.grow(2)
    cluster.grow(1)
    wait(lambda: len(cluster.client.scheduler_info()["workers"]) == 2, "the second worker")
    assert cluster.problem() is None
    pids = [
        cluster.client.submit(os.getpid, workers=worker, pure=False)
        for worker in cluster.client.scheduler_info()["workers"]
    ]
    assert len({pid.result(PATIENCE) for pid in pids}) == 2


def test_a_lost_cluster_is_started_again(executor: Executor, run: Run):
    """Last in the file: whatever was warm is cold after it."""
    processes = executor._hands.cluster._processes
    os.kill(processes.scheduler.process.pid, signal.SIGKILL)
    wait(lambda: executor.problem is not None, "the problem to be told")
    assert executor.problem.endswith(".")
    executor.advance(run.id)
    wait(lambda: run.summary().round == 1, "a round of the new cluster")
    assert executor.problem is None


def test_a_scheduler_that_does_not_answer_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("invmask.runs.cluster.workers.CONNECT_SECONDS", 0.5)
    executor = Executor(RunStore(tmp_path / "runs"), workers=1, threads=1, scheduler="tcp://127.0.0.1:1").start()
    try:
        wait(lambda: executor.problem is not None, "the problem to be told")
        assert "No Dask scheduler answers at tcp://127.0.0.1:1" in executor.problem
    finally:
        executor.close()


@pytest.mark.parametrize("ending", ["sys.exit()", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_no_process_outlives_the_dashboard(tmp_path: Path, ending: str):
    code = f"""
import os, signal, sys, time
from pathlib import Path
from invmask.runs.cluster.executor import Executor
from invmask.runs.store.all_runs import RunStore
executor = Executor(RunStore(Path({str(tmp_path / "runs")!r})), workers=1, threads=1).start()
while executor._hands.cluster is None:
    time.sleep(0.05)
processes = executor._hands.cluster._processes
print(processes.scheduler.process.pid, *[worker.process.pid for worker in processes.workers.values()], flush=True)
{ending}
"""
    dashboard = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=ROOT)
    pids = [int(pid) for pid in dashboard.stdout.split()]
    assert len(pids) == 2
    wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the children to end")
    assert "Traceback" not in dashboard.stderr
