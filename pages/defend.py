"""Defend: run a defence on the victim, and watch every round."""

import streamlit as st

from invmask.errors import UserError
from invmask.ui.defend import controls, live
from invmask.ui.shell import address, run_trouble, widgets


def _page() -> None:
    card = widgets.open_card()
    if card is None:
        return
    draft = controls.show(card, address.current_run())
    about = draft.entry
    stages = "\n\n".join(f"**{stage.title}**: {stage.explanation}" for stage in about.stages)
    st.title(
        "Defend",
        anchor=False,
        help="Take the backdoor out with a few clean images, without knowing the trigger. Every round is kept: go back "
        f"to any of them.\n\n**{about.title}**: {about.explanation} {about.details}\n\n{stages}",
    )
    try:
        live.show(card, draft)
    except UserError as error:
        run_trouble.show(error)


_page()
