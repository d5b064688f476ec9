"""Synthesized triggers in place of true ones, for a network of which no trigger is known."""

import streamlit as st

from invmask.runs.store.records import RunSummary, verdict
from invmask.ui.defend import drawings
from invmask.ui.defend.trigger_gallery import GALLERY_HELP, gallery_words, show_gallery
from invmask.victims.victim import VictimCard


def show(card: VictimCard, run: RunSummary, round_taken: int) -> None:
    """Draw a few clean images with the round's synthesized triggers, and each view's answers to them.

    If this round made none, those of the latest round that did are shown.
    """
    classes = card.dataset_info.classes
    now = drawings.read_frame(run.id, round_taken)
    made = [] if now is None else [e.record.round for e in now.entries[:round_taken] if e.record.synthesis is not None]
    number = made[-1] if made else 0
    frame = drawings.read_frame(run.id, number) if made else None
    st.subheader("With the synthesized triggers", anchor=False, help=GALLERY_HELP)
    if frame is None:
        st.caption("This run has made none up to this round: they begin with a later stage.")
        return
    gallery = drawings.gallery(frame, card.dataset)
    told = None if frame.searching else verdict(frame.summary, frame.entries)
    led = "" if told is None else f" In the search, the label {classes[told.label]} is ahead."
    st.caption(f"Round {number:,}. {gallery_words(gallery)}{led}")
    show_gallery(gallery, classes)
