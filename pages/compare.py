"""Compare: defences beside each other, on the same victims and the same clean images."""

import streamlit as st

from invmask.ui.compare import compare_choice, panels
from invmask.ui.shell import widgets


def _page() -> None:
    card = widgets.open_card()
    if card is None:
        return
    panels.go_to_opened()
    st.title("Compare", anchor=False)
    choice = compare_choice.draw(card)
    if choice is not None:
        panels.show(choice)


_page()
