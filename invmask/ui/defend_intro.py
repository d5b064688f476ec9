"""What the page says before there is a run to look at."""

import streamlit as st

from invmask.ui.defend_controls import Draft

PHASES = (
    (
        "1  Initialise",
        "Split the channels: the pruned view has to answer clean images as before, the inverse must not.",
    ),
    (
        "2  Minimise",
        "Make small changes to the clean images that fool the network; the pruned view learns to withstand them.",
    ),
    ("3  Sparsify", "The same, while channels that are not needed for it are left alone again."),
)


def show_intro(begun: bool, draft: Draft | None) -> None:
    """What to press, and what will happen then; or what to change before anything can be pressed.

    Args:
        draft: of the run that would begin; None where there is one, whose state says what to press.
    """
    if begun:
        st.info(
            "The worker loads the victim and the clean images; the first round follows.",
            icon=":material/hourglass_top:",
        )
    elif draft is not None and draft.problem is not None:
        st.error(f"{draft.problem} Change it in the sidebar; Step and Run begin then.", icon=":material/error:")
    elif draft is not None and draft.config is not None:
        st.info(
            "Press **Step** to take one round, or **Run** to go to the end, with the settings in the sidebar: preset "
            f"**{draft.preset}**, SPC **{draft.spc}**, seed **{draft.config.seed}**.",
            icon=":material/play_circle:",
        )
    cells = "".join(f"<div><h4>{title}</h4><p>{text}</p></div>" for title, text in PHASES)
    st.html(f'{_STYLE}<div class="dv-intro">{cells}</div>')


_STYLE = """<style>
.dv-intro{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:1.2rem;opacity:.78}
.dv-intro h4{margin:0 0 .2rem;padding:0;font-size:1rem;font-weight:650}
.dv-intro p{margin:0;font-size:.95rem;line-height:1.4}
@media (max-width:640px){.dv-intro{grid-template-columns:1fr}}
</style>"""
