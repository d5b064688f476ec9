"""Export: take the figures, a report and the repaired model away."""

import streamlit as st

from invmask.runs.entries import RunSummary
from invmask.ui import address, cache, export_sections, widgets
from invmask.ui.defend_state import UNDER_WAY


def _without_rounds(run: str | None) -> None:
    if run is None:
        st.info(
            "No run is chosen. Choose one in the sidebar, or start one on Defend; then its figures can be taken away."
        )
    else:
        st.info("This run has taken no round yet, so there is nothing to take away. Take a few rounds on Defend first.")
    st.page_link("pages/defend.py", label="Go to Defend", icon=":material/shield:")


def _with_run(summary: RunSummary) -> None:
    run = cache.store().run(summary.id)
    if summary.state in UNDER_WAY:
        st.info(
            f"The run is under way, and goes on meanwhile. What you make now shows it after round {summary.round:,}; "
            "reload the page for a later one.",
            icon=":material/schedule:",
        )
    else:
        st.caption(f"{summary.id}, after round {summary.round:,}")
    picks = export_sections.figures(run, summary.round, cache.victim_stamp(summary.spec.victim))
    export_sections.report(run, summary.round, picks)
    export_sections.model(run, summary.round)


def _page() -> None:
    victim, run = address.current_victim(), address.current_run()
    if victim is None:
        widgets.no_victim()
        return
    st.title(
        "Export",
        anchor=False,
        help="Everything is made in the background and kept with the run: you can leave, and find it here again.",
    )
    summary = cache.summary(run) if run is not None else None
    if summary is None or summary.round == 0:
        _without_rounds(run)
        return
    _with_run(summary)


_page()
