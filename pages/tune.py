"""Tune: a hard cut of the soft masks, more or fewer clean images, more or less sparsity; two settings side by side."""

import streamlit as st

from invmask.ui import address, cache, tune_pins, tune_sweep, tune_threshold, widgets


def _page() -> None:
    victim, run = address.current_victim(), address.current_run()
    if victim is None:
        widgets.no_victim()
        return
    card = cache.victim(victim).card
    left, right = st.columns([10, 3], gap="medium", vertical_alignment="bottom")
    left.title("Tune", anchor=False)
    summary = cache.summary(run) if run is not None else None
    if summary is None:
        widgets.no_run(
            "There is no mask to cut by yet. Defend this victim for a few rounds, or start runs here.", victim
        )
    elif summary.round == 0:
        st.info("This run has taken no round yet, so its mask leaves every channel alone. Take a few rounds on Defend.")
    else:
        with right:
            widgets.round_slider(summary, "tune-round")
        round_taken = tune_threshold.round_to_show(summary, widgets.asked_round())
        st.subheader(f"Threshold, round {round_taken:,}", anchor=False, help=tune_threshold.HELP)
        tune_threshold.show(card, summary, round_taken)
    tune_pins.show()
    tune_sweep.show(card, summary)


_page()
