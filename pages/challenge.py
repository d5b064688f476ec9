"""Challenge: cut channels by hand, on a budget, better than the rivals."""

import streamlit as st

from invmask.runs.store.records import RunSummary
from invmask.ui.challenge import challenge_choice, measured, panels
from invmask.ui.neurons import channel_data
from invmask.ui.shell import cache, widgets
from invmask.victims.victim import VictimCard


def _with_run(card: VictimCard, run: RunSummary) -> None:
    found = channel_data.channels_at(run.id, run.round, cache.victim_stamp(card.name), target=True)
    known = panels.shades(found)
    choice = challenge_choice.read(found.layout.channels, known)
    original, now = measured.with_cut(run.id, run.round, choice.cut)
    panels.controls(choice, known)
    panels.points(choice, original, now)
    left, right = st.columns([11, 9], gap="large")
    with left:
        panels.network(choice, found)
    with right:
        panels.class_board(run, choice, original, now)
        panels.rivals(run, run.round, choice, found)


def _page() -> None:
    card = widgets.open_card()
    if card is None:
        return
    st.title("You prune", anchor=False)
    st.write(
        "The trigger fools this network. Cut the channels that carry the backdoor: bring ASR down, and keep ACC. "
        "You may cut only a few."
    )
    if card.targets is None:
        why = "Nobody has a trigger for this network" if card.is_unknown else "This control has no backdoor"
        st.info(f"{why}, so there is no ASR to bring down. Choose another victim in the sidebar.")
        return
    run = widgets.open_run(
        card, "The rivals come from a run. Defend this victim for a few rounds first, then come back.", "nobody to beat"
    )
    if run is None or not widgets.only_channels(run, run.spec.entry.capabilities.channels, "channels to cut"):
        return
    _with_run(card, run)


_page()
