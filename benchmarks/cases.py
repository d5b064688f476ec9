"""What the benchmarks that sweep keep of their cases."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from invmask import settings
from invmask.cli.sweep import file_of, is_done
from invmask.machine import processor
from invmask.runs.grid import Case

MACHINES = "machines.json"


def keep(cases: Iterable[Case], folder: Path, results: Path) -> None:
    """Copy the results of the cases that are done from a sweep's folder into ``results``/cases, and name their machine.

    Others that lie in the folder stay there: they may be of earlier settings, or of other victims. What was copied
    before keeps the name of the machine that it was made on.
    """
    (results / "cases").mkdir(parents=True, exist_ok=True)
    told = results / MACHINES
    machines = json.loads(told.read_text()) if told.exists() else {}
    for case in cases:
        if is_done(folder, case):
            found, kept = file_of(folder, case), file_of(results / "cases", case)
            if not kept.exists() or kept.read_bytes() != found.read_bytes():
                shutil.copy(found, kept)
                machines[kept.stem] = processor(settings.device())
    told.write_text(json.dumps(dict(sorted(machines.items())), indent=1) + "\n")


def machines_of(results: Path) -> dict[str, str]:
    """What each case, by the name of its file, was computed on."""
    return json.loads((results / MACHINES).read_text())


def race_of(details: dict[str, Any]) -> dict[str, Any]:
    """Label and lead of a case's race of labels; empty where there was none. Older files have them by themselves."""
    if "race" in details:
        return details["race"] or {}
    notes = details.get("notes", {})
    return {key: notes[key] for key in ("label", "lead")} if "lead" in notes else {}
