"""What the page says before there is a run to look at."""

import streamlit as st

from invmask.defenses.entry import Entry
from invmask.ui.defend.controls import Draft


def show_intro(begun: bool, draft: Draft | None, defense: Entry) -> None:
    """What to press, and what will happen then; or what to change before anything can be pressed.

    Args:
        draft: of the run that would begin; None where there is one, whose state says what to press.
        defense: of that run.
    """
    if begun:
        st.info(
            "The worker loads the victim and the clean images; the first round follows.",
            icon=":material/hourglass_top:",
        )
    elif draft is not None and draft.problem is not None:
        st.error(f"{draft.problem} Change it in the sidebar, then press Step or Run.", icon=":material/error:")
    elif draft is not None and draft.config is not None:
        st.info(
            "Press **Step** to take one round, or **Run** to go to the end, with the settings in the sidebar: "
            f"**{defense.title}**, preset **{draft.preset}**, SPC **{draft.spc}**, seed **{draft.config.seed}**.",
            icon=":material/play_circle:",
        )
    cells = "".join(
        f"<div><h4>{number}  {stage.title}</h4><p>{stage.explanation}</p></div>"
        for number, stage in enumerate(defense.stages, 1)
    )
    st.html(f'{_STYLE}<div class="dv-intro">{cells}</div>')


_STYLE = """<style>
.dv-intro{display:grid;grid-template-columns:repeat(auto-fit,minmax(12rem,1fr));gap:1.2rem;opacity:.78}
.dv-intro h4{margin:0 0 .2rem;padding:0;font-size:1rem;font-weight:650}
.dv-intro p{margin:0;font-size:.95rem;line-height:1.4}
@media (max-width:640px){.dv-intro{grid-template-columns:1fr}}
</style>"""
