"""The third step of the lab: train a small victim in a worker, watch ACC and ASR, and hand it to Defend."""

from collections.abc import Sequence

import streamlit as st

from invmask.errors import UserError
from invmask.figures.training import training_curves
from invmask.measure.metrics import Measures
from invmask.runs.store import owner
from invmask.runs.store.trainings import Epoch, Training, home_trainings
from invmask.ui.attack_lab import lab_choice
from invmask.ui.attack_lab.lab_choice import LabChoice
from invmask.ui.parts.samples import percent
from invmask.ui.shell import address, cache, limits, steering, visitor
from invmask.ui.shell.names import MEASURE_HELP, MEASURE_TITLES, count
from invmask.ui.shell.theme import chart, current_theme
from invmask.victims.small_victim import (
    IMAGE_NUMBERS,
    MOST_EPOCHS,
    MOST_SEED,
    WIDTHS,
    SmallVictim,
    missing_images,
)

LOOK_SECONDS = 1.0
_PROBLEM = "lab/training-problem"
_WIDTH_WORDS = {8: "narrow", 16: "usual", 32: "wide"}


def show_settings(choice: LabChoice) -> None:
    """Draw the settings of the training, which few readers change, behind one fold."""
    with st.expander("Training settings", icon=":material/settings:"):
        st.session_state.update(
            {
                "lab-images": choice.images,
                "lab-width": choice.width,
                "lab-epochs": choice.epochs,
                "lab-seed": choice.seed,
            }
        )
        left, right = st.columns(2)
        left.selectbox(
            "Training images",
            IMAGE_NUMBERS,
            key="lab-images",
            format_func=count,
            on_change=lambda: lab_choice.set_images(st.session_state["lab-images"]),
            help="The first 1,000 come with invmask. More are drawn from the full data set.",
        )
        right.selectbox(
            "Network",
            WIDTHS,
            key="lab-width",
            format_func=lambda width: f"4 convolutions, {_WIDTH_WORDS[width]}",
            on_change=lambda: lab_choice.set_word("width", st.session_state["lab-width"], lab_choice.FIRST["width"]),
            help="Channels of the first convolution: 8, 16 or 32. A wider network takes longer.",
        )
        left.number_input(
            "Epochs",
            1,
            MOST_EPOCHS,
            key="lab-epochs",
            on_change=lambda: lab_choice.set_word(
                "epochs", st.session_state["lab-epochs"], lab_choice.EPOCHS[choice.images]
            ),
            help="Passes over the training images.",
        )
        right.number_input(
            "Seed",
            0,
            MOST_SEED,
            key="lab-seed",
            on_change=lambda: lab_choice.set_word("seed", st.session_state["lab-seed"], 0),
            help="Decides the first weights, the poisoned images and their order. "
            "The same settings and seed make the same victim.",
        )


def show(spec: SmallVictim | None) -> None:
    """Draw the buttons, the curves, and the way to Defend."""
    st.subheader("3 The training", anchor=False)
    if spec is None:
        st.caption("Choose a trigger first.")
        return
    training = home_trainings().training(spec.name)
    under_way = training is not None and training.has_work()
    st.fragment(_draw, run_every=LOOK_SECONDS if under_way else None)(spec, under_way)


def _draw(spec: SmallVictim, drawn_under_way: bool) -> None:
    training = home_trainings().training(spec.name)
    under_way = training is not None and training.has_work()
    if drawn_under_way != under_way:
        # Only the whole page can begin or end the regular look, and the sidebar shall list a finished victim.
        st.rerun()
    _buttons(spec, training, under_way)
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem)
    if training is not None and (problem := training.problem()) is not None:
        st.error(problem)
    epochs = () if training is None else training.epochs()
    st.progress(len(epochs) / spec.epochs, _said(spec, training, epochs, under_way))
    _numbers(epochs[-1].measures if epochs else None)
    if epochs or under_way:
        _curves(spec, [each.measures for each in epochs])


