"""Tune: a hard cut of the soft masks, more or fewer clean images, more or less sparsity; two settings side by side."""

import streamlit as st

from invmask.ui.shell import widgets
from invmask.ui.tune import curves, hard_cut, pins


def _page() -> None:
    card = widgets.open_card()
    if card is None:
        return
    beside = widgets.title_and_slider("Tune")
    run = widgets.open_run(
        card,
        "No mask has been learned yet. Defend this victim for a few rounds, or start runs here.",
        "its mask leaves every channel alone",
    )
    if run is not None and widgets.only_channels(run, run.spec.entry.capabilities.cuts, "mask to make a hard cut of"):
        with beside:
            widgets.round_slider(run, "tune-round")
        round_taken = hard_cut.round_to_show(run, widgets.asked_round(run))
        st.subheader(f"Threshold, round {round_taken:,}", anchor=False, help=hard_cut.HELP)
        hard_cut.show(card, run, round_taken)
    pins.show()
    curves.show(card, run or widgets.chosen_run())


_page()
