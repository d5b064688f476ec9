"""Runs that differ in one setting and in their seeds: which exist and which are missing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from invmask.defenses.settings import DefenseConfig
from invmask.machine import device_kind
from invmask.runs.store.records import RunState, RunSummary
from invmask.runs.store.spec import RunSpec

SPC = "spc"
"""The data budget, which can always be varied; further settings are the `axes` of the defence's entry."""
UNDER_WAY = (RunState.RUNNING, RunState.WAITING)
BEST_FIRST = (RunState.FINISHED, *UNDER_WAY, RunState.PAUSED, RunState.STOPPED, RunState.NEW, RunState.FAILED)
"""States of a run, the one first that says most about its settings."""


@dataclass(frozen=True)
class Place:
    """One run of a sweep, which may or may not exist.

    Attributes:
        value: value of the varied setting.
        spc, config: everything that a run's records depend on beside victim and machine; the seed is in `config`.
        run: the existing run; None if it is missing.
    """

    value: float
    spc: int
    config: DefenseConfig
    run: RunSummary | None

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def finished(self) -> bool:
        return self.run is not None and self.run.state is RunState.FINISHED

    @property
    def under_way(self) -> bool:
        return self.run is not None and self.run.state in UNDER_WAY


def computed_alike(one: RunSpec, other: RunSpec) -> bool:
    """Whether two runs have the same defence, precision and kind of device, so that a mean over both is valid."""
    return (one.defense, one.precision, device_kind(one.device)) == (
        other.defense,
        other.precision,
        device_kind(other.device),
    )


def lay_out(
    base: RunSpec, axis: str, values: Sequence[float], seeds: Sequence[int], runs: Iterable[RunSummary]
) -> list[Place]:
    """Every value with every seed, all else as in `base`. Of equal runs, the most advanced one is taken.

    Args:
        axis: `SPC`, or one of the defence's axes.
        runs: runs to search; they are matched by settings, precision and kind of device, not by the preset's name.

    Raises:
        UserError: a value is out of the setting's range.
    """
    known: dict[tuple[int, DefenseConfig], RunSummary] = {}
    for run in sorted(runs, key=lambda run: (BEST_FIRST.index(run.state), -run.created)):
        if run.spec.victim == base.victim and computed_alike(run.spec, base):
            known.setdefault((run.spec.spc, run.spec.config), run)
    places = []
    for value in sorted(set(values)):
        for seed in sorted(set(seeds)):
            spc = int(value) if axis == SPC else base.spc
            changes = {} if axis == SPC else {axis: float(value)}
            config = replace(base.config, seed=seed, **changes)
            places.append(Place(float(value), spc, config, known.get((spc, config))))
    return places
