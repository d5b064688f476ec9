"""What lies below the stage: curves, terms, and tables, one group at a time."""

from collections.abc import Callable

import streamlit as st

from invmask.figures.candidates import Cards, candidate_pictures
from invmask.figures.channels import QUANTITIES
from invmask.figures.inner import SHARES
from invmask.figures.palette import Theme
from invmask.frames.frame import labels_figure
from invmask.runs.store.records import verdict
from invmask.ui.defend import drawings
from invmask.ui.defend.cards import probe_words, show_result
from invmask.ui.defend.drawings import Frame
from invmask.ui.defend.inner import INNER_HELP, show_shares
from invmask.ui.defend.search import SEARCH_HELP, TITLE, show_search
from invmask.ui.defend.verdict import show_verdict
from invmask.ui.parts.save_figure import save_pictures
from invmask.ui.shell.theme import live_chart
from invmask.victims.victim import VictimCard

MEASURES_HELP = (
    "The views after every round, on the same probe of the test images. The defence never sees these images; "
    "they are measured for you. Vertical lines: a new stage."
)
_KEY = "defend/below"


def show_below(card: VictimCard, frame: Frame, found: Cards | None, theme: Theme) -> None:
    """Draw the outcome of a run that has ended, and one group of figures that the reader chooses.

    Args:
        found: the search's candidates; None without a search, and before its first round.
    """
    result = frame.summary.result if frame.round == frame.last else None
    note = "" if result is None else " These numbers are from the smaller probe of every round, not the result."
    st.caption(f"In the cards: {probe_words(card, frame.views.original)}{note}")
    _outcome(card, frame)
    groups = _groups(card, frame, found, theme)
    chosen = st.segmented_control(
        "More about this round",
        list(groups),
        default=next(iter(groups)),
        key=_KEY,
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    groups.get(chosen or "", next(iter(groups.values())))()


def _outcome(card: VictimCard, frame: Frame) -> None:
    if not frame.searching and (told := verdict(frame.summary, frame.entries)) is not None:
        show_verdict(told, card.dataset_info.classes)
    if frame.round == frame.last and frame.summary.result is not None:
        show_result(frame.summary.result)


def _groups(card: VictimCard, frame: Frame, found: Cards | None, theme: Theme) -> dict[str, Callable[[], None]]:
    """The groups by their title, in order; which there are depends on the defence alone."""
    groups = {"Curves": lambda: _curves(frame, theme), "Terms of the loss": lambda: _terms(frame, theme)}
    if frame.capabilities.triggers:
        groups["Perturbations"] = lambda: _perturbations(card, frame, theme)
    if frame.capabilities.channels:
        groups["Layers"] = lambda: _layers(frame, theme)
    if found is not None and frame.capabilities.triggers:
        # Otherwise the stage shows it to the end.
        groups["Search"] = lambda: _search(frame, found)
    return groups


def _curves(frame: Frame, theme: Theme) -> None:
    st.subheader("ACC, ASR and RA over the rounds", anchor=False, help=MEASURES_HELP)
    live_chart(
        drawings.measures_figure(frame, theme),
        key="defend-measures",
        alt="ACC, ASR and RA of the views",
        paper=lambda: drawings.measures_figure(frame, "paper"),
    )


def _terms(frame: Frame, theme: Theme) -> None:
    terms = frame.defense.terms.values()
    words = "What each round makes smaller.\n\n" + "\n\n".join(f"**{of.title}**: {of.explanation}" for of in terms)
    st.subheader("The terms of the loss", anchor=False, help=words)
    live_chart(
        drawings.losses_figure(frame, theme),
        key="defend-losses",
        alt="Every loss term over the rounds",
        paper=lambda: drawings.losses_figure(frame, "paper"),
    )


def _perturbations(card: VictimCard, frame: Frame, theme: Theme) -> None:
    classes = card.dataset_info.classes
    st.subheader("How well the perturbations work", anchor=False, help=INNER_HELP)
    show_shares(frame.synthesis)
    bars, curves = st.columns([2, 3], gap="small")
    with bars:
        live_chart(
            labels_figure(frame, classes, card.target_label, theme),
            key="defend-labels",
            alt="How many images the perturbation flips to each label",
            paper=lambda: labels_figure(frame, classes, card.target_label, "paper"),
        )
    with curves:
        names = ", ".join(label for _, label in SHARES.values())
        live_chart(
            drawings.inner_figure(frame, theme),
            key="defend-inner",
            alt=f"Over the rounds: {names}",
            paper=lambda: drawings.inner_figure(frame, "paper"),
        )


def _layers(frame: Frame, theme: Theme) -> None:
    first = frame.quantities[0]
    quantity = st.session_state.get(f"defend/map/{first}") or first
    st.subheader(
        "How many of each layer",
        anchor=False,
        help="The map of the stage in its full size. The bars count each layer's channels that are "
        f"{'selected, ' * (first == 'selection')}cut in the pruned view, or cut in the inverse view, each at one half.",
    )
    live_chart(
        drawings.map_figure(frame, quantity, theme),
        key="defend-layers",
        alt=f"Every channel by layer, coloured by {QUANTITIES[quantity]}, and counts of each layer",
        paper=lambda: drawings.map_figure(frame, quantity, "paper"),
    )


def _search(frame: Frame, found: Cards) -> None:
    st.subheader(TITLE, anchor=False, help=SEARCH_HELP)
    show_search(found, frame.searching)
    save_pictures("defend-candidates-below", lambda: candidate_pictures(found, "paper"))
