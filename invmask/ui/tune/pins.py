"""The part of Tune that shows two pinned cuts, of one or two runs, side by side."""

import streamlit as st

from invmask.errors import UserError
from invmask.evidence.threshold import Order
from invmask.frames.hard_cuts import cut_figure, cut_words
from invmask.runs.store.records import Views
from invmask.runs.work import cut_curves
from invmask.ui.defend.cards import show_table
from invmask.ui.shell import cache
from invmask.ui.shell.names import plain
from invmask.ui.shell.run_menu import run_title
from invmask.ui.shell.theme import chart, current_theme
from invmask.ui.tune import tune_choice
from invmask.ui.tune.tune_choice import Pin


def show() -> None:
    """Draw the pinned cuts; nothing if none is pinned."""
    pins = tune_choice.pins()
    if not pins:
        return
    st.subheader("Side by side", anchor=False, help="The cuts that you pinned. They are in the address too.")
    for number, (column, pin) in enumerate(zip(st.columns(2, gap="large"), pins, strict=False)):
        with column:
            _pinned(number, pin)
            st.button(
                "Unpin",
                key=f"tune-unpin-{number}",
                icon=":material/keep_off:",
                on_click=tune_choice.unpin,
                args=(pin,),
            )
    if len(pins) == 1:
        st.caption("Move the slider, or choose another run, and pin a second cut to compare.")


def _pinned(number: int, pin: Pin) -> None:
    try:
        run = cache.store().run(pin.run)
        spec, curves = run.summary().spec, cut_curves.read_curves(run, pin.round)
        title = run_title(run.summary())
    except UserError as error:
        st.warning(str(error))
        return
    points = () if curves is None else curves.points[pin.order]
    point = next((point for point in points if point.cut.channels == pin.channels), None)
    if curves is None or point is None:
        st.warning("This cut is no longer measured; unpin it, and pin another.")
        return
    by = "by score" if pin.order is Order.SCORE else "by effective mask"
    st.markdown(f"**{cut_words(point)}**, {by}  \n:small[{spec.victim}, {plain(title)}, round {pin.round:,}]")
    show_table(Views(curves.original, point.pruned, point.inverse))
    chart(
        cut_figure(curves, pin.order, current_theme(), pin.channels),
        f"tune-pin-{number}",
        f"ACC, ASR and RA against the number of channels cut, {title}",
        lambda: cut_figure(curves, pin.order, "paper", pin.channels),
    )
