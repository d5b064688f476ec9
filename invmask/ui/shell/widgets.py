"""Widgets that several pages share."""

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from invmask.figures.measures import MEASURE_TITLES
from invmask.runs.store.records import RunSummary
from invmask.ui.parts.samples import percent
from invmask.ui.shell import address, cache, run_trouble
from invmask.ui.shell.hidden import RUN
from invmask.ui.shell.names import MEASURE_HELP, count, target_title
from invmask.victims.victim import VictimCard

_BALANCED = ("cifar10", "cifar100", "fashionmnist", "tinyimagenet")
"""Data sets with equally many test images per class, for cards without the number of triggered images."""


def open_card() -> VictimCard | None:
    """The card of the page's victim. If there is no victim on this machine, show what to do and return None."""
    victim = address.current_victim()
    if victim is not None:
        return cache.victim_cards()[victim]
    st.title("No victim yet")
    st.info(
        "There is no trained network to look at. Train one in a terminal, then open this page again: "
        "`python -m invmask train badnets`",
        icon=":material/model_training:",
    )
    return None


def open_run(card: VictimCard, nothing_yet: str, no_round: str) -> RunSummary | None:
    """The page's run, once it has taken a round. Before that, show what to do and return None.

    Args:
        nothing_yet: a sentence for a victim without a run that has taken a round.
        no_round: a sentence for a run that has taken no round.
    """
    run = chosen_run()
    if run is None:
        _no_run(nothing_yet, card.name)
        return None
    if run.round:
        return run
    st.info(f"This run has taken no round yet, so {no_round}. Take a few rounds on Defend first.")
    _to_defend()
    return None


def chosen_run() -> RunSummary | None:
    """The run named in the address, with or without rounds; None if there is none."""
    run = address.current_run()
    return None if run is None else cache.summary(run)


def title_and_slider(title: str, words: str | None = None) -> DeltaGenerator:
    """Draw the page's title with a hint, in the common height; returns the container beside it for a slider."""
    left, right = st.columns([10, 3], gap="medium")
    left.title(title, anchor=False, help=words)
    return right


def card_measures(card: VictimCard) -> None:
    """Show ACC, ASR and RA from a victim's card in large type, each with its n."""
    others = _triggered(card)
    of = "" if others is None else f", n\u00a0=\u00a0{count(others)}"
    target = target_title(card)
    columns = st.columns(3)
    values = {"acc": card.acc, "asr": card.asr, "ra": card.ra}
    nothing = "not known: nobody has a trigger" if card.is_unknown else "no trigger to measure it with"
    of_what = "of your images to test on" if card.is_unknown else "of the full test set"
    below = {
        "acc": f"{of_what}, n\u00a0=\u00a0{count(card.n_test)}" if card.acc is not None else "true classes not known",
        "asr": f"answered {target} with the trigger on{of}" if target else nothing,
        "ra": f"answered with their true class despite the trigger{of}" if target else nothing,
    }
    for column, (measure, value) in zip(columns, values.items(), strict=True):
        with column, st.container(gap=None):
            st.metric(MEASURE_TITLES[measure], percent(value), help=MEASURE_HELP[measure])
            st.caption(below[measure])


def _triggered(card: VictimCard) -> int | None:
    """Number of test images behind ASR and RA: those whose class is not their target. None if unknown."""
    if card.n_triggered is not None or card.targets is None or card.dataset not in _BALANCED:
        return card.n_triggered
    own = sum(label == wanted for label, wanted in enumerate(card.targets.of_class))
    return card.n_test - own * (card.n_test // len(card.dataset_info.classes))


def _no_run(sentence: str, victim: str) -> None:
    """Show what to do if no run is chosen: open the victim's latest run, or begin one.

    Args:
        sentence: the sentence for a victim without a run that has taken a round.
    """
    found = (run for run in cache.listing().runs if run.spec.victim == victim and run.round)
    # The list may be up to a second old.
    latest = next((run for run in found if not run_trouble.is_gone(run.id)), None)
    if latest is None or address.hides().control(RUN):
        st.info(sentence)
    else:
        st.info("No run is chosen. Choose one in the sidebar, or open the latest.")
        st.button(
            "Open the latest run",
            type="primary",
            icon=":material/history:",
            on_click=address.set_run,
            args=(latest.id,),
            help="The newest run of this victim that has taken a round.",
        )
    _to_defend()


def only_channels(run: RunSummary, capable: bool, words: str) -> bool:
    """Whether the run's defence has what the page shows. If not, show what to do instead.

    Args:
        words: what the page shows, as the end of a sentence.
    """
    if capable:
        return True
    st.info(f"{run.spec.entry.title} changes the network's weights, and has no {words}. Flip shows what came of it.")
    st.page_link("pages/flip.py", label="Go to Flip", icon=":material/flip:")
    _to_defend()
    return False


def _to_defend() -> None:
    if address.hides().page("Defend"):
        return
    st.page_link("pages/defend.py", label="Go to Defend", icon=":material/shield:")


def asked_round(run: RunSummary, first: int = 0) -> int | None:
    """The round in this page's address; None if the page follows the latest round.

    Args:
        first: the earliest round that the page can show.
    """
    why = f"the run has rounds {first:,} to {run.round:,}"
    return address.number("round", run.round, first, why)


def moved_by_hand(name: str, key: str, value: object) -> Callable[[], bool]:
    """For a slider that the page moves too: returns a function for its callback that tells whether the reader moved it.

    If the page moves a slider, a browser that has not seen this yet reports the old position with its next click, and
    Streamlit treats that as a choice. So every other cause that moves the slider has to give it a new key. A report
    counts only if it comes from the slider drawn last and differs from the value drawn.

    Args:
        name: the slider's name, whatever its key.
        key: the slider's present key.
        value: the value drawn.
    """
    st.session_state[f"drawn/{name}"] = key, value
    return lambda: st.session_state[f"drawn/{name}"] == (key, value) and st.session_state[key] != value


def round_slider(run: RunSummary, key: str, disabled: bool = False, first: int = 0) -> None:
    """A slider for the round whose masks are shown, from `first` on; at its right end the page follows the run.

    Args:
        key: the name of the page's slider.
    """
    if run.round <= first:
        return
    asked = asked_round(run, first)
    drawn = run.round if asked is None else asked
    name, key = key, f"{key}/{run.id}/{run.round}"
    st.session_state[key] = drawn
    by_hand = moved_by_hand(name, key, drawn)

    def moved() -> None:
        if by_hand():
            value = st.session_state[key]
            address.choose("round", None if value == run.round else str(value))

    st.slider(
        "Round",
        first,
        run.round,
        key=key,
        on_change=moved,
        disabled=disabled,
        help="Look at the masks as they were after this round. "
        + ("At round 0 nothing is masked. " if first == 0 else "")
        + "The right end is the latest round, and stays the latest while the run goes on.",
    )
