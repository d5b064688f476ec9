"""Defences beside each other, on the same victims, budgets and seeds: which runs exist, their means, and who leads."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from invmask.data.budget import MAX_SPC
from invmask.defenses import registry
from invmask.errors import UserError
from invmask.grids.curve import BEST_FIRST, UNDER_WAY
from invmask.machine import device_kind
from invmask.measure.metrics import defence_effectiveness
from invmask.models import is_transformer
from invmask.runs.store.records import RunState, RunSummary
from invmask.runs.store.spec import RunSpec
from invmask.runs.work.bench import spec_with
from invmask.victims.victim import VictimCard

MOST_CASES = 1_000
MEASURES = {"acc": "ACC", "asr": "ASR", "ra": "RA", "der": "DER"}
"""The measures of the view without the backdoor, by name. DER weighs the drop of ASR against that of ACC."""
LOW_IS_GOOD = frozenset({"asr"})
_DIGITS = 9
"""Shares that agree in so many digits count as equal."""


@dataclass(frozen=True)
class Compared:
    """One defence of one victim with one budget and seed.

    Attributes:
        spec: the run as this machine would make it.
        run: the most advanced run with these settings; None if there is none.
    """

    spec: RunSpec
    run: RunSummary | None

    @property
    def method(self) -> tuple[str, str]:
        """The defence's name and the preset's."""
        return self.spec.defense, self.spec.preset

    @property
    def place(self) -> tuple[str, int, int]:
        """What defences have in common that are compared: victim, SPC and seed."""
        return self.spec.victim, self.spec.spc, self.spec.seed

    @property
    def finished(self) -> bool:
        return self.run is not None and self.run.state is RunState.FINISHED and self.run.result is not None

    @property
    def under_way(self) -> bool:
        return self.run is not None and self.run.state in UNDER_WAY

    def share(self, measure: str) -> float | None:
        """A measure of `MEASURES` in [0, 1], on all embedded test images; None if it does not exist."""
        if not self.finished or self.run is None or self.run.result is None:
            return None
        views = self.run.result.views
        if measure == "der":
            return defence_effectiveness(views.original, views.defended)
        return getattr(views.defended, measure)


@dataclass(frozen=True)
class Spread:
    """A mean, the standard deviation (None of a single value), and the number of values."""

    mean: float
    deviation: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """None without a value."""
        if not values:
            return None
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Row:
    """The means of one defence.

    Attributes:
        method: the defence's name and the preset's.
        shares: by measure of `MEASURES`, in [0, 1]; measures without a value are left out.
        seconds: duration of all rounds of a run.
        cases: the finished cases behind the means.
    """

    method: tuple[str, str]
    shares: dict[str, Spread]
    seconds: Spread | None
    cases: tuple[Compared, ...]


def specs_of(
    cards: Iterable[VictimCard], methods: Sequence[str], spcs: Sequence[int], seeds: Sequence[int]
) -> list[RunSpec]:
    """Every combination, as this machine would make the runs.

    Args:
        methods: defences and presets, as in `registry.parse`.
        spcs: clean images per class.

    Raises:
        UserError: a name does not exist, a value is out of range, or there are more than `MOST_CASES` combinations.
    """
    cards = list(cards)
    if wrong := [spc for spc in spcs if not 1 <= spc <= MAX_SPC]:
        raise UserError(f"SPC (samples per class) has to be between 1 and {MAX_SPC}, not {wrong[0]}.")
    if (number := len(cards) * len(methods) * len(spcs) * len(seeds)) > MOST_CASES:
        raise UserError(f"These are {number:,} runs; compare at most {MOST_CASES:,} at once.")
    found = []
    for card in cards:
        transformer = is_transformer(card.architecture)
        for defense, preset in map(registry.parse, methods):
            for spc in spcs:
                for seed in seeds:
                    config = registry.entry(defense).preset(preset, transformer, seed=seed)
                    found.append(spec_with(card.name, card.architecture, preset, spc, config, defense=defense))
    return found


def method_title(method: tuple[str, str]) -> str:
    """`IMS`, or `IMS, paper`: the defence's title, and its preset if it is not the first one."""
    entry = registry.entry(method[0])
    return entry.title if method[1] == entry.first_preset else f"{entry.title}, {method[1]}"


