"""The process that makes one export: ``python -m invmask.exports.work FOLDER``, started by the queue of jobs."""

import os
import sys
import threading
import traceback
from pathlib import Path

from invmask.errors import UserError
from invmask.exports.jobs import REQUEST, JobStatus, Request, write_status
from invmask.masks.state import View
from invmask.runs.cluster.child import PARENT_VARIABLE, end_with
from invmask.runs.store import files
from invmask.runs.store.run import Run

MODEL_STEPS = {
    "safetensors": "Folding the mask into the weights, and checking them",
    "onnx": "Writing ONNX, and checking it in onnxruntime",
    "mask": "Writing the mask",
}


def make(folder: Path) -> JobStatus:
    """Make the export requested in the job's folder, and write its status there."""
    run, status = Run(folder.parents[1]), JobStatus.working()
    write_status(folder, status)
    try:
        request = Request.from_json(files.read_json(folder / REQUEST) or {})
        status = _model(folder, run, request) if request.kind == "model" else _pages(folder, run, request)
    except UserError as error:
        status = JobStatus("failed", notes=(str(error),))
    except OSError as error:
        status = JobStatus("failed", notes=(f"The export could not be written: {error.strerror or error}.",))
    except Exception:
        # The traceback is for the administrator; the reader gets a sentence.
        traceback.print_exc()
        status = JobStatus("failed", notes=("The export failed; log.txt in its folder says where.",))
    if folder.is_dir():
        write_status(folder, status)
    return status


def _pages(folder: Path, run: Run, request: Request) -> JobStatus:
    from invmask.exports.archive import write_archive
    from invmask.exports.report import write_report
    from invmask.figures.paper import PAGE_MM
    from invmask.frames.run_records import Picks, read_records

    wide, picks = request.width_mm == PAGE_MM, Picks(request.sample, request.channel, request.draw)
    records = read_records(run, request.round, picks, wide)
    name = f"{run.id}-round{request.round}-{request.kind}"
    name += {"figures": f"-{request.width_mm}mm.zip", "gif": ".gif"}.get(request.kind, ".html")

    def tell(done: int, total: int, title: str) -> None:
        write_status(folder, JobStatus.working(done, total, title or "Packing"))

    if request.kind == "gif":
        from invmask.exports.moving_picture import write_moving_picture

        write_moving_picture(folder / name, records)
        return JobStatus("done", files=(name,))
    if request.kind == "replay":
        from invmask.exports.replay.page import write_replay

        write_replay(folder / name, records)
        return JobStatus("done", files=(name,))
    if request.kind == "report":
        write_report(folder / name, records, tell)
        return JobStatus("done", files=(name,))
    made = write_archive(folder / name, records, request.formats, request.figures, tell)
    return JobStatus("done", files=(name,), notes=made.problems)


def _model(folder: Path, run: Run, request: Request) -> JobStatus:
    from invmask.exports.mask_file import write_mask
    from invmask.exports.model import write_onnx, write_weights
    from invmask.exports.source import take_masks

    source = take_masks(run, None if request.mask else request.round, request.mask)
    view, names, notes, agrees = View(request.view), [], [], []
    stem = f"{source.victim.card.name}-{request.mask or f'round{request.round}'}".replace(" ", "_")
    for done, kind in enumerate(request.formats):
        write_status(folder, JobStatus.working(done, len(request.formats), MODEL_STEPS[kind]))
        if kind == "mask":
            names.append(f"{stem}-mask.safetensors")
            write_mask(folder / names[-1], source)
            continue
        names.append(f"{stem}-{view.value}.{kind}")
        check = (write_onnx if kind == "onnx" else write_weights)(folder / names[-1], source, view)
        agrees.append(check.holds)
        notes.append(f"{names[-1]}: {check.sentence()}")
    return JobStatus("done", files=tuple(names), notes=tuple(notes), agrees=all(agrees) if agrees else None)


def main(folder: str) -> int:
    """Make the export with low priority, and end when the parent process ends; returns the exit status."""
    parent = int(os.environ.get(PARENT_VARIABLE, os.getppid()))
    threading.Thread(target=end_with, args=[parent], daemon=True).start()
    # Runs and the dashboard have priority.
    os.nice(10)
    return 0 if make(Path(folder)).state == "done" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
