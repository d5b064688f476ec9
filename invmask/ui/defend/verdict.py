"""The verdict of the search, on a scale of the probability of a backdoor."""

import html
from collections.abc import Sequence

import streamlit as st

from invmask.defenses.verdict import (
    LIKELY,
    NO_SIGN,
    UNDECIDED,
    Verdict,
    percent,
    regression,
    reliability,
    verdict_words,
)
from invmask.figures.palette import GROUND, TEXT
from invmask.ui.shell.theme import current_theme

TITLE = "The verdict"
ROOM = 0.15
"""Smallest share of the scale at which a zone has room for its word."""
_SHORT = {NO_SIGN: "no sign", UNDECIDED: "undecided", LIKELY: "likely"}


def show_verdict(verdict: Verdict, classes: Sequence[str]) -> None:
    """Draw the sentence, and the probability on a scale with the bounds of the three words."""
    known, theme = regression(), current_theme()
    about = f"From the lead that the search found, on clean images alone. {reliability(known)}"
    st.subheader(TITLE, anchor=False, help=about)
    words = html.escape(verdict_words(verdict, classes))
    widths = {NO_SIGN: known.no_sign, UNDECIDED: known.likely - known.no_sign, LIKELY: 1 - known.likely}
    zones = "".join(
        f'<div class="vd-zone{" vd-here" if word == verdict.word else ""}" style="flex-grow:{width:.4f}">'
        f"<span>{_SHORT[word] if width >= ROOM else '&nbsp;'}</span></div>"
        for word, width in widths.items()
        if width > 0
    )
    st.html(
        f'{_STYLE}<div class="vd" style="--ink:{TEXT[theme]};--ground:{GROUND[theme]}">'
        f'<div class="vd-words" role="status">{words}</div>'
        f'<div class="vd-scale" role="img" aria-label="Probability of a backdoor: {percent(verdict.probability)}">'
        f'{zones}<div class="vd-mark" style="left:{100 * verdict.probability:.1f}%"></div></div></div>'
    )


_STYLE = """<style>
.vd{max-width:46rem}
.vd-words{font-size:1.05rem;font-weight:650;line-height:1.35;margin-bottom:.6rem;font-variant-numeric:tabular-nums}
.vd-scale{position:relative;display:flex;gap:2px;margin:0 0 .2rem}
.vd-zone{flex-basis:0;min-width:0;font-size:.85rem;line-height:1.2;padding-top:14px;opacity:.75}
.vd-zone::before{content:"";display:block;height:9px;margin-bottom:.3rem;border-radius:2px;
 background:color-mix(in srgb,currentColor 18%,transparent)}
.vd-zone span{white-space:nowrap}
.vd-zone:nth-last-child(2){text-align:right}
.vd-here{opacity:1;font-weight:650}
.vd-here::before{background:color-mix(in srgb,currentColor 62%,transparent)}
.vd-mark{position:absolute;top:0;width:0;height:0;transform:translateX(-6px);border:6px solid transparent;
 border-top:9px solid var(--ink);border-bottom:0}
</style>"""
