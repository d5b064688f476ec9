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


def show_gallery(gallery: Gallery, classes: Sequence[str], answered: bool = True) -> None:
    """Draw the examples. They take the same space whether or not the round made perturbations.

    Args:
        answered: whether the views' answers are shown.
    """
    cells = "".join(_example(gallery, place, classes, answered) for place in range(len(gallery.true_labels)))
    st.html(f'{_STYLE}<div class="dv-gallery">{cells}</div>')


def gallery_words(gallery: Gallery) -> str:
    """How to read the pictures."""
    if gallery.probabilities is None:
        return "No perturbations in this round: they begin with a later stage."
    largest = 255 * float(gallery.tiles.largest.max())
    return (
        f"Clean image, perturbation amplified ×{gallery.tiles.factor}, their sum; then each view's answer to the sum. "
        f"Largest change of a pixel: {largest:.1f} of 255."
    )


def _example(gallery: Gallery, place: int, classes: Sequence[str], answered: bool) -> str:
    tiles, title = gallery.tiles, classes[int(gallery.true_labels[place])]
    made = gallery.probabilities is not None
    pictures = (
        _picture(tiles.clean[place], f"{title}, clean"),
        _picture(tiles.perturbation[place], f"{title}, perturbation", empty=not made),
        _picture(tiles.perturbed[place], f"{title}, perturbed", empty=not made),
    )
    return (
        f'<figure class="dv-example"><div class="dv-tiles">{"".join(pictures)}</div>'
        f"<figcaption>{html.escape(title)}</figcaption>"
        f'<div class="dv-answers">{_answers(gallery, place, classes, answered)}</div></figure>'
    )


def _picture(pixels: np.ndarray, label: str, empty: bool = False) -> str:
    if empty:
        return '<div class="dv-empty"></div>'
    return f'<img src="{image_data_uri(np.ascontiguousarray(pixels))}" alt="{html.escape(label)}">'


def _answers(gallery: Gallery, place: int, classes: Sequence[str], answered: bool) -> str:
    lines, probabilities = [], gallery.probabilities if answered else None
    for number, view in enumerate(gallery.views):
        answer, share = "–", ""
        if probabilities is not None:
            said = int(probabilities[number, place].argmax())
            answer, share = classes[said], percent(float(probabilities[number, place, said]), 0)
        lines.append(
            f'<div class="dv-said" title="{html.escape(answer)}">'
            f'<span style="color:{view_word_hex(view)}">{VIEW_TITLES[view]}</span>'
            f"<b>{html.escape(answer)}</b><span>{share}</span></div>"
        )
    return "".join(lines)


_STYLE = f"""<style>
.dv-gallery{{display:grid;gap:.35rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,22rem),1fr))}}
.dv-example{{container-type:inline-size;margin:0;padding:.3rem .35rem;border-radius:.4rem;
 overflow:hidden;border:1px solid color-mix(in srgb,currentColor 16%,transparent)}}
.dv-example figcaption{{font-size:.88rem;font-weight:600;line-height:1.35;color:inherit;text-align:left;margin:0}}
.dv-tiles{{display:flex;gap:4px}}
.dv-tiles img,.dv-empty{{width:{SIDE}px;height:{SIDE}px;border-radius:2px;flex:none}}
.dv-tiles img{{display:block;image-rendering:pixelated;
 outline:1px solid color-mix(in srgb,currentColor 30%,transparent);outline-offset:-1px}}
.dv-empty{{background:color-mix(in srgb,currentColor 8%,transparent)}}
.dv-said{{display:grid;grid-template-columns:3.9rem minmax(0,1fr) auto;column-gap:.25rem;font-size:.85rem;
 line-height:1.35;font-variant-numeric:tabular-nums;white-space:nowrap}}
.dv-said b{{font-weight:600;overflow:hidden;text-overflow:ellipsis}}
.dv-tiles{{float:left;margin:.05rem .5rem .25rem 0}}
.dv-answers{{clear:left}}
@container (max-width:25rem){{.dv-said{{grid-template-columns:3.3rem minmax(0,1fr) auto;font-size:.8rem;
 column-gap:.2rem}}}}
@container (min-width:20rem){{.dv-answers{{clear:none}}.dv-tiles{{margin-block:.35rem 0}}}}
</style>"""
