"""The part of Neurons that compares the score with evidence: how well it finds the important channels."""

import numpy as np
import streamlit as st

from invmask.evidence.agreement import rank_correlation
from invmask.evidence.rankings import suspicion
from invmask.frames.channels import RANKED_BY, Channels
from invmask.frames.neurons import COMPARED, agreement_rows, shared_figure
from invmask.ui.shell.names import count
from invmask.ui.shell.theme import chart, current_theme

AGREEMENT_HELP = (
    "The score looks for the few channels that carry the backdoor and is 0 for all that the mask leaves alone; "
    "evidence has some number for every channel, and the effect alone is exactly 0 for most. So a rank correlation "
    "over all channels is mostly about how ties and channels that do nothing are ordered, and is near 0 even where "
    "both point at the same channels. What counts is whether the channels at the top are the same. **Grey**: how many "
    "channels two unrelated rankings share by chance, at most, in 99 of 100 cases."
)


def show_agreement(found: Channels) -> None:
    """How well the score agrees with each kind of evidence: at the top, and among the channels with a score above 0."""
    st.subheader("Does the evidence point at the same channels?", anchor=False, help=AGREEMENT_HELP)
    scores, rows = found.scores, agreement_rows(found)
    if (scores == 0).all():
        st.caption("In this round every channel scores 0: there is no order to compare.")
        return
    if not rows:
        st.caption("There is no evidence to compare the score with yet.")
        return
    top = len(found.first_by("score")[:COMPARED])
    parts = [f"{row.shared} by {name} (by chance {row.chance:.1f})" for name, row in rows.items()]
    scored = scores > 0
    st.write(
        f"Channels among the {top} with the highest score that are also among the {COMPARED} highest by the evidence: "
        f"{', '.join(parts)}."
    )
    chart(shared_figure(rows, current_theme()), key="neurons-agreement", alt=", ".join(parts))
    st.caption(
        f"Rank correlation among the {count(int(scored.sum()))} channels that score above 0: {_ranks(found, scored)}. "
        f"Over all {count(len(scores))}, of which {count(int((~scored).sum()))} tie at 0: "
        f"{_ranks(found, np.ones_like(scored))}."
    )


def _ranks(found: Channels, among: np.ndarray) -> str:
    """The score's rank correlations with each kind of evidence; `among` selects channels, bool [channels]."""
    said = []
    for name, title in RANKED_BY.items():
        column = found.values.get(name)
        if name == "score" or column is None:
            continue
        value = rank_correlation(found.scores[among], suspicion(name, column.values)[among])
        if np.isfinite(value):
            said.append(f"{title} {value:+.2f}".replace("-", "−"))
    return ", ".join(said) or "none is known"
