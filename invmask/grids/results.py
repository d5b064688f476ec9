"""The results of a grid of cases: one JSON file per case in one directory, and one table of all cases."""

import contextlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from invmask.defenses import registry
from invmask.errors import UserError
from invmask.machine import device_kind
from invmask.masks.state import GATED, View
from invmask.runs.store import files
from invmask.runs.store.records import RunState, RunSummary

MOST_BYTES = 1 << 18
VIEWS = tuple(view.value for view in View)
MEASURES = ("acc", "asr", "ra")
KEYS = ("dataset", "architecture", "attack", "poisoning_ratio", "defense", "preset", "precision", "device", "spc")
"""The values that are equal in cases that differ only in their seeds."""
ARITHMETIC = ("precision", "device")
"""The `KEYS` that are shown only if cases differ in them."""
UNKNOWN = "unknown"
TABLE = "table"


@dataclass(frozen=True)
class CaseResult:
    """The result of one case.

    Attributes:
        victim, dataset, architecture, attack, poisoning_ratio: the network under test; the ratio in [0, 1].
        defense, preset, spc, seed: the settings of the run.
        run: the id of the run; None if there is none.
        problem: why there are no measures, as a sentence; None if there are measures.
        views: for each view of `VIEWS` that the repair has, ACC, ASR and RA in [0, 1] by name (of `MEASURES`), over all
            embedded test images; None without a trigger.
        n_clean, n_triggered: number of clean and of triggered images.
        seconds: duration of all rounds, without measuring.
        details: settings, versions, machine and the like.
    """

    victim: str
    dataset: str
    architecture: str
    attack: str
    poisoning_ratio: float
    preset: str
    spc: int
    seed: int
    run: str | None = None
    problem: str | None = None
    views: dict[str, dict[str, float | None]] = field(default_factory=dict)
    n_clean: int = 0
    n_triggered: int = 0
    seconds: float | None = None
    details: dict[str, Any] = field(default_factory=dict)
    defense: str = registry.DEFAULT

    @property
    def method(self) -> str:
        """Defence and preset: `anp:paper`; for the default defence only the preset."""
        return self.preset if self.defense == registry.DEFAULT else f"{self.defense}:{self.preset}"

    @property
    def precision(self) -> str:
        """The run's precision; `UNKNOWN` if the file does not say. Cases with `UNKNOWN` count as equal in it."""
        return self._detail("precision")

    @property
    def device(self) -> str:
        """The run's kind of device, such as `cpu` or `cuda`; `UNKNOWN` if the file does not say."""
        return device_kind(self._detail("device"))

    def _detail(self, name: str) -> str:
        value = self.details.get(name)
        return value if isinstance(value, str) and value else UNKNOWN

    @property
    def group(self) -> tuple[Any, ...]:
        """The case's values of `KEYS`."""
        return tuple(getattr(self, key) for key in KEYS)


def from_summary(description: Mapping[str, Any], run: RunSummary) -> CaseResult:
    """The result of a run that has ended, or why there is none.

    Args:
        description: victim, dataset, architecture, attack, poisoning_ratio, defense, preset, spc and seed.
        run: the summary of the run.
    """
    if run.result is None or run.state is not RunState.FINISHED:
        why = run.message or f"The run was {run.state} after round {run.round}."
        details = {"precision": run.spec.precision, "device": run.spec.device}
        return CaseResult(**description, run=run.id, problem=why, details=details)
    result, spec = run.result, run.spec
    present = result.views.present()
    views = {view.value: {measure: getattr(of, measure) for measure in MEASURES} for view, of in present.items()}
    details = {
        "stopped_because": result.stopped_because,
        "rounds": result.rounds,
        **result.counts,
        "notes": result.notes,
        "precision": spec.precision,
        "device": spec.device,
        "threads": spec.threads,
        "versions": spec.versions,
        "settings": spec.config.as_json(),
    }
    original = result.views.original
    return CaseResult(
        **description,
        run=run.id,
        views=views,
        n_clean=original.n_clean,
        n_triggered=original.n_triggered,
        seconds=result.seconds,
        details=details,
    )


