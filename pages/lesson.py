"""Lesson: a guided path over all pages, and one channel under a mask to try."""

import streamlit as st

from invmask.ui.lesson import entry, mask_data, mask_piece, progress
from invmask.ui.shell import widgets


def _page() -> None:
    card = widgets.open_card()
    if card is None:
        return
    here = progress.place()
    if here is None:
        st.title("Lesson", anchor=False)
        entry.show()
        st.subheader("To try: a mask by hand", anchor=False)
    else:
        st.title("A mask by hand", anchor=False)
    found = mask_data.gated(card)
    if found is None:
        st.info(
            "There is no run of this victim whose channels could be shown. Defend it first, or choose another victim."
        )
        st.page_link("pages/defend.py", label="Go to Defend", icon=":material/shield:")
        return
    mask_piece.show(found)


_page()
