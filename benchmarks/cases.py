"""What the benchmarks that sweep keep of their cases."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

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
