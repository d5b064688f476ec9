"""The functions that Dask workers run. The scheduler imports this module too, so it imports nothing heavy."""

from typing import Any


def unit(path: str, rounds: int, seconds: float) -> str:
    """`advance` the run in `path` within these limits; returns the value of the `Outcome`.

    If another process holds the run, the unit waits for a moment only, so that the worker is free again soon.
    """
    from pathlib import Path

    from invmask.runs.work.advance import Limits, advance

    return advance(Path(path), Limits(rounds, seconds), patience=0.1).value


def evidence_unit(path: str, seconds: float) -> str:
    """Gather evidence about the channels of the run in `path` for about `seconds`; returns the `Outcome`'s value."""
    from pathlib import Path

    from invmask.runs.work.gather_evidence import gather

    return gather(Path(path), seconds, patience=0.1).value


def cuts_unit(path: str, seconds: float) -> str:
    """Measure hard cuts of the masks of the run in `path` for about `seconds`; returns the `Outcome`'s value."""
    from pathlib import Path

    from invmask.runs.work.measure_cuts import measure_cuts

    return measure_cuts(Path(path), seconds, patience=0.1).value


def training_unit(path: str, seconds: float) -> str:
    """Train the small victim in `path` for about `seconds`; returns the `Outcome`'s value."""
    from pathlib import Path

    from invmask.runs.work.train_small_victim import train_small_victim

    return train_small_victim(Path(path), seconds, patience=0.1).value


def bringing_unit(path: str, seconds: float) -> str:  # noqa: ARG001  (files are read in one go)
    """Bring in the model of one's own in `path`; returns the `Outcome`'s value."""
    from pathlib import Path

    from invmask.runs.work.bring_model import bring_model

    return bring_model(Path(path)).value


def prepare_unit(spec: dict[str, Any], home: str, take_round: bool) -> None:
    """Load the victim of a run that may be requested soon, and take a round that is not stored, if asked to."""
    from pathlib import Path

    from invmask.runs.store.spec import RunSpec
    from invmask.runs.work.progress import prepare

    prepare(RunSpec.from_json(spec), Path(home), take_round)
