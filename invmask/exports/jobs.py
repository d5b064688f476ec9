"""Exports that take a while: made by a process of their own, told of in files that any reader finds again.

A job is a folder ``exports/<id>`` in the run's directory: what was asked for, how far it is, and what came of it. The
id follows from what was asked for, so that asking twice finds what is there, unless what it rests on has changed. Jobs
of all runs of a home wait in one queue (`queue`).
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from invmask import __version__
from invmask.errors import UserError
from invmask.exports import queue
from invmask.runs.cluster.child import PARENT_VARIABLE
from invmask.runs.store import files, living_process
from invmask.runs.store.run import Run
from invmask.runs.store.staleness import victim_digest
from invmask.runs.work import cut_curves, evidence
from invmask.settings import victim_folders

FOLDER = "exports"
REQUEST, STATUS, LOG, RESTS_ON = "request.json", "status.json", "log.txt", "rests_on.json"
MEASURED = (evidence.FOLDER, cut_curves.ERRAND.folder)
MOST_KEPT = 12
STARTING = "Starting"
PACKAGE_PARENT = Path(__file__).resolve().parents[2]

Kind = Literal["figures", "report", "model"]


@dataclass(frozen=True)
class Request:
    """What is to be made of a run at a round.

    Attributes:
        formats: of the figures (`archive.FORMATS`), or of the model (`safetensors`, `onnx`, `mask`).
        figures: names in the book; None for all.
        view, mask: of the model: which view, and the name of masks made by hand (None: the run's own).
        stamp: tells masks of one name from later ones of the same name.
        width_mm: of the figures in print, one of `figures.paper.WIDTHS_MM`.
        sample, channel, draw: what figures and report show of Flip and Neurons, see `run_records.Picks`.
    """

    kind: Kind
    round: int
    formats: tuple[str, ...] = ()
    figures: tuple[str, ...] | None = None
    view: str = "pruned"
    mask: str | None = None
    stamp: int = 0
    sample: str | None = None
    channel: str | None = None
    draw: int = 0
    width_mm: int = 88

    @property
    def id(self) -> str:
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.kind}-{digest[:12]}"

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Request":
        """Rebuild it from the result of `asdict`. Raises TypeError or KeyError for any other values."""
        figures = values["figures"]
        return cls(**{**values, "formats": tuple(values["formats"]), "figures": figures and tuple(figures)})


@dataclass(frozen=True)
class JobStatus:
    """How far a job is.

    Attributes:
        state: `waiting` in the queue, `working`, `done` or `failed`.
        done, total, doing: steps, and the one in hand in words.
        files: what can be taken away, by name in the job's folder.
        notes: sentences about it: what could not be made, whether the model agrees.
        agrees: of a model, whether all its files agree with the masked model; None for other jobs.
        pid, since: the process that works on it, and when that began (`living_process.began`).
    """

    state: Literal["waiting", "working", "done", "failed"]
    done: int = 0
    total: int = 1
    doing: str = ""
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    agrees: bool | None = None
    pid: int = 0
    since: float = 0.0

    @classmethod
    def working(cls, done: int = 0, total: int = 1, doing: str = "", pid: int | None = None) -> "JobStatus":
        """Of a job in the hands of process `pid`, or of this one."""
        pid = os.getpid() if pid is None else pid
        return cls("working", done, total, doing, pid=pid, since=living_process.began(pid))


INTERRUPTED = JobStatus("failed", notes=("It was interrupted before it was finished; make it again.",))
UNDER_WAY = ("waiting", "working")


def folder_of(run: Run, request: Request) -> Path:
    """Where the job's files are."""
    return run.path / FOLDER / request.id


def read_status(run: Run, request: Request) -> JobStatus | None:
    """How far the job is; None if it was never asked for. One that has lost its process or ticket has failed."""
    folder = folder_of(run, request)
    status = _status_in(folder)
    if status is not None and status.state == "waiting" and place(run, request) is None:
        # It may have begun just now.
        status = _status_in(folder)
        if status is not None and status.state == "waiting":
            return INTERRUPTED
    return status


def place(run: Run, request: Request) -> int | None:
    """Where the job is in the queue, from 1, those that are worked on included; None: it is not in it."""
    return queue.place(run.home, folder_of(run, request), _standing)


def tend(run: Run) -> None:
    """See that the queue goes on, where a restart of the server has left it standing."""
    queue.tend(run.home, _standing, _begin)


def _status_in(folder: Path) -> JobStatus | None:
    try:
        values = files.read_json(folder / STATUS)
        if values is None:
            return None
        status = JobStatus(**{**values, "files": tuple(values["files"]), "notes": tuple(values["notes"])})
    except (OSError, ValueError, TypeError, KeyError):
        return JobStatus("failed", notes=("What is stored of this export is damaged; make it again.",))
    if status.state == "working" and not living_process.lives(status.pid, status.since):
        return INTERRUPTED
    if status.state == "done" and not all((folder / name).is_file() for name in status.files):
        return None
    return status


def latest(run: Run, kind: Kind) -> tuple[Request, JobStatus] | None:
    """What was asked for last of this kind, by whichever reader, and how far it is."""
    found = sorted((run.path / FOLDER).glob(f"{kind}-*/{REQUEST}"), key=_changed, reverse=True)
    for path in found:
        try:
            request = Request.from_json(files.read_json(path) or {})
        except (OSError, ValueError, TypeError, KeyError):
            continue
        status = read_status(run, request)
        if request.kind == kind and status is not None:
            return request, status
    return None


def write_status(folder: Path, status: JobStatus) -> None:
    """Replace what is told of a job."""
    files.write_json(folder / STATUS, asdict(status))


def rests_on(run: Run, request: Request) -> dict[str, Any]:
    """What else than the request decides what comes of it: the victim, and what has been measured by now.

    Raises:
        UserError: a damaged run, or one that was deleted.
    """
    victim = victim_digest(run.spec().victim, victim_folders(run.home))
    basis: dict[str, Any] = {"invmask": __version__, "victim": victim}
    if request.kind == "model":
        return basis
    # A run gets a result at its end, evidence and cuts when they are asked for; curves are of several runs.
    measured = [path for folder in MEASURED for path in run.path.glob(f"{folder}/*") if path.name.startswith("round-")]
    measured += [*run.path.glob(evidence.VICTIM), *run.path.parent.glob("*/result.json")]
    # Curves and captions tell how far the run is and why it ended, whatever round they are of.
    committed = run.committed()
    return basis | {
        "measured": {str(path): path.stat().st_mtime_ns for path in sorted(measured)},
        "rounds": 0 if committed is None else committed.round,
    }


def start(run: Run, request: Request) -> None:
    """Put it in the queue to be made in the background, unless it is there already, or done and still true.

    Raises:
        UserError: no process can be started, or the run's folder cannot be written to.
    """
    status = read_status(run, request)
    folder, basis = folder_of(run, request), rests_on(run, request)
    if status is not None and (status.state in UNDER_WAY or (status.state == "done" and _basis(folder) == basis)):
        # The one asked for last is the one that is shown.
        with contextlib.suppress(OSError):
            (folder / REQUEST).touch()
        return
    try:
        # Not with parents: those of a run that was deleted just now would come back.
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        _forget_old(folder.parent, folder)
        files.write_json(folder / REQUEST, asdict(request))
        files.write_json(folder / RESTS_ON, basis)
        write_status(folder, JobStatus("waiting"))
        queue.enter(run.home, folder)
        waiting = queue.proceed(run.home, _standing, _begin)
    except OSError as error:
        raise UserError(f"The export cannot be started in {folder}; see whether there is room on the disk.") from error
    if waiting:
        tend(run)


def _standing(folder: Path) -> bool | None:
    """For the queue: whether the job is worked on (True), waits (False), or is over or gone (None)."""
    status = _status_in(folder)
    return {"working": True, "waiting": False}.get(status.state) if status is not None else None


def _begin(folder: Path) -> None:
    """Start the process that makes it; where there is none to be had, the job has failed, and the queue goes on."""
    path = os.pathsep.join([str(PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", PARENT_VARIABLE: str(os.getpid())}
    try:
        with (folder / LOG).open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "invmask.exports.work", str(folder)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        if folder.is_dir():
            words = f"No process could be started ({error.strerror or error}); make it again."
            write_status(folder, JobStatus("failed", notes=(words,)))
        return
    status = _status_in(folder)
    if status is not None and status.state == "waiting":
        # It has not spoken for itself yet.
        write_status(folder, JobStatus.working(doing=STARTING, pid=worker.pid))
    # Whoever ended stays in the list of processes until somebody has waited for it.
    threading.Thread(target=worker.wait, daemon=True).start()


def _basis(folder: Path) -> dict[str, Any] | None:
    """What the job's files were made of; None where that is not known."""
    with contextlib.suppress(OSError, ValueError):
        return files.read_json(folder / RESTS_ON)
    return None


def _forget_old(folder: Path, but: Path) -> None:
    """The newest few exports of a run are kept; the rest can be made again. None is taken out of the queue."""
    found = sorted((path for path in folder.iterdir() if path.is_dir() and path != but), key=_changed, reverse=True)
    for path in found[MOST_KEPT - 1 :]:
        if _standing(path) is None:
            shutil.rmtree(path, ignore_errors=True)


def _changed(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
