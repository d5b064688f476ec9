"""The text of the page before a run is chosen."""

import streamlit as st

from invmask.defenses.entry import Entry
from invmask.ui.defend.controls import Draft
from invmask.ui.shell import steering


def show_intro(begun: bool, draft: Draft | None, defense: Entry) -> None:
    """Explain which button to press and what it does, or what to change before a run can begin.

    Args:
        begun: whether a run has begun.
        draft: the settings of the run that would begin; None if a run exists, whose state says which button to press.
        defense: the defence of that run.
    """
    if begun:
        st.info(
            "The worker loads the victim and the clean images; the first round follows.",
            icon=":material/hourglass_top:",
        )
    elif draft is not None and draft.problem is not None:
        st.error(f"{draft.problem} Change it in the sidebar, then press Step or Run.", icon=":material/error:")
    elif draft is not None and draft.config is not None:
        buttons = "Press **Step** to take one round, or **Run** to go to the end, with the settings in the sidebar"
        st.info(
            f"{buttons if steering.refusal(None) is None else 'No run has begun. It will have these settings'}: "
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
