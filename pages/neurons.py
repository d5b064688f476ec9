"""Neurons: which channels the run holds responsible, what is known of each, and what happens if they are cut."""

import streamlit as st

from invmask.runs.store import named_masks
from invmask.runs.store.records import RunSummary
from invmask.runs.work import evidence
from invmask.ui.export import picks
from invmask.ui.neurons import (
    agreement,
    channel_data,
    channel_page,
    cut_by_hand,
    neurons_choice,
    numbers_in_sight,
    panels,
    top_channels,
)
from invmask.ui.neurons import evidence as neurons_evidence
from invmask.ui.shell import cache, widgets
from invmask.victims.victim import VictimCard
from invmask.victims.without_trigger import NOT_KNOWN


def _with_run(card: VictimCard, run: RunSummary) -> None:
    directory, target = cache.store().run(run.id), card.targets is not None
    names, asked = named_masks.list_names(directory), widgets.asked_round(run)
    round_taken = run.round if asked is None else asked
    found = channel_data.channels_at(run.id, round_taken, cache.victim_stamp(card.name), target)
    choice = neurons_choice.read(list(found.values), names, found.layout.channels)
    by_hand = neurons_choice.decided(choice.actions, found.layout.channels)
    neurons_evidence.ask(run, round_taken, asked is None)
    cuts = evidence.top_cuts(directory, round_taken)
    base = top_channels.base_of(choice, top_channels.first_channels(found, cuts, choice.by))
    result = channel_data.what_if(run.id, round_taken, base, by_hand)
    numbers_in_sight.show_numbers(result, base, choice, by_hand, round_taken)
    picks.keep_channel(choice.channel, choice.draw)
    if choice.channel is not None:
        channel = channel_page.show(card, found, choice, result)
        cut_by_hand.show(run, round_taken, base, choice, by_hand, names)
        neurons_evidence.show_progress(run.id)
        if channel is not None:
            marked = None if asked is None else round_taken
            channel_page.body(card, run, round_taken, marked, choice, channel)
            cut_by_hand.show_samples(card, run, result)
        return
    top_channels.show(run, round_taken, found, cuts, choice)
    neurons_evidence.show_progress(run.id)
    cut_by_hand.show(run, round_taken, base, choice, by_hand, names)
    panels.overview(card, run, round_taken, found, choice, by_hand, result.cut)
    cut_by_hand.show_samples(card, run, result)
    agreement.show_agreement(found)


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
    if card.is_unknown:
        st.info(
            f"{NOT_KNOWN} The scores say which channels the defence would cut. Compare them with what the synthesized "
            "trigger does.",
            icon=":material/info:",
        )
    elif card.targets is None:
        st.info(
            "This control has no backdoor, so there is nothing to compare the scores with. "
            "They say which channels the defence would cut, and accuse none of them.",
            icon=":material/info:",
        )
    _with_run(card, run)


_page()
