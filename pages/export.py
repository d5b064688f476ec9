"""Export: take the figures, a report, the replay and the repaired model away."""

import streamlit as st

from invmask.runs.store.records import RunSummary
from invmask.ui.defend.state_line import UNDER_WAY
from invmask.ui.export import sections
from invmask.ui.shell import cache, widgets
from invmask.ui.shell.names import plain


def _with_run(summary: RunSummary) -> None:
    run, asked = cache.store().run(summary.id), widgets.asked_round(summary, first=1)
    round_taken = summary.round if asked is None else asked
    if asked is None and summary.state in UNDER_WAY:
        st.info(
            f"The run is under way, and goes on meanwhile. What you make now shows it after round {round_taken:,}; "
            "reload the page for a later one.",
            icon=":material/schedule:",
        )
    else:
        st.caption(f"{plain(summary.name or summary.id)}, after round {round_taken:,}")
    picks = sections.figures(run, round_taken, cache.victim_stamp(summary.spec.victim))
    sections.report(run, round_taken, picks)
    sections.replay(run, summary.round)
    sections.model(run, round_taken)


def _page() -> None:
    card = widgets.open_card()
    if card is None:
        return
    beside = widgets.title_and_slider(
        "Export", "Everything is made in the background and kept with the run: you can leave, and find it here again."
    )
    run = widgets.open_run(
        card,
        "There is no run to take away from yet. Defend this victim for a few rounds first.",
        "there is nothing to take away",
    )
    if run is not None:
        with beside:
            widgets.round_slider(run, "export-round", first=1)
        _with_run(run)


_page()
