"""Flip: one switch, three views of one network, and the same samples under each."""

import streamlit as st

from invmask.attacks.victims import VictimCard
from invmask.exports.samples import by_turns
from invmask.masks.state import View
from invmask.runs import named_masks
from invmask.runs.entries import RunSummary
from invmask.ui import answers, cache, export_picks, flip_choice, flip_panels, widgets


def _with_run(card: VictimCard, run: RunSummary) -> None:
    names = named_masks.list_names(cache.store().run(run.id))
    choice, has_trigger = flip_choice.read(names, run), card.targets is not None
    poisoned = has_trigger and choice.images == "poisoned"
    round_taken = run.round if choice.round is None else choice.round
    left, *middle, right = st.columns([8, 3, 3] if names else [10, 3], gap="medium", vertical_alignment="top")
    with left:
        flip_panels.switch(choice, has_trigger)
    for column in middle:
        with column:
            flip_panels.mask_choice(choice, names)
    with right:
        widgets.round_slider(run, "flip-round", choice.mask is not None)
    stamp = cache.victim_stamp(card.name)
    if choice.mask is None:
        found = answers.at_round(run.id, round_taken, stamp, poisoned)
    else:
        found = answers.with_mask(run.id, choice.mask, stamp, poisoned)
    flip_panels.counts(card, found, choice.view)
    fates = found.answers.fates(View.PRUNED)
    choice = flip_choice.among(choice, len(fates), poisoned)
    places = flip_choice.chosen(choice.show, fates, choice.picked, by_turns(found.answers.labels.tolist()))
    picked = choice.picked
    current = picked[-1] if picked else places[0] if places else None
    export_picks.keep_sample(picked[-1] if picked else None, has_trigger and not poisoned)
    flip_panels.filter_pills(choice, fates, poisoned)
    left, right = st.columns([11, 9], gap="medium")
    with left:
        flip_panels.sample_gallery(choice, card, found, places, current)
    with right:
        flip_panels.detail(card, found, current)


def _page() -> None:
    card = widgets.open_card()
    if card is None:
        return
    st.title("Flip the mask", anchor=False)
    if card.targets is None:
        st.write("This control has no backdoor and no trigger, so there are clean images alone to flip.")
    run = widgets.open_run(
        card,
        "There is no mask to flip yet. Defend this victim for a few rounds first, then come back.",
        "its three views are the same",
    )
    if run is not None:
        _with_run(card, run)


_page()
