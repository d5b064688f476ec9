"""Curves over several runs as numbers for a figure, for the page Tune and the book."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import plotly.graph_objects as go

from invmask.defenses.entry import Entry
from invmask.figures.measures import MEASURE_TITLES
from invmask.figures.palette import Theme
from invmask.figures.tune import SweepPoint, sweep_curves
from invmask.grids.curve import SPC, Place, computed_alike
from invmask.runs.store.records import RunState, RunSummary

LEAST_VALUES = 2
"""Minimum number of values of a setting for a curve."""


def axis_titles(defense: Entry) -> dict[str, str]:
    """Titles of the settings for the axis of a defence's curves, by name; the data budget first."""
    titles = {SPC: "Data budget, SPC"}
    for setting in defense.config.settings():
        if setting.name in defense.axes:
            titles[setting.name] = f"{setting.title} {setting.symbol}".strip()
    return titles


def sweep_point(value: float, run: RunSummary) -> SweepPoint:
    """A finished run as a point of a curve."""
    assert run.result is not None
    views = run.result.views
    measures = [name for name in MEASURE_TITLES if getattr(views.original, name) is not None]
    shares = {name: {view.value: getattr(of, name) for view, of in views.present().items()} for name in measures}
    return SweepPoint(value, run.spec.config.seed, run.id, shares)


def finished_along(base: RunSummary, axis: str, runs: Iterable[RunSummary]) -> list[Place]:
    """The finished runs that differ from `base` only in one setting and in the seed; one per value and seed.

    Runs with another precision or on another kind of device are left out.
    """
    found: dict[tuple[float, int], Place] = {}
    for run in sorted(runs, key=lambda run: -run.created):
        spec, own = run.spec, base.spec
        if run.state is not RunState.FINISHED or run.result is None or spec.victim != own.victim:
            continue
        if not computed_alike(spec, own):
            continue
        if axis == SPC:
            like = replace(own.config, seed=spec.config.seed) == spec.config
        else:
            changes = {axis: getattr(spec.config, axis), "seed": spec.config.seed}
            like = spec.spc == own.spc and replace(own.config, **changes) == spec.config
        if like:
            value = float(spec.spc if axis == SPC else getattr(spec.config, axis))
            found.setdefault((value, spec.config.seed), Place(value, spec.spc, spec.config, run))
    return [found[key] for key in sorted(found)]


def is_curve(places: Sequence[Place]) -> bool:
    """Whether there are enough values for a curve."""
    return len({place.value for place in places}) >= LEAST_VALUES


def sweep_figure(
    places: Sequence[Place], values: Sequence[float], axis: str, theme: Theme, wide: bool = False
) -> go.Figure:
    """ACC, ASR and RA of finished runs against a setting.

    Args:
        values: values of the setting on the axis, rising.
        wide: for two columns of a paper.
    """
    points = [sweep_point(place.value, place.run) for place in places if place.run is not None]
    return sweep_curves(points, values, _title(places, axis), theme, wide)


def _title(places: Sequence[Place], axis: str) -> str:
    entry = next(place.run.spec.entry for place in places if place.run is not None)
    return axis_titles(entry)[axis]
