"""The first part of Neurons: the effect on the original network of cutting the first few channels of a ranking."""

import streamlit as st

from invmask.evidence.rankings import cut_counts, nearest_count
from invmask.frames.channels import RANKED_BY, Channels
from invmask.frames.neurons import top_cuts_figure
from invmask.measure.metrics import Measures
from invmask.runs.store.records import RunSummary
from invmask.runs.work.top_cuts import DRAWS, Ranked, TopCuts
from invmask.ui.neurons import neurons_choice
from invmask.ui.neurons.channel_data import Base
from invmask.ui.neurons.neurons_choice import TOP, NeuronsChoice
from invmask.ui.parts.samples import percent
from invmask.ui.shell import widgets
from invmask.ui.shell.names import count
from invmask.ui.shell.theme import chart, current_theme

_HELP = (
    "Nothing of the learned mask is used here but its ranking: the first n channels are cut altogether in the "
    "**original** network, and all others stay whole. Grey: random sets with the same number of channels from "
    "each layer. Where a ranking has found the backdoor, ASR falls with the first few channels while ACC stays; with "
    "random sets that does not happen. "
    "**Score**: what the run believes, without the trigger. **Conductance**, **trigger change** and **effect alone** "
    "use the attacker's trigger, as evidence. **Synthesized change** uses the defence's own. Channels of which a "
    "ranking says nothing are not cut, so that a curve may end early."
)


def first_channels(found: Channels, cuts: TopCuts | None, by: str) -> list[int]:
    """The first channels of a ranking: those of the measured curve, or, before it exists, from the known numbers."""
    ranked = None if cuts is None else cuts.of.get(by)
    return found.first_by(by) if ranked is None else list(ranked.channels)


def base_of(choice: NeuronsChoice, first: list[int]) -> Base:
    """The start of cuts by hand."""
    if choice.base != TOP:
        return Base(choice.base)
    return Base(TOP, tuple(first[: nearest_count(choice.n, len(first))]))


def show(run: RunSummary, round_taken: int, found: Channels, cuts: TopCuts | None, choice: NeuronsChoice) -> None:
    """Draw the choice of ranking and number of channels, and the curves."""
    first = first_channels(found, cuts, choice.by)
    ranked = None if cuts is None else cuts.of.get(choice.by)
    n = nearest_count(choice.n, len(first))
    st.subheader("The top channels, cut from the original", anchor=False, help=_HELP)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        with st.container(width=640):
            _ranking(found, choice)
        with st.container(width=330):
            _slider(run, round_taken, choice.by, len(first), n)
    if not first:
        word = "No channel has a score above 0 in this round" if choice.by == "score" else "Nothing is known yet"
        st.caption(f"{word}: there is nothing to cut.")
        return
    if cuts is None or ranked is None or len(ranked.top) < 2:
        st.caption("The curve is being measured; the numbers above are there already.")
        return
    words = _said(cuts.original, ranked, RANKED_BY[choice.by], n)
    counts = ranked.counts

    def clicked() -> None:
        points = st.session_state["neurons-top"]["selection"]["points"]
        if points and 0 <= (place := round(points[0]["x"])) < len(counts):
            neurons_choice.set_number(counts[place])

    chart(
        top_cuts_figure(cuts.original, ranked, choice.by, current_theme(), n),
        key="neurons-top",
        alt=words,
        paper=lambda: top_cuts_figure(cuts.original, ranked, choice.by, "paper", n),
        on_select=clicked,
        selection_mode="points",
    )
    st.caption(words)


def _ranking(found: Channels, choice: NeuronsChoice) -> None:
    key = "neurons-by"
    st.session_state[key] = choice.by
    st.segmented_control(
        "Rank channels by",
        [name for name in RANKED_BY if name in found.values],
        key=key,
        format_func=lambda name: RANKED_BY[name].capitalize(),
        required=True,
        on_change=lambda: neurons_choice.set_ranking(st.session_state[key]),
    )


def _slider(run: RunSummary, round_taken: int, by: str, ranked: int, n: int) -> None:
    counts = cut_counts(ranked)
    key = f"neurons-n/{run.id}/{round_taken}/{by}/{n}"
    st.session_state[key] = n
    moved = widgets.moved_by_hand("neurons-n", key, n)
    st.select_slider(
        "Number of top channels cut",
        counts if len(counts) > 1 else (0, 1),
        key=key,
        on_change=lambda: neurons_choice.set_number(st.session_state[key]) if moved() else None,
        disabled=len(counts) < 2,
    )


def _said(original: Measures, ranked: Ranked, by: str, n: int) -> str:
    """The values of the curves at `n` channels, in words."""
    place = ranked.counts.index(n)
    if not n or place >= len(ranked.top):
        return _sizes(original).capitalize() + "."
    top = ranked.top[place]
    few = "the first channel" if n == 1 else f"the first {n} channels"
    if top.asr is None or original.asr is None:
        words = f"With {few} by {by} cut, ACC is {percent(top.acc)}, with nothing cut {percent(original.acc)}"
        measure = "acc"
    else:
        words = (
            f"With {few} by {by} cut, ASR is {percent(top.asr)} and RA (recovery accuracy) {percent(top.ra)}; with "
            f"nothing cut they are {percent(original.asr)} and {percent(original.ra)}. ACC is {percent(top.acc)}, "
            f"before {percent(original.acc)}"
        )
        measure = "asr"
    if place <= len(ranked.random):
        shares = [getattr(drawn, measure) for drawn in ranked.random[place - 1]]
        words += (
            f". Random sets from the same layers ({DRAWS} draws) leave {measure.upper()} between "
            f"{percent(min(shares))} and {percent(max(shares))}"
        )
    return f"{words} ({_sizes(original)}).".replace(" %", "\u00a0%").replace("n = ", "n\u00a0=\u00a0")


def _sizes(measures: Measures) -> str:
    more = f" and {count(measures.n_triggered)} triggered" if measures.n_triggered else ""
    return f"n = {count(measures.n_clean)} clean{more} test images"
