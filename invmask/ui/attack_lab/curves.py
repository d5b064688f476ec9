"""When does a backdoor take? The same victim over poisoning ratios, and over sizes of a square, as background runs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import plotly.graph_objects as go
import streamlit as st

from invmask.errors import UserError
from invmask.figures.palette import Theme
from invmask.figures.training import poisoning_curve
from invmask.measure.metrics import Measures
from invmask.runs.store.trainings import Training, home_trainings
from invmask.ui.attack_lab import training
from invmask.ui.attack_lab.lab_choice import SQUARE
from invmask.ui.shell import steering
from invmask.ui.shell.names import MEASURE_TITLES
from invmask.ui.shell.theme import chart, current_theme
from invmask.victims.small_victim import SmallVictim, missing_images

RATIOS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
SIDES = (1, 2, 3, 5)
LOOK_SECONDS = 2.0
_PROBLEM = "lab/curve-problem"


@dataclass(frozen=True)
class Curve:
    """One curve: its name, its axis, and a victim for each value, from left to right."""

    name: str
    title: str
    values: tuple[str, ...]
    specs: tuple[SmallVictim, ...]


def curves_of(spec: SmallVictim) -> tuple[Curve, Curve]:
    """The curves around a victim: its own trigger at several ratios, and squares of several sizes at its ratio."""
    ratios = tuple(replace(spec, poisoning_ratio=ratio) for ratio in RATIOS)
    squares = tuple(replace(spec, attack=SQUARE, settings={"size": side}) for side in SIDES)
    return (
        Curve("ratio", "poisoning ratio, this trigger", tuple(f"{100 * ratio:g} %" for ratio in RATIOS), ratios),
        Curve("size", "side of a white square, pixels, this ratio", tuple(map(str, SIDES)), squares),
    )


def show(spec: SmallVictim | None) -> None:
    """Draw the curves, and the buttons that ask for their victims."""
    st.subheader(
        "When does a backdoor take?",
        anchor=False,
        help="Each point is a victim of its own, trained with the settings above but for one. They are trained in the "
        "background, one after the other, and are not listed among the victims.",
    )
    if spec is None:
        st.caption("Choose a trigger first.")
        return
    for column, curve in zip(st.columns(2, gap="large"), curves_of(spec), strict=True):
        with column:
            st.fragment(_draw, run_every=LOOK_SECONDS if _under_way(curve) else None)(curve, _under_way(curve))


def _found(curve: Curve) -> list[Measures | None]:
    """The measures after the last epoch of each victim that is finished."""
    made = [found if (found := _training(spec)) is not None and found.is_made() else None for spec in curve.specs]
    epochs = [() if found is None else found.epochs() for found in made]
    return [each[-1].measures if each else None for each in epochs]


def _under_way(curve: Curve) -> bool:
    return any((found := _training(spec)) is not None and found.has_work() for spec in curve.specs)


def _draw(curve: Curve, drawn_under_way: bool) -> None:
    if _under_way(curve) != drawn_under_way:
        st.rerun()
    found = _found(curve)
    shares = {name: [None if each is None else getattr(each, name) for each in found] for name in MEASURE_TITLES}
    done = sum(each is not None for each in found)

    def draw(theme: Theme) -> go.Figure:
        return poisoning_curve(curve.values, shares, curve.title, theme)

    st.caption(f"Over the {curve.title}")
    if done or drawn_under_way:
        said = f"ACC, ASR and RA over the {curve.title}; {done} of {len(found)} measured"
        chart(draw(current_theme()), f"lab-curve-{curve.name}", said, paper=lambda: draw("paper"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Measure this curve",
            key=f"lab-curve-{curve.name}-train",
            icon=":material/show_chart:",
            disabled=not _missing(curve) or missing_images(curve.specs[0]) is not None,
            on_click=_guarded(lambda: _ask(curve)),
            help="Trains the missing victims in the background.",
        )
        if _to_be_stopped(curve):
            st.button(
                "Stop",
                key=f"lab-curve-{curve.name}-stop",
                icon=":material/stop:",
                on_click=_guarded(lambda: _stop(curve)),
                help="Stop after the epochs under way. What is measured stays.",
            )
        st.caption(f"{done} of {len(found)} victims trained")
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem)
    problems = {each.problem() for spec in curve.specs if (each := _training(spec)) is not None}
    for problem in sorted(filter(None, problems)):
        st.error(problem)


def _ask(curve: Curve) -> None:
    training.begin(_missing(curve), keep=False)


def _missing(curve: Curve) -> list[SmallVictim]:
    """The victims that are neither made nor on their way; the other curve may have asked for some."""
    known = [(spec, _training(spec)) for spec in curve.specs]
    return [spec for spec, found in known if found is None or not (found.is_made() or found.has_work())]


def _stop(curve: Curve) -> None:
    for found in _to_be_stopped(curve):
        home_trainings().stop(found.id)


def _to_be_stopped(curve: Curve) -> list[Training]:
    """Its trainings that the visitor may stop. A victim that somebody wants to keep is not of the curve alone."""
    going_on = [found for spec in curve.specs if (found := _training(spec)) is not None and found.has_work()]
    return [found for found in going_on if not found.is_kept() and training.is_mine(found)]


def _training(spec: SmallVictim) -> Training | None:
    return home_trainings().training(spec.name)


def _guarded(act: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            steering.check(None)
            act()
        except (UserError, OSError) as error:
            sentence = "Nothing can be written to the home; see whether there is room on the disk."
            st.session_state[_PROBLEM] = str(error) if isinstance(error, UserError) else sentence

    return run
