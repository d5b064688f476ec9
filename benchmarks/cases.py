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


def keep(cases: Iterable[Case], folder: Path, results: Path) -> None:
    """Copy the results of the cases that are done from a sweep's folder into ``results``/cases, and name the machine.

    Others that lie in the folder stay there: they may be of earlier settings, or of other victims.
    """
    (results / "cases").mkdir(parents=True, exist_ok=True)
    for case in cases:
        if is_done(folder, case):
            shutil.copy(file_of(folder, case), file_of(results / "cases", case))
    (results / "machine.json").write_text(json.dumps({"machine": processor(settings.device())}) + "\n")


def race_of(details: dict[str, Any]) -> dict[str, Any]:
    """Label and lead of a case's race of labels; empty where there was none. Older files have them by themselves."""
    if "race" in details:
        return details["race"] or {}
    notes = details.get("notes", {})
    return {key: notes[key] for key in ("label", "lead")} if "lead" in notes else {}
