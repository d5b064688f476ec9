"""What is sent to a Dask worker. The scheduler imports this module too, so nothing heavy is imported with it."""

from typing import Any


def unit(path: str, rounds: int, seconds: float) -> str:
    """`advance` the run in `path` within these limits; the `Outcome`'s value.

    A unit that finds the run held by somebody else waits a moment only, for a worker is worth more than that.
    """
    from pathlib import Path

    from invmask.runs.work.advance import Limits, advance

    return advance(Path(path), Limits(rounds, seconds), patience=0.1).value


def evidence_unit(path: str, seconds: float) -> str:
    """Gather evidence about the channels of the run in `path` for about so many seconds; the `Outcome`'s value."""
    from pathlib import Path

    from invmask.runs.work.gather_evidence import gather

    return gather(Path(path), seconds, patience=0.1).value


def cuts_unit(path: str, seconds: float) -> str:
    """Measure hard cuts of the masks of the run in `path` for about so many seconds; the `Outcome`'s value."""
    from pathlib import Path

    from invmask.runs.work.measure_cuts import measure_cuts

    return measure_cuts(Path(path), seconds, patience=0.1).value


def prepare_unit(spec: dict[str, Any], home: str) -> None:
    """Load the victim of a run that may be asked for soon, and take a round of it that nobody sees."""
    from pathlib import Path

    from invmask.runs.store.spec import RunSpec
    from invmask.runs.work.progress import prepare

    prepare(RunSpec.from_json(spec), Path(home))