def _curves(spec: SmallVictim, measures: Sequence[Measures]) -> None:
    shares = {name: [getattr(each, name) for each in measures] for name in MEASURE_TITLES}
    last = "nothing yet" if not measures else f"ACC {percent(measures[-1].acc)}, ASR {percent(measures[-1].asr)}"
    chart(
        training_curves(shares, spec.epochs, current_theme()),
        "lab-curves",
        f"ACC, ASR and RA after each epoch: {last}",
        paper=lambda: training_curves(shares, spec.epochs, "paper"),
    )


def _buttons(spec: SmallVictim, training: Training | None, under_way: bool) -> None:
    finished = training is not None and training.is_stored()
    begun = training is not None and bool(training.epochs())
    may = steering.refusal(None) is None
    with st.container(horizontal=True):
        st.button(
            "Go on" if begun and not finished else "Train",
            key="lab-train",
            type="secondary" if finished else "primary",
            icon=":material/play_arrow:",
            disabled=under_way or finished or not may or missing_images(spec) is not None,
            on_click=_ask,
            args=(spec,),
            help="Trains in the background; you may leave this page. Equal settings make the same victim, so it is "
            "trained once only.",
        )
        st.button(
            "Stop",
            key="lab-stop",
            icon=":material/stop:",
            disabled=not under_way or training is None or not is_mine(training),
            on_click=lambda: home_trainings().stop(spec.name),
            help="Stop after the epoch under way. Go on continues there.",
        )
        if st.button(
            "Defend it",
            key="lab-defend",
            type="primary" if finished else "secondary",
            icon=":material/shield:",
            disabled=not finished,
            help="Opens Defend with this victim.",
        ):
            address.set_victim(spec.name)
            st.switch_page("pages/defend.py")


def is_mine(training: Training) -> bool:
    """Whether the visitor may stop or delete a training: its maker may, or anybody if it has none."""
    mine = any(owner.may_steer(training.path, key) for key in visitor.all_keys())
    return mine and steering.refusal(None) is None


def _ask(spec: SmallVictim) -> None:
    try:
        steering.check(None)
        begin([spec], keep=True)
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)
    except OSError:
        st.session_state[_PROBLEM] = "Nothing can be written to INVMASK_HOME; see whether there is room on the disk."


def begin(specs: Sequence[SmallVictim], keep: bool) -> None:
    """Have victims trained. They belong to whoever asks for them first.

    Args:
        keep: whether they are listed among the victims.

    Raises:
        UserError: the visitor has as many trainings as they may.
    """
    limits.check_trainings([spec.name for spec in specs], keep)
    for spec in specs:
        training = cache.executor().train(spec, keep)
        if owner.owner_of(training.path) is None:
            owner.set_owner(training.path, visitor.key())


def _said(spec: SmallVictim, training: Training | None, epochs: tuple[Epoch, ...], under_way: bool) -> str:
    done = f"{len(epochs)} of {spec.epochs} epochs"
    if training is None:
        return f"Not trained yet: {spec.epochs} epochs, {count(spec.images)} images."
    if under_way:
        left = [each.seconds for each in epochs[-5:]]
        more = f", about {(spec.epochs - len(epochs)) * sum(left) / len(left):.0f} s of work left" if left else ""
        return f"{done}{more}." if epochs else "Waiting for a worker."
    if training.is_stored():
        return f"Finished after {sum(each.seconds for each in epochs):.0f} s of training: {training.id}."
    return f"Stopped after {done}."


def _numbers(found: Measures | None) -> None:
    with st.container(key="one-row-lab"):
        columns = st.columns(3)
    for column, name in zip(columns, MEASURE_TITLES, strict=True):
        number = 0 if found is None else found.n_clean if name == "acc" else found.n_triggered
        column.metric(
            f"{name.upper()}, n = {count(number)}" if found else name.upper(),
            percent(None if found is None else getattr(found, name)),
            help=MEASURE_HELP[name],
        )
