"""Defend: learn an invertible mask on the victim, and watch every round."""

import streamlit as st

from invmask.errors import UserError
from invmask.ui import address, cache, defend_controls, defend_live, widgets
from invmask.ui.defend_state import STATE_HELP


def _page() -> None:
    name = address.current_victim()
    if name is None:
        widgets.no_victim()
        return
    card = cache.victim_cards()[name]
    st.title(
        "Defend",
        anchor=False,
        help="Learn which channels carry the backdoor from a few clean images, without knowing the trigger. "
        f"Every round is kept: go back to any of them.\n\n{STATE_HELP}",
    )
    draft = defend_controls.show(card, address.current_run())
    try:
        defend_live.show(card, draft)
    except UserError as error:
        st.error(str(error))


_page()
