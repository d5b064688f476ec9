"""Neurons: which channels the run holds responsible, what is known of each, and what happens if they are cut."""

import streamlit as st

from invmask.runs.store import named_masks
from invmask.runs.store.records import RunSummary
from invmask.runs.work import evidence
from invmask.ui import (
    cache,
    export_picks,
    neurons_agreement,
    neurons_channel,
    neurons_choice,
    neurons_data,
    neurons_evidence,
    neurons_numbers,
    neurons_panels,
    neurons_top,
    neurons_whatif,
    widgets,
)
from invmask.victims.victim import VictimCard


def _with_run(card: VictimCard, run: RunSummary) -> None:
    directory, target = cache.store().run(run.id), card.targets is not None
    names, asked = named_masks.list_names(directory), widgets.asked_round(run)
    round_taken = run.round if asked is None else asked
    found = neurons_data.channels_at(run.id, round_taken, cache.victim_stamp(card.name), target)
    choice = neurons_choice.read(list(found.values), names, found.layout.channels)
    by_hand = neurons_choice.decided(choice.actions, found.layout.channels)
    neurons_evidence.ask(run, round_taken, asked is None)
    cuts = evidence.top_cuts(directory, round_taken)
    base = neurons_top.base_of(choice, neurons_top.first_channels(found, cuts, choice.by))
    result = neurons_data.what_if(run.id, round_taken, base, by_hand)
    neurons_numbers.show_numbers(result, base, choice, by_hand, round_taken)
    export_picks.keep_channel(choice.channel, choice.draw)
    if choice.channel is not None:
        channel = neurons_channel.show(card, found, choice, result)
        neurons_whatif.show(run, round_taken, base, choice, by_hand, names)
        neurons_evidence.show_progress(run.id)
        if channel is not None:
            marked = None if asked is None else round_taken
            neurons_channel.body(card, run, round_taken, marked, choice, channel)
            neurons_whatif.show_samples(card, run, result)
        return
    neurons_top.show(run, round_taken, found, cuts, choice)
    neurons_evidence.show_progress(run.id)
    neurons_whatif.show(run, round_taken, base, choice, by_hand, names)
    neurons_panels.overview(card, run, round_taken, found, choice, by_hand, result.cut)
    neurons_whatif.show_samples(card, run, result)
    neurons_agreement.show_agreement(found)


def _page() -> None:
    card = widgets.open_card()
    if card is None:
        return
    beside = widgets.title_and_slider("Neurons")
    run = widgets.open_run(
        card,
        "There are no channels to look at yet. Defend this victim for a few rounds first.",
        "its mask leaves every channel alone",
    )
    if run is None or not widgets.only_channels(run, run.spec.entry.capabilities.channels, "channels to score or cut"):
        return
    with beside:
        widgets.round_slider(run, "neurons-round")
    if card.targets is None:
        st.info(
            "This control has no backdoor, so there is nothing to compare the scores with. "
            "They say which channels the defence would cut, and accuse none of them.",
            icon=":material/info:",
        )
    _with_run(card, run)


_page()
