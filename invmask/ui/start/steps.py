"""The purpose of invmask and the way through it, in three steps at the top of Start."""

import streamlit as st

from invmask.victims.victim import VictimCard


def show(card: VictimCard) -> None:
    """Draw the steps see, defend and flip: one sentence each, and a link."""
    see = "Below: the same pictures with and without the attacker's **trigger**."
    if card.is_unknown:
        see = "Below: your pictures, and what your network answers."
    elif card.targets is None:
        see = "Below: pictures and answers. To see a backdoor, choose another victim."
    defend = "Find the backdoor's channels and cut them, with ten clean images of each class."
    flip = "Switch between the repaired network (*pruned*) and what was cut out (*inverse*)."
    see_column, defend_column, flip_column = st.columns(3, gap="small")
    with see_column.container(border=True, height="stretch"):
        st.markdown(f"**1 See**  \n{see}")
        st.page_link("pages/lesson.py", label="Take a lesson", icon=":material/school:")
    with defend_column.container(border=True, height="stretch"):
        st.markdown(f"**2 Defend**  \n{defend}")
        st.page_link("pages/defend.py", label="Go to Defend", icon=":material/shield:")
    with flip_column.container(border=True, height="stretch"):
        st.markdown(f"**3 Flip**  \n{flip}")
        st.page_link("pages/flip.py", label="Go to Flip", icon=":material/flip:")
