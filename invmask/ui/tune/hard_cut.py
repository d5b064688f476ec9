"""The part of Tune that turns the soft masks into a hard cut: slider, three cards, curves, and saving."""

import streamlit as st
import torch

from invmask.errors import UserError
from invmask.evidence.threshold import (
    LEAST_AGREEMENT,
    LEAST_RISE,
    PLATEAU,
    CutPoint,
    Grounds,
    Order,
    Proposal,
    cut_order,
    hard_masks,
    propose,
)
from invmask.frames.hard_cuts import cut_figure, cut_words
from invmask.masks.state import Masks
from invmask.runs.store.records import RunSummary, Views
from invmask.runs.work import cut_curves
from invmask.runs.work.cut_curves import CutCurves
from invmask.ui.defend.cards import show_cards
from invmask.ui.defend.state_line import UNDER_WAY
from invmask.ui.neurons.channel_data import scores_at
from invmask.ui.parts import save_mask
from invmask.ui.parts.samples import percent
from invmask.ui.shell import cache, run_trouble, widgets
from invmask.ui.shell.theme import chart, current_theme
from invmask.ui.tune import tune_choice
from invmask.victims.victim import VictimCard

LOOK_SECONDS = 1.0
_MOVED = "tune/pinned"
ORDER_TITLES = {Order.MASK: "threshold on m", Order.SCORE: "channel score"}
_ORDER_HELP = (
    "**Threshold on m**: cut every channel whose effective mask m lies below a threshold. **Channel score**: cut the "
    "channels with the highest score, as on Neurons. Where scores are equal or missing, the lowest m goes first."
)
_WELL = 0.8
"""The page warns if the share of restored answers is below this."""
_LEAST = f"{100 * LEAST_AGREEMENT:.0f} %"
HELP = (
    "A learned mask is soft: it turns channels down by anything between 0 and 1. Here it becomes a hard cut: some "
    "channels are cut, all others stay whole. The inverse view keeps what is cut, and cuts the other channels that the "
    "run selected. Every point was measured in the background; moving the slider computes nothing."
)


def round_to_show(run: RunSummary, asked: int | None) -> int:
    """The requested round; else, while a run is under way, the round whose cuts are measured; else the latest."""
    if asked is not None:
        return min(asked, run.round)
    wanted = cut_curves.ERRAND.wanted(cache.store().run(run.id))
    return min(wanted, run.round) if run.state in UNDER_WAY and wanted is not None else run.round


def ask(run: RunSummary, round_taken: int) -> None:
    """Request the measurement of a round's cuts, unless it is done, or was requested and failed."""
    directory = cache.store().run(run.id)
    found = cut_curves.read_curves(directory, round_taken)
    if cut_curves.ERRAND.problem(directory) is not None or (found is not None and found.complete):
        return
    if cut_curves.ERRAND.wanted(directory) != round_taken:
        cache.executor().measure_cuts(run.id, round_taken)
    else:
        # Requested before, perhaps by a dashboard that has ended. Start the executor, so that the work is done.
        cache.executor()


def show(card: VictimCard, run: RunSummary, round_taken: int) -> None:
    """Draw everything about hard cuts of the masks after a round."""
    ask(run, round_taken)
    if (layout := cache.store().run(run.id).layout()) is not None:
        tune_choice.asked_channels(layout.channels)
    _progress_of(run.id, round_taken)
    st.fragment(_body)(card, run.id, round_taken)


def _body(card: VictimCard, run: str, round_taken: int) -> None:
    if st.session_state.pop(_MOVED, False):
        # Pins are shown outside this fragment.
        st.rerun()
    run_trouble.follow(run)
    try:
        _parts(card, run, round_taken)
    except UserError as error:
        # In a fragment, the page's own message about a damaged run cannot be reached.
        run_trouble.show(error)


def _parts(card: VictimCard, run: str, round_taken: int) -> None:
    curves = cut_curves.read_curves(cache.store().run(run), round_taken)
    order = tune_choice.order()
    left, right = st.columns(2, gap="large", vertical_alignment="bottom")
    with left:
        _order(order)
    point = None if curves is None else tune_choice.point_shown(curves, order)
    if curves is None or point is None:
        st.info("The first cuts are being measured; they appear here in a few seconds.")
        return
    with right:
        _slider(run, round_taken, curves, order, point)
    show_cards(card, Views(curves.original, point.pruned, point.inverse))
    _proposal(card, curves, order, point)
    _buttons(run, round_taken, order, point)
    chart(
        cut_figure(curves, order, current_theme(), point.cut.channels),
        f"tune-cuts-{order.value}",
        "ACC, ASR and RA of the three views against the number of channels cut",
        lambda: cut_figure(curves, order, "paper", point.cut.channels),
    )


def _order(order: Order) -> None:
    key = "tune-order"
    st.session_state[key] = order
    st.segmented_control(
        "Cut by",
        list(Order),
        key=key,
        format_func=ORDER_TITLES.__getitem__,
        required=True,
        on_change=lambda: tune_choice.set_order(st.session_state[key]),
        help=_ORDER_HELP,
        width="stretch",
    )


def _slider(run: str, round_taken: int, curves: CutCurves, order: Order, point: CutPoint) -> None:
    points = {each.cut.channels: each for each in curves.points[order]}
    # With more points, or another proposal, it is a new slider; see `widgets.moved_by_hand`.
    key = f"tune-cut-{order.value}/{run}/{round_taken}/{len(points)}/{curves.complete}/{tune_choice.turn()}"
    st.session_state[key] = point.cut.channels
    moved = widgets.moved_by_hand("tune-cut", key, point.cut.channels)
    st.select_slider(
        "Hard cut",
        list(points),
        key=key,
        format_func=lambda channels: cut_words(points[channels]) if channels in points else str(channels),
        on_change=lambda: tune_choice.set_channels(st.session_state[key]) if moved() else None,
        help="How many channels are cut, of those measured.",
        disabled=len(points) < 2,
    )


