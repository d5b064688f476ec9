"""How well the perturbations of one round work, in one line."""

import streamlit as st

from invmask.defenses.base import Synthesis
from invmask.ui.parts.samples import percent
from invmask.ui.shell.theme import view_hex

INNER_HELP = (
    "The perturbations should do three things, which these shares count. They **flip** what the original answers. The "
    "**inverse follows**: it gives the flipped answer too, so the backdoor is in what it keeps. The **pruned view "
    "restores**: it answers as the original did before. If most flips go to one label, that label is the likely "
    "target. This says nothing after a search: the perturbations are then made to lead to a label that the search "
    "found, right or wrong."
)


def show_shares(inner: Synthesis | None) -> None:
    """Draw the three shares, each with the images that it is a share of."""
    flipped = round(inner.flipped * inner.samples) if inner else 0
    of_images = f"of {inner.samples:,} clean images flipped" if inner else "of the clean images flipped"
    of_flipped = f"of those {flipped:,}" if inner else "of those"
    cells = (
        _cell("original", percent(inner.flipped if inner else None), of_images),
        _cell(
            "inverse", percent(inner.inverse_agrees if inner and flipped else None), f"{of_flipped}: inverse follows"
        ),
        _cell(
            "pruned", percent(inner.pruned_restores if inner and flipped else None), f"{of_flipped}: pruned restores"
        ),
    )
    st.html(f'{_STYLE}<div class="dv-shares">{"".join(cells)}</div>')


def _cell(view: str, share: str, words: str) -> str:
    return f'<div style="--view:{view_hex(view)}"><b>{share}</b> {words}</div>'


_STYLE = """<style>
.dv-shares{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:.75rem;font-variant-numeric:tabular-nums}
.dv-shares>div{border-left:4px solid var(--view);padding-left:.6rem;font-size:.92rem;line-height:1.3}
.dv-shares b{display:block;font-size:1.4rem;font-weight:650;color:var(--view)}
</style>"""
