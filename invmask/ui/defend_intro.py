"""What the page says before there is a run to look at."""

import streamlit as st

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


def show_intro(begun: bool) -> None:
    """What to press, and what will happen then."""
    if begun:
        st.info(
            "The worker loads the victim and the clean images; the first round follows.",
            icon=":material/hourglass_top:",
        )
    else:
        st.info(
            "Press **Step** to take one round, or **Run** to go to the end. "
            "Settings are in the sidebar; the usual ones are filled in.",
            icon=":material/play_circle:",
        )
    cells = "".join(f"<div><h4>{title}</h4><p>{text}</p></div>" for title, text in PHASES)
    st.html(f'{_STYLE}<div class="dv-intro">{cells}</div>')


_STYLE = """<style>
.dv-intro{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:1.2rem;opacity:.78}
.dv-intro h4{margin:0 0 .2rem;padding:0;font-size:1rem;font-weight:650}
.dv-intro p{margin:0;font-size:.95rem;line-height:1.4}
</style>"""
