"""The part of Neurons that holds the score against evidence: how far its order of the channels can be trusted."""

import numpy as np
import streamlit as st

from invmask.evidence.agreement import rank_agreement, top_overlap
from invmask.exports.channels import Channels, comparable
from invmask.figures.agreement import agreement_matrix
from invmask.ui.names import count
from invmask.ui.theme import chart, current_theme

AGREEMENT_HELP = (
    "Spearman's rank correlation over all channels: +1 where two numbers put the channels into the same order, 0 "
    "where they have nothing to do with each other. The changes of ASR and ACC are taken with the sign turned: a "
    "channel whose cut lowers them more ranks higher. The score looks for the few channels that carry the backdoor, "
    "and is 0 for all that the mask leaves alone; evidence has some number for every channel. So the score may order "
    "a thousand channels otherwise and still agree on those at the top: the second sentence counts these."
)
COMPARED = 20
"""Channels at the top of two rankings that are held against each other."""


def show_agreement(found: Channels) -> None:
    """How well the score and each piece of evidence agree: over all channels, and at the top."""
    st.subheader("How well score and evidence agree", anchor=False, help=AGREEMENT_HELP)
    values = comparable(found.values)
    matrix = rank_agreement(values)
    of_score = dict(matrix["score"]) if "score" in matrix else {}
    correlations = {name: value for name, value in of_score.items() if name != "score" and np.isfinite(value)}
    if (found.scores == 0).all():
        st.caption("In this round every channel scores 0: there is no order to compare.")
        return
    if not correlations:
        st.caption("There is no evidence to compare the score with yet.")
        return
    channels, zero = found.layout.channels, int((found.scores == 0).sum())
    said = ", ".join(f"{name} {value:+.2f}".replace("-", "−") for name, value in correlations.items())
    score = values.pop("score")
    both = {name: top_overlap(score, each, COMPARED) for name, each in values.items()}
    first, *others = both
    tops = f"{both[first]} {'is' if both[first] == 1 else 'are'} also among the {COMPARED} highest by {first}"
    tops = ", ".join([tops, *(f"{both[name]} by {name}" for name in others)])
    st.write(
        f"Rank correlation of the score with: {said}; {count(channels)} channels, of which {count(zero)} score 0. "
        f"Of the {COMPARED} channels with the highest score, {tops} "
        f"(by chance {COMPARED * COMPARED / channels:.1f})."
    )
    if len(matrix) < 3:
        # One pair, and the sentence has its number.
        return
    chart(
        agreement_matrix(list(matrix), matrix.to_numpy(), current_theme()),
        key="neurons-agreement",
        alt="Rank correlations between all pairs",
    )
