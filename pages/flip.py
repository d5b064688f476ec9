"""Flip: one switch, the views of one network, and the same samples under each."""

import streamlit as st

from invmask.frames.samples import by_turns
from invmask.runs.store import named_masks
from invmask.runs.store.records import RunSummary
from invmask.ui.export import picks
from invmask.ui.flip import flip_choice, panels, pen, pen_choice, synthesized
from invmask.ui.shell import cache, model_answers, widgets
from invmask.victims.victim import VictimCard


def _with_run(card: VictimCard, run: RunSummary) -> None:
    directory = cache.store().run(run.id)
    names, shapes = named_masks.list_names(directory), directory.shapes()
    assert shapes is not None
    choice, has_trigger = flip_choice.read(names, run, shapes.views), card.targets is not None
    poisoned, with_pen = has_trigger and choice.images == "poisoned", pen_choice.is_on()
    asked = run.round if choice.round is None else choice.round
    round_taken = directory.kept_round(asked)
    left, *middle, right = st.columns([8, 3, 3] if names else [10, 3], gap="medium", vertical_alignment="top")
    with left:
        panels.switch(choice, has_trigger, shapes.views, with_pen)
    for column in middle:
        with column:
            panels.mask_choice(choice, names)
    if card.is_unknown:
        synthesized.show(card, run, round_taken)
    with right:
        widgets.round_slider(run, "flip-round", choice.mask is not None)
        if round_taken != asked:
            st.caption(f"The weights after round {round_taken:,}, the last kept before it.")
    if with_pen:
        pen.show(card, run.id, round_taken if choice.mask is None else choice.mask)
        return
    stamp = cache.victim_stamp(card.name)
    if choice.mask is None:
        found = model_answers.at_round(run.id, round_taken, stamp, poisoned)
    else:
        found = model_answers.with_mask(run.id, choice.mask, stamp, poisoned)
    panels.counts(card, found, choice.view)
    fates = found.answers.fates(found.answers.defended)
    choice = flip_choice.among(choice, len(fates), poisoned)
    places = flip_choice.chosen(choice.show, fates, choice.picked, by_turns(found.answers.labels.tolist()))
    picked = choice.picked
    current = picked[-1] if picked else places[0] if places else None
    picks.keep_sample(picked[-1] if picked else None, has_trigger and not poisoned)
    panels.filter_pills(choice, fates, poisoned, found.answers.defended)
    left, right = st.columns([11, 9], gap="medium")
    with left:
        panels.sample_gallery(choice, card, found, places, current)
    with right:
        panels.detail(card, found, current)


def _page() -> None:
    card = widgets.open_card()
    if card is None:
        return
    st.title("Flip the mask", anchor=False)
    if card.is_control:
        st.write("This control has no backdoor and no trigger, so there are clean images alone to flip.")
    if card.is_unknown:
        st.write(
            "Nobody has a trigger for this network, so the samples below are clean. In its place are the **synthesized "
            "triggers** that the defence made, and each view's answers to pictures with them."
        )
    run = widgets.open_run(
        card,
        "There is no mask to flip yet. Defend this victim for a few rounds first, then come back.",
        "its views are the same",
    )
    if run is not None:
        _with_run(card, run)


_page()
