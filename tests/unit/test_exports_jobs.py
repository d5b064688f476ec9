"""Exports in the background: found again by anyone, never made twice, told of when they fail or are interrupted."""

import os
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from invmask.errors import UserError
from invmask.exports import jobs
from invmask.exports.jobs import JobStatus, Request
from invmask.exports.mask_file import read_mask
from invmask.exports.work import make
from invmask.frames.run_records import read_records
from invmask.masks.state import View
from invmask.runs.store import files
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.run import Run
from invmask.runs.work.advance import advance
from tests.unit.run_helpers import VICTIM, small_spec, taken, write_victims

CSV = Request("figures", 2, ("csv",), ("defend-losses",))


@pytest.fixture
def run(own_home: Path) -> Run:
    write_victims(own_home / "victims")
    return taken(own_home, small_spec(), 2)


def make_here(run: Run, request: Request) -> JobStatus:
    folder = jobs.folder_of(run, request)
    folder.mkdir(parents=True)
    files.write_json(folder / jobs.REQUEST, jobs.asdict(request))
    return make(folder)


def test_a_process_of_its_own_makes_the_archive(run: Run):
    jobs.start(run, CSV)
    deadline = time.monotonic() + 300
    while (status := jobs.read_status(run, CSV)) is not None and status.state == "working":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert status is not None
    assert status.state == "done", (jobs.folder_of(run, CSV) / jobs.LOG).read_text()
    (name,) = status.files
    with zipfile.ZipFile(jobs.folder_of(run, CSV) / name) as archive:
        assert archive.namelist() == ["defend-losses.csv", "defend-losses.txt", "about.json"]
    assert jobs.latest(run, "figures") == (CSV, status)
    assert jobs.latest(run, "report") is None
    made = (jobs.folder_of(run, CSV) / name).stat().st_mtime_ns
    jobs.start(run, CSV)
    assert (jobs.folder_of(run, CSV) / name).stat().st_mtime_ns == made


def test_what_was_made_before_more_was_measured_is_made_anew(run: Run, monkeypatch: pytest.MonkeyPatch):
    started = []

    def popen(words: list[str], **_: object) -> object:
        started.append(Path(words[-1]).name)
        return type("P", (), {"pid": os.getpid(), "wait": int})()

    monkeypatch.setattr(jobs.subprocess, "Popen", popen)
    report, model = Request("report", 2), Request("model", 2, ("mask",))

    def ask() -> list[str]:
        started.clear()
        for request in (report, model):
            jobs.start(run, request)
            jobs.write_status(jobs.folder_of(run, request), JobStatus("done"))
        return [name.partition("-")[0] for name in started]

    assert ask() == ["report", "model"]
    assert ask() == []
    (run.path / "tuning").mkdir()
    (run.path / "tuning" / "round-2.json").write_text("{}")
    assert ask() == ["report"]
    assert ask() == []
    weights = run.path.parents[1] / "victims" / f"{VICTIM}.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert ask() == ["report", "model"]


def test_what_was_made_before_the_run_went_on_is_made_anew(run: Run):
    report, model = Request("report", 2), Request("model", 2, ("mask",))
    before = [jobs.rests_on(run, request) for request in (report, model)]
    RunStore(run.path.parent).advance(run.id, 1)
    advance(run.path)
    assert run.committed().round == 3
    after = [jobs.rests_on(run, request) for request in (report, model)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True]


def test_nothing_is_told_of_a_run_with_another_network_than_its_own(run: Run):
    path = run.path.parents[1] / "victims" / f"{VICTIM}.safetensors"
    save_file({name: 2 * tensor for name, tensor in load_file(path).items()}, path)
    with pytest.raises(UserError, match="is another one than when run"):
        read_records(run)


def test_the_model_is_checked_and_the_mask_comes_along(run: Run, monkeypatch: pytest.MonkeyPatch):
    from invmask.data.budget import probe

    few = type("Part", (), {"images": probe("cifar10", 1)})
    monkeypatch.setattr("invmask.exports.model_agreement.load_embedded", lambda *_: few)
    request = Request("model", 2, ("safetensors", "mask"), view="inverse")
    status = make_here(run, request)
    assert (status.state, status.agrees) == ("done", True)
    assert status.files == (f"{VICTIM}-round2-inverse.safetensors", f"{VICTIM}-round2-mask.safetensors")
    assert "10 of 10" in status.notes[0]
    mask = read_mask(jobs.folder_of(run, request) / status.files[1])
    assert bool((mask.masks.gate(View.PRUNED) == run.masks_at(2).gate(View.PRUNED)).all())


def test_what_cannot_be_made_is_told_of(run: Run):
    status = make_here(run, replace(CSV, round=99))
    assert status.state == "failed"
    assert "no round 99" in status.notes[0]
    assert jobs.read_status(run, replace(CSV, round=99)) == status


def test_an_export_whose_process_is_gone_was_interrupted(run: Run):
    folder = jobs.folder_of(run, CSV)
    folder.mkdir(parents=True)
    files.write_json(folder / jobs.REQUEST, jobs.asdict(CSV))
    here = JobStatus.working()
    jobs.write_status(folder, here)
    assert jobs.latest(run, "figures") == (CSV, here)
    # Nobody has the number, or another process than the one that was at it has it by now.
    for gone in (replace(here, pid=2**22 + 1), replace(here, since=here.since - 60)):
        jobs.write_status(folder, gone)
        status = jobs.read_status(run, CSV)
        assert status is not None
        assert (status.state, "interrupted" in status.notes[0]) == ("failed", True)
    (folder / jobs.STATUS).write_text("[]")
    assert jobs.read_status(run, CSV).state == "failed"


def test_old_exports_make_room(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs.subprocess, "Popen", lambda *_, **__: type("P", (), {"pid": os.getpid(), "wait": int})())
    for number in range(1, jobs.MOST_KEPT + 4):
        request = replace(CSV, round=number)
        jobs.start(run, request)
        jobs.write_status(jobs.folder_of(run, request), JobStatus("done"))
    kept = list((run.path / jobs.FOLDER).iterdir())
    assert len(kept) == jobs.MOST_KEPT
    assert jobs.folder_of(run, replace(CSV, round=jobs.MOST_KEPT + 3)) in kept