def compared(specs: Sequence[RunSpec], runs: Iterable[RunSummary]) -> list[Compared]:
    """Each specification with its run. Runs are matched by victim, settings, precision and kind of device.

    Args:
        runs: runs of today's victims.
    """
    known: dict[tuple[object, ...], RunSummary] = {}
    for run in sorted(runs, key=lambda run: (BEST_FIRST.index(run.state), -run.created)):
        known.setdefault(_key(run.spec), run)
    return [Compared(spec, known.get(_key(spec))) for spec in specs]


def in_all(cases: Sequence[Compared]) -> list[Compared]:
    """The finished cases whose victim, SPC and seed are finished for every defence that has any finished case.

    A mean over other cases would compare defences on different tasks.
    """
    finished = [case for case in cases if case.finished]
    places = [{case.place for case in finished if case.method == method} for method in _methods(finished)]
    shared = set.intersection(*places) if places else set()
    return [case for case in finished if case.place in shared]


def means(cases: Sequence[Compared]) -> list[Row]:
    """One row for each defence, in the order of the cases; cases without a result are left out."""
    rows = []
    for method in _methods(cases):
        own = tuple(case for case in cases if case.method == method and case.finished)
        found = {name: [share for case in own if (share := case.share(name)) is not None] for name in MEASURES}
        shares = {name: spread for name, values in found.items() if (spread := Spread.of(values)) is not None}
        seconds = Spread.of([case.run.result.seconds for case in own if case.run and case.run.result])
        rows.append(Row(method, shares, seconds, own))
    return rows


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The Pareto front of (ACC, ASR): indices of the points that no other beats in one and equals in the other.

    Returns:
        In the order of rising ACC.
    """
    rounded = [(round(acc, _DIGITS), round(asr, _DIGITS)) for acc, asr in points]

    def beaten(acc: float, asr: float) -> bool:
        return any(a >= acc and s <= asr and (a, s) != (acc, asr) for a, s in rounded)

    ahead = [index for index, point in enumerate(rounded) if not beaten(*point)]
    return sorted(ahead, key=lambda index: rounded[index])


def leading(rows: Sequence[Row], measure: str) -> list[tuple[str, str]]:
    """The methods with the best mean of a measure; several if they are equal to a tenth of a per cent."""
    found = {row.method: round(100 * row.shares[measure].mean, 1) for row in rows if measure in row.shares}
    if not found:
        return []
    best = min(found.values()) if measure in LOW_IS_GOOD else max(found.values())
    return [method for method, value in found.items() if value == best]


def seconds_left(cases: Sequence[Compared]) -> float | None:
    """Seconds of rounds still to be taken for all missing cases, from finished runs of the same defence and SPC.

    Returns:
        None if no finished run says how long one of them takes.
    """
    total = 0.0
    for case in cases:
        if case.finished:
            continue
        alike = [
            other.run.result.seconds
            for other in cases
            if other.run is not None
            and other.run.result is not None
            and (other.method, other.spec.spc) == (case.method, case.spec.spc)
        ]
        if not alike:
            return None
        total += fmean(alike)
    return total


def in_words(spread: Spread | None, per_cent: bool = True) -> str:
    """`86.9 ± 0.5`, in per cent; a dash without a value."""
    if spread is None or math.isnan(spread.mean):
        return "–"
    factor = 100 if per_cent else 1
    deviation = "" if spread.deviation is None else f" ± {factor * spread.deviation:.1f}"
    return f"{factor * spread.mean:.1f}{deviation}"


def _methods(cases: Iterable[Compared]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(case.method for case in cases))


def _key(spec: RunSpec) -> tuple[object, ...]:
    return spec.victim, spec.defense, spec.spc, spec.config, spec.precision, device_kind(spec.device)
