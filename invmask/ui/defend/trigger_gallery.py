"""Synthesized triggers as small multiples: clean image, perturbation, sum, and the views' answers."""

import html
from collections.abc import Sequence

import numpy as np
import streamlit as st

from invmask.figures.palette import VIEW_TITLES
from invmask.ui.defend.drawings import Gallery
from invmask.ui.parts.samples import image_data_uri, percent
from invmask.ui.shell.theme import view_word_hex

GALLERY_HELP = (
    "The inner problem looks for a small change to a clean image that flips the original's answer and that the "
    "inverse view falls for as well. Where there is a backdoor, such changes tend to imitate it: a trigger found "
    "without having seen one. Nothing changes where the middle picture is mid grey."
)
SIDE = 64


def show_gallery(gallery: Gallery, classes: Sequence[str]) -> None:
    """Draw the examples. They take the same space whether or not the round made perturbations."""
    cells = "".join(_example(gallery, place, classes) for place in range(len(gallery.true_labels)))
    # Above the cards, because they are empty in the first phase, and this says why.
    st.caption(gallery_words(gallery))
    st.html(f'{_STYLE}<div class="dv-gallery">{cells}</div>')


def gallery_words(gallery: Gallery) -> str:
    """How to read the pictures."""
    if gallery.probabilities is None:
        return "No perturbations in this round: they begin with a later stage."
    largest = 255 * float(gallery.tiles.largest.max())
    return (
        f"Each: clean image, perturbation amplified ×{gallery.tiles.factor}, their sum; then what each view answers to "
        f"the sum. The largest change of any pixel is {largest:.1f} of 255."
    )


def _example(gallery: Gallery, place: int, classes: Sequence[str]) -> str:
    tiles, title = gallery.tiles, classes[int(gallery.true_labels[place])]
    made = gallery.probabilities is not None
    pictures = (
        _picture(tiles.clean[place], f"{title}, clean"),
        _picture(tiles.perturbation[place], f"{title}, perturbation", empty=not made),
        _picture(tiles.perturbed[place], f"{title}, perturbed", empty=not made),
    )
    return (
        f'<figure class="dv-example"><figcaption>{html.escape(title)}</figcaption>'
        f'<div class="dv-tiles">{"".join(pictures)}</div>{_answers(gallery, place, classes)}</figure>'
    )


def _picture(pixels: np.ndarray, label: str, empty: bool = False) -> str:
    if empty:
        return '<div class="dv-empty"></div>'
    return f'<img src="{image_data_uri(np.ascontiguousarray(pixels))}" alt="{html.escape(label)}">'


def _answers(gallery: Gallery, place: int, classes: Sequence[str]) -> str:
    lines, probabilities = [], gallery.probabilities
    for number, view in enumerate(gallery.views):
        answer, share = "–", ""
        if probabilities is not None:
            said = int(probabilities[number, place].argmax())
            answer, share = classes[said], percent(float(probabilities[number, place, said]), 0)
        lines.append(
            f'<div class="dv-said"><span style="color:{view_word_hex(view)}">{VIEW_TITLES[view]}</span>'
            f"<b>{html.escape(answer)}</b><span>{share}</span></div>"
        )
    return "".join(lines)


_STYLE = f"""<style>
.dv-gallery{{display:grid;gap:.5rem;grid-template-columns:repeat(auto-fill,minmax({3 * SIDE + 22}px,1fr))}}
.dv-example{{container-type:inline-size;margin:0;padding:.35rem 6px .4rem;border-radius:.4rem;
 border:1px solid color-mix(in srgb,currentColor 16%,transparent)}}
.dv-example figcaption{{font-size:.92rem;font-weight:600;margin-bottom:.25rem;color:inherit}}
.dv-tiles{{display:flex;gap:4px;margin-bottom:.3rem}}
.dv-tiles img,.dv-empty{{width:{SIDE}px;height:{SIDE}px;border-radius:2px;flex:none}}
@container (min-width:{4.5 * SIDE + 8:.0f}px){{
 .dv-tiles img,.dv-empty{{width:{1.5 * SIDE:.0f}px;height:{1.5 * SIDE:.0f}px}}}}
.dv-tiles img{{display:block;image-rendering:pixelated;
 outline:1px solid color-mix(in srgb,currentColor 30%,transparent);outline-offset:-1px}}
.dv-empty{{background:color-mix(in srgb,currentColor 8%,transparent)}}
.dv-said{{display:grid;grid-template-columns:4.3rem 1fr auto;font-size:.88rem;line-height:1.4;
 font-variant-numeric:tabular-nums;white-space:nowrap}}
.dv-said b{{font-weight:600;overflow:hidden;text-overflow:ellipsis}}
</style>"""