def write_case(folder: Path, name: str, result: CaseResult) -> None:
    """Store one case atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    files.write_bytes(folder / f"{name}.json", (json.dumps(asdict(result), indent=1) + "\n").encode())


def read_case(path: Path) -> CaseResult:
    """Read one case from its file.

    Raises:
        UserError: the file does not hold a case.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("too large")
        result = CaseResult(**json.loads(path.read_text()))
        shares = [share for view in result.views.values() for share in view.values() if share is not None]
        if set(result.views) - set(VIEWS) or not all(0 <= share <= 1 for share in shares):
            raise ValueError("no such view, or no share")
        if (result.problem is None) != ("original" in result.views and len(result.views) > 1):
            raise ValueError("neither measures nor a problem")
        if not isinstance(result.details, dict):
            raise TypeError("no details")
        hash(result.group)
        return result
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path.name} is no case of a sweep; delete it and sweep again.") from error


def read_folder(folder: Path) -> tuple[list[CaseResult], list[str]]:
    """Every case of a sweep, in order and after `told_apart`, and a sentence for each file that is not a case."""
    results, problems = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            results.append(read_case(path))
        except UserError as error:
            problems.append(str(error))
    results = told_apart(results)
    return sorted(results, key=lambda result: (*map(str, result.group[:-1]), result.spc, result.seed)), problems


def told_apart(results: Iterable[CaseResult]) -> list[CaseResult]:
    """Give different preset names to cases with equal names that must not be averaged.

    The preset may have changed since some cases were made, or the victim may have been trained again. The newest cases
    keep their preset's name; that of the others becomes `default (earlier)`, `default (earlier 2)` and so on.
    """
    groups: dict[tuple[Any, ...], list[CaseResult]] = {}
    for result in results:
        groups.setdefault(result.group, []).append(result)
    return [result for members in groups.values() for result in _apart(members)]


def _apart(members: list[CaseResult]) -> list[CaseResult]:
    made_by = [(_made_by(result), result) for result in members if result.problem is None]
    variants: dict[tuple[str, str | None], list[CaseResult]] = {}
    # First the cases whose weights were noted; cases without this note may belong to any of them.
    for (settings, weights), result in sorted(made_by, key=lambda made: made[0][1] is None):
        alike = (known for known in variants if known[0] == settings and weights in (None, known[1]))
        variants.setdefault(next(alike, (settings, weights)), []).append(result)
    # Run ids begin with the time.
    newest_first = sorted(variants.values(), key=lambda of: max(result.run or "" for result in of), reverse=True)
    ranks = {id(result): rank for rank, of in enumerate(newest_first) for result in of}
    told = []
    for result in members:
        # A case without a result does not show that there is another version.
        rank = ranks.get(id(result), 0)
        name = f" (earlier{f' {rank}' if rank > 1 else ''})" if rank else ""
        told.append(replace(result, preset=result.preset + name))
    return told


def _made_by(result: CaseResult) -> tuple[str, str | None]:
    """The case's settings without the seed, and the digest of its victim's weights if it was noted."""
    settings, weights = result.details.get("settings"), result.details.get("weights")
    settings = dict(settings) if isinstance(settings, dict) else {}
    # A setting that did not exist yet had the published value.
    with contextlib.suppress(UserError, TypeError):
        settings = registry.entry(result.defense).config.from_json(settings).as_json()
    settings.pop("seed", None)
    return json.dumps(settings, sort_keys=True), weights if isinstance(weights, str) else None


def views_of(results: Iterable[CaseResult]) -> list[str]:
    """The views that any case has, in order; the views of gates if no case has a result."""
    found = {view for result in results for view in result.views}
    return [view for view in VIEWS if view in (found or GATED)]


