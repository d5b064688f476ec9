"""Pieces of pages that several pages share."""

import streamlit as st

from invmask.attacks.victims import VictimCard
from invmask.ui.names import MEASURE_HELP, MEASURE_TITLES, count, target_title
from invmask.ui.samples import percent


def no_victim() -> None:
    """What to do where no victim is on this machine."""
    st.title("No victim yet")
    st.info(
        "There is no trained network to look at. Train one in a terminal, then open this page again: "
        "`python -m invmask train badnets`",
        icon=":material/model_training:",
    )


def card_measures(card: VictimCard) -> None:
    """ACC, ASR and RA of a victim as its card has them, large, each with its n."""
    # The target class is left out of ASR and RA; classes are equally large in every full test set we know.
    others = card.n_test - card.n_test // len(card.dataset_info.classes)
    target = target_title(card)
    columns = st.columns(3)
    values = {"acc": card.acc, "asr": card.asr, "ra": card.ra}
    nothing = "no trigger to measure it with"
    below = {
        "acc": f"of the full test set, n\u00a0=\u00a0{count(card.n_test)}",
        "asr": f"answered {target} with the trigger on, n\u00a0=\u00a0{count(others)}" if target else nothing,
        "ra": f"answered with their true class all the same, n\u00a0=\u00a0{count(others)}" if target else nothing,
    }
    for column, (measure, value) in zip(columns, values.items(), strict=True):
        with column, st.container(gap=None):
            st.metric(MEASURE_TITLES[measure], percent(value), help=MEASURE_HELP[measure])
            st.caption(below[measure])