def _proposal(card: VictimCard, curves: CutCurves, order: Order, point: CutPoint) -> None:
    found = propose(curves.points[order]) if curves.complete else None
    here = f"This cut keeps {percent(point.agreement)} of the original's answers to the clean images "
    here += f"(n = {curves.budget:,})"
    if point.restored is not None:
        here += f", {percent(point.restored)} with the synthesized trigger on (n = {curves.perturbed:,})"
    if not curves.complete:
        st.caption(_tight(f"{here}. A cut is proposed once all are measured."))
        return
    soft = ", ".join(
        f"{name.upper()} {percent(value)}"
        for name in ("acc", "asr", "ra")
        if (value := getattr(curves.learned[0], name)) is not None
    )
    if found is None:
        why = (
            f"**No cut is proposed**: none of those measured keeps {_LEAST} of the original's answers to the clean "
            "images."
        )
    else:
        why = f"**Proposed: {cut_words(found.point)}**. {_rule(found)}{_caution(found)}"
    nothing = "the attacker's trigger, the target or test images" if card.targets is not None else "test images"
    st.caption(_tight(why), help=f"Chosen with clean images and the defence's own triggers only, without {nothing}.")
    st.caption(_tight(f"{here}. The soft mask: {soft}."))


def _rule(found: Proposal) -> str:
    """The criterion by which a cut was proposed, in a sentence."""
    kept = f"{_LEAST} of the original's answers to the clean images"
    if found.grounds is Grounds.PLATEAU:
        return (
            f"Of the cuts that keep at least {kept}, this is the smallest that keeps these answers under the "
            f"synthesized trigger too, nearly as well as the best cut does (within {100 * PLATEAU:.0f} points)."
        )
    if found.point.restored is None:
        why = "this round made no synthesized trigger to choose by"
    else:
        why = (
            f"with the synthesized trigger on, none of these keeps {100 * LEAST_RISE:.0f} points more of them than no "
            "cut at all, so the trigger does not help to choose"
        )
    return f"Of the cuts that keep at least {kept}, this one cuts the most channels; {why}."


def _caution(found: Proposal) -> str:
    """A further sentence where the proposed cut undoes little of what the defence made."""
    restored = found.point.restored
    if found.grounds is not Grounds.PLATEAU or restored is None or restored >= _WELL:
        return ""
    return (
        f" Under that trigger it keeps only {percent(restored)} of them, so more channels may be needed: the soft "
        "mask, or a harder cut, may lower ASR further at the price of ACC."
    )


def _tight(words: str) -> str:
    return words.replace(" %", "\u00a0%").replace("n = ", "n\u00a0=\u00a0")


def _buttons(run: str, round_taken: int, order: Order, point: CutPoint) -> None:
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Take the proposed cut",
            icon=":material/target:",
            on_click=tune_choice.set_proposed,
            disabled=tune_choice.asked_channels() is None,
            help="Back to the cut that the rule proposes.",
        )
        pin = tune_choice.Pin(run, round_taken, order, point.cut.channels)
        st.button(
            "Pin",
            icon=":material/keep:",
            on_click=_pin,
            args=(pin,),
            disabled=pin in tune_choice.pins(),
            help="Keep this cut in sight below, beside another of this or of another run.",
        )
        with st.popover("Save mask", icon=":material/save:", help="Give this cut a name that Flip and Export know."):
            save_mask.show("tune", run, lambda: _hard(run, round_taken, order, point.cut.channels))


def _pin(pin: tune_choice.Pin) -> None:
    tune_choice.pin(pin)
    st.session_state[_MOVED] = True


def _hard(run: str, round_taken: int, order: Order, channels: int) -> Masks:
    directory = cache.store().run(run)
    learned = directory.masks_at(round_taken)
    scores = torch.from_numpy(scores_at(run, round_taken, cache.victim_stamp(directory.spec().victim)))
    return hard_masks(learned, cut_order(learned, order, scores)[:channels])


def _progress_of(run: str, round_taken: int) -> None:
    directory = cache.store().run(run)
    problem = cut_curves.ERRAND.problem(directory)
    if problem is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(problem, icon=":material/info:")
            st.button(
                "Try again", on_click=run_trouble.unless_gone(cache.executor().measure_cuts), args=(run, round_taken)
            )
    elif cut_curves.has_work(directory):
        st.fragment(_progress, run_every=LOOK_SECONDS)(run, round_taken, _stage(run, round_taken))


def _progress(run: str, round_taken: int, shown: int) -> None:
    try:
        if _stage(run, round_taken) != shown:
            st.rerun()
        found = cut_curves.read_curves(cache.store().run(run), round_taken)
    except UserError:
        # The run is deleted or damaged; the whole page reports this.
        st.rerun()
    done, total = (0, 0) if found is None else (found.done, found.total)
    words = f"{done} of {total}" if total else "about to begin"
    st.progress(done / max(1, total), f"Measuring cuts in the background, round {round_taken:,}: {words}")
    if (trouble := cache.executor().problem) is not None:
        st.warning(trouble, icon=":material/info:")


def _stage(run: str, round_taken: int) -> int:
    """A value that changes when the page should be redrawn: at the first point, then at every few points."""
    directory = cache.store().run(run)
    found = cut_curves.read_curves(directory, round_taken)
    if cut_curves.ERRAND.problem(directory) is not None:
        return -2
    if found is None or not found.done:
        return -1
    return found.done if found.complete else found.done // 4