def summarise(results: Iterable[CaseResult]) -> pd.DataFrame:
    """One row for all cases that differ only in their seeds, in the given order.

    Returns:
        Columns: `KEYS`; `seeds`, the number of cases with measures; `problems`, the number without; and for every view
            that any case has, `<view> <measure>` and `<view> <measure> sd`, the mean and standard deviation over the
            seeds, in [0, 1], NaN if undefined.
    """
    groups: dict[tuple[Any, ...], list[CaseResult]] = {}
    for result in results:
        groups.setdefault(result.group, []).append(result)
    views = views_of(result for members in groups.values() for result in members)
    rows = []
    for group, members in groups.items():
        measured = [result for result in members if result.problem is None]
        row: dict[str, Any] = dict(zip(KEYS, group, strict=True))
        row |= {"seeds": len(measured), "problems": len(members) - len(measured)}
        for view in views:
            for measure in MEASURES:
                found = [result.views.get(view, {}).get(measure) for result in measured]
                shares = pd.Series(found, dtype="float64")
                row[f"{view} {measure}"], row[f"{view} {measure} sd"] = shares.mean(), shares.std()
        rows.append(row)
    return pd.DataFrame(rows)


def as_markdown(table: pd.DataFrame) -> str:
    """The table as Markdown, in per cent: mean ± standard deviation over the seeds.

    Values that all rows share are written once above the table. Defence, precision and device are written only if rows
    differ in them. The original view's standard deviation is left out if it is 0, because its measures do not depend on
    the seed.
    """
    rows = table.to_dict("records")
    columns = {
        "data set": [row["dataset"] for row in rows],
        "architecture": [row["architecture"] for row in rows],
        "attack": [
            row["attack"] + (f" {100 * row['poisoning_ratio']:.3g} %" if row["poisoning_ratio"] else "") for row in rows
        ],
        **({"defence": texts} if len(set(texts := [row["defense"] for row in rows])) > 1 else {}),
        "preset": [row["preset"] for row in rows],
        **{key: texts for key in ARITHMETIC if len(set(texts := [row[key] for row in rows])) > 1},
        "SPC": [str(row["spc"]) for row in rows],
        "seeds": [f"{row['seeds']}" + (f" ({row['problems']} without result)" * bool(row["problems"])) for row in rows],
    }
    common = {title: texts[0] for title, texts in columns.items() if len(rows) > 1 and len(set(texts)) == 1}
    columns = {title: texts for title, texts in columns.items() if title not in common}
    columns["original ACC / ASR / RA"] = [
        " / ".join(in_words(row, "original", measure).removesuffix(" ± 0.0") or "–" for measure in MEASURES)
        for row in rows
    ]
    for view in [view for view in VIEWS[1:] if f"{view} acc" in table]:
        for measure in MEASURES:
            columns[f"{view} {measure.upper()}"] = [in_words(row, view, measure) for row in rows]
    head = ["All: " + ", ".join(f"{title} {text}" for title, text in common.items()) + ".", ""] if common else []
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    return "\n".join(
        [*head, *lines, *("| " + " | ".join(cells) + " |" for cells in zip(*columns.values(), strict=True))]
    )


def in_words(row: Mapping[Any, Any], view: str, measure: str) -> str:
    """`86.9 ± 0.5`, in per cent; empty if it does not exist."""
    mean, spread = row[f"{view} {measure}"], row[f"{view} {measure} sd"]
    if math.isnan(mean):
        return ""
    return f"{100 * mean:.1f}" + ("" if math.isnan(spread) else f" ± {100 * spread:.1f}")


def write_tables(folder: Path, results: Sequence[CaseResult]) -> None:
    """Write `table.csv` with shares in [0, 1], and `table.md` in per cent."""
    table = summarise(results)
    files.write_bytes(folder / f"{TABLE}.csv", table.to_csv(index=False).encode())
    files.write_bytes(folder / f"{TABLE}.md", (as_markdown(table) + "\n").encode())
