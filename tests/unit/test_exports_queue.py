"""Exports wait for each other: one is made at a time, whoever asked for it, and none that waits is lost or stuck."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from invmask.exports import jobs, queue
from invmask.exports.jobs import JobStatus, Request
from invmask.frames.captions import ordinal
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.run import Run
from tests.unit.run_helpers import small_spec, write_victims

REQUESTS = tuple(Request("figures", number, ("csv",), ("defend-losses",)) for number in (1, 2, 3))
POPEN = subprocess.Popen


@pytest.fixture
def runs(own_home: Path) -> tuple[Run, Run]:
    write_victims(own_home / "victims")
    store = RunStore(own_home / "runs")
    return store.create(small_spec()), store.create(small_spec())


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the jobs whose process was started; each process is this one. No thread has the queue go on."""
    folders = []

    def popen(words: list[str], **_: object) -> object:
        folders.append(Path(words[-1]))
        return type("P", (), {"pid": os.getpid(), "wait": int})()

    monkeypatch.setattr(jobs.subprocess, "Popen", popen)
    monkeypatch.setattr(jobs.queue, "tend", lambda *_: None)
    return folders


def go_on(run: Run) -> bool:
    return queue.proceed(run.path.parents[1], jobs._standing, jobs._begin)


def states(run: Run, *requests: Request) -> list[str | None]:
    found = [jobs.read_status(run, request) for request in requests]
    return [None if status is None else status.state for status in found]


def test_one_export_is_made_at_a_time_whichever_run_it_is_of(runs: tuple[Run, Run], started: list[Path]):
    one, other = runs
    jobs.start(one, REQUESTS[0])
    jobs.start(other, REQUESTS[1])
    jobs.start(one, REQUESTS[2])
    assert started == [jobs.folder_of(one, REQUESTS[0])]
    assert [jobs.place(one, REQUESTS[0]), jobs.place(other, REQUESTS[1]), jobs.place(one, REQUESTS[2])] == [1, 2, 3]
    assert states(other, REQUESTS[1]) == ["waiting"]
    assert jobs.latest(other, "figures") == (REQUESTS[1], JobStatus("waiting"))
    # Pressed again, it keeps its place.
    jobs.start(other, REQUESTS[1])
    assert (jobs.place(other, REQUESTS[1]), len(started)) == (2, 1)
    jobs.write_status(jobs.folder_of(one, REQUESTS[0]), JobStatus("done"))
    assert go_on(one)
    assert started[1:] == [jobs.folder_of(other, REQUESTS[1])]
    assert (states(other, REQUESTS[1]), jobs.place(one, REQUESTS[2])) == (["working"], 2)
    jobs.write_status(jobs.folder_of(other, REQUESTS[1]), JobStatus("failed"))
    assert not go_on(one)
    assert started[2:] == [jobs.folder_of(one, REQUESTS[2])]


@pytest.mark.parametrize("gone", [{"pid": 2**22 + 1}, {"since": 1.0}])
def test_a_killed_process_keeps_nobody_waiting(runs: tuple[Run, Run], started: list[Path], gone: dict[str, float]):
    run, _ = runs
    for request in REQUESTS[:2]:
        jobs.start(run, request)
    # Its number is nobody's, or that of a process that began later, as after a restart of the machine.
    jobs.write_status(jobs.folder_of(run, REQUESTS[0]), replace(JobStatus.working(), **gone))
    assert jobs.place(run, REQUESTS[1]) == 1
    go_on(run)
    assert len(started) == 2
    assert states(run, *REQUESTS[:2]) == ["failed", "working"]


def test_who_waits_outlives_a_restart_of_the_server(
    runs: tuple[Run, Run], started: list[Path], monkeypatch: pytest.MonkeyPatch
):
    run, _ = runs
    for request in REQUESTS:
        jobs.start(run, request)
    jobs.write_status(jobs.folder_of(run, REQUESTS[0]), JobStatus.working(pid=2**22 + 1))
    code = (
        "import sys; from pathlib import Path; from invmask.exports import jobs;"
        "from invmask.runs.store.run import Run;"
        "jobs.subprocess.Popen = lambda words, **_: print(words[-1]) or type('P', (), {'pid': 0, 'wait': int})();"
        "jobs.queue.proceed(Path(sys.argv[1]), jobs._standing, jobs._begin)"
    )
    monkeypatch.setattr(subprocess, "Popen", POPEN)
    told = subprocess.run(
        [sys.executable, "-c", code, str(run.path.parents[1])], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == [str(jobs.folder_of(run, REQUESTS[1]))]
    assert len(started) == 1


def test_what_waits_is_neither_forgotten_nor_stuck_behind_what_was_deleted(
    runs: tuple[Run, Run], started: list[Path], monkeypatch: pytest.MonkeyPatch
):
    one, other = runs
    monkeypatch.setattr(jobs, "MOST_KEPT", 1)
    jobs.start(other, REQUESTS[0])
    for request in REQUESTS:
        jobs.start(one, request)
    assert states(one, *REQUESTS) == ["waiting"] * 3
    RunStore(other.path.parent).delete(other.id)
    assert not other.path.exists()
    go_on(one)
    assert started[1:] == [jobs.folder_of(one, REQUESTS[0])]
    # A ticket that names a place outside the home, or is damaged, is nobody's.
    (one.path.parents[1] / queue.FOLDER / "0.json").write_text('{"job": "../../elsewhere"}')
    (one.path.parents[1] / queue.FOLDER / "1.json").write_text("{")
    assert jobs.place(one, REQUESTS[1]) == 2
    for ticket in (one.path.parents[1] / queue.FOLDER).glob("*.json"):
        ticket.unlink()
    assert states(one, REQUESTS[1]) == ["failed"]


def test_where_no_process_can_be_started_the_job_has_failed_and_the_next_is_tried(
    runs: tuple[Run, Run], started: list[Path], monkeypatch: pytest.MonkeyPatch
):
    run, _ = runs
    jobs.start(run, REQUESTS[0])
    jobs.start(run, REQUESTS[1])

    def none(*_: object, **__: object) -> None:
        raise OSError(11, "no more processes")

    monkeypatch.setattr(jobs.subprocess, "Popen", none)
    jobs.write_status(started[0], JobStatus("done"))
    go_on(run)
    status = jobs.read_status(run, REQUESTS[1])
    assert status is not None
    assert (status.state, "no more processes" in status.notes[0]) == ("failed", True)


def test_a_thread_has_the_queue_go_on_and_ends_with_it(own_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queue, "LOOK_SECONDS", 0.01)
    here: dict[Path, bool | None] = {own_home / name: False for name in "abc"}
    most, order, over = 0, [], threading.Event()

    def begin(job: Path) -> None:
        nonlocal most
        here[job] = True
        order.append(job.name)
        most = max(most, sum(state is True for state in here.values()))
        threading.Timer(0.05, lambda: (here.update({job: None}), job.name == "c" and over.set())).start()

    for job in here:
        queue.enter(own_home, job)
    for _ in range(3):
        queue.tend(own_home, here.__getitem__, begin)
    assert over.wait(30)
    assert (order, most) == (["a", "b", "c"], 1)
    deadline = time.monotonic() + 30
    while own_home in queue._threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert own_home not in queue._threads


def test_numbers_of_places_are_spelt_as_people_say_them():
    words = [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 111, 1022)]
    assert words == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "111th", "1,022nd"]
