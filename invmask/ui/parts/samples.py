"""Tiny images with sharp pixels, and a network's answers under each. Legible in both themes.

Colours are derived from the page's text colour, so a switch of theme does not require a rerun of the page.
"""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import streamlit as st
from PIL import Image

Kind = Literal["true", "target", "other"]
KIND_WORDS: dict[Kind, str] = {"true": "true class", "target": "target label", "other": "another class"}
SMALLEST_SIDE = 64


@dataclass(frozen=True)
class Answer:
    """A network's answer to a picture.

    Attributes:
        title: the class name, or any other short word.
        probability: probability in [0, 1]; None if there is none.
        kind: how the answer relates to the truth and the target, in words below it; None for no words.
        view: original, pruned, inverse or repaired; its colour marks the line.
    """

    title: str
    probability: float | None = None
    kind: Kind | None = None
    view: str | None = None


@dataclass(frozen=True)
class Picture:
    """One picture with a short caption above it and answers under it.

    Attributes:
        pixels: uint8 [H, W, 3] or [H, W, 1].
    """

    pixels: np.ndarray
    caption: str = ""
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True)
class Sample:
    """Pictures that belong together, side by side, under one title ("true class: cat")."""

    title: str
    pictures: tuple[Picture, ...]
    note: str = ""


def image_data_uri(pixels: np.ndarray) -> str:
    """A lossless PNG of `pixels` (uint8 [H, W, C], C = 1 or 3) as a `data:` address."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def to_pixels(images: np.ndarray) -> np.ndarray:
    """Convert images float [N, C, H, W] in [0, 1] to uint8 [N, H, W, C]; other values are clipped."""
    return np.ascontiguousarray((np.clip(images, 0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1))


def amplified(differences: np.ndarray, signed: bool = True) -> tuple[np.ndarray, float]:
    """Make differences visible, scaled so that the largest change spans the range.

    Args:
        differences: float [N, C, H, W], in the units of [0, 1].
        signed: if true, no change is mid grey, and lighter or darker shows the sign; otherwise no change is black, and
            brightness shows the size of the change.

    Returns:
        uint8 [N, H, W, C], and the factor by which differences were multiplied (1 if nothing differs).
    """
    largest = float(np.abs(differences).max()) if differences.size else 0.0
    factor = (0.5 if signed else 1.0) / largest if largest > 0 else 1.0
    return to_pixels(0.5 + differences * factor if signed else np.abs(differences) * factor), factor


def percent(share: float | None, digits: int = 1) -> str:
    """A share in [0, 1] in per cent: `95.3 %`; a dash for None."""
    return "–" if share is None or share != share else f"{100 * share:.{digits}f} %"


def sample_grid(samples: Sequence[Sample], side: int = 96, empty: str = "Nothing to show.") -> None:
    """Draw samples as a grid that wraps with the width of the page.

    Args:
        side: side of a picture on screen, in pixels; at least 64.
        empty: the sentence shown if there are no samples: what to do next.
    """
    if not samples:
        st.info(empty)
        return
    cells = "".join(_sample(sample) for sample in samples)
    width = max(len(sample.pictures) for sample in samples)
    st.html(f'{_STYLE}<div class="im-grid" style="--side:{max(side, SMALLEST_SIDE)}px;--across:{width}">{cells}</div>')


def sample_in_detail(sample: Sample, view_titles: dict[str, str], side: int = 128) -> None:
    """Draw one sample large: its first picture on the left, and beside it a row for each view's answer."""
    picture = sample.pictures[0]
    rows = "".join(
        f'<div class="im-row3 im-{answer.view}">'
        f'<span class="im-word">{html.escape(view_titles.get(answer.view or "", ""))}</span>'
        f"<span><b>{html.escape(answer.title)}</b></span><span>{percent(answer.probability)}</span>"
        f'<span class="im-word">{KIND_WORDS[answer.kind] if answer.kind else ""}</span></div>'
        for answer in picture.answers
    )
    st.html(
        f'{_STYLE}<figure class="im-detail" style="--side:{side}px"><div class="im-picture">'
        f'<img src="{image_data_uri(picture.pixels)}" alt="{html.escape(sample.title, quote=True)}"></div>'
        f"<div><figcaption>{html.escape(sample.title)}</figcaption>{rows}</div></figure>"
    )


def _sample(sample: Sample) -> str:
    pictures = "".join(_picture(picture, sample.title) for picture in sample.pictures)
    note = f'<div class="im-note">{html.escape(sample.note)}</div>' if sample.note else ""
    return (
        f'<figure class="im-sample"><figcaption>{html.escape(sample.title)}</figcaption>'
        f'<div class="im-row">{pictures}</div>{note}</figure>'
    )


def _picture(picture: Picture, title: str) -> str:
    caption = f'<div class="im-caption">{html.escape(picture.caption)}</div>' if picture.caption else ""
    label = html.escape(f"{title}, {picture.caption}".strip(", "), quote=True)
    answers = "".join(_answer(answer) for answer in picture.answers)
    return f'<div class="im-picture">{caption}<img src="{image_data_uri(picture.pixels)}" alt="{label}">{answers}</div>'


def _answer(answer: Answer) -> str:
    view = f" im-{answer.view}" if answer.view else ""
    word = f'<span class="im-word">{KIND_WORDS[answer.kind]}</span>' if answer.kind else ""
    share = ""
    if answer.probability is not None:
        share = (
            f'<div class="im-share"><div class="im-bar"><div style="width:{100 * answer.probability:.1f}%"></div></div>'
            f"<b>{percent(answer.probability)}</b></div>"
        )
    return f'<div class="im-answer{view}"><div class="im-name">{html.escape(answer.title)}</div>{share}{word}</div>'


_STYLE = """<style>
.im-grid{display:grid;gap:.6rem;
 --cell:calc(var(--side)*var(--across) + .35rem*(var(--across) - 1) + .9rem + 2px);
 grid-template-columns:repeat(auto-fit,minmax(var(--cell),1fr))}
.im-sample{margin:0;padding:.45rem .45rem .55rem;border-radius:.5rem;
 border:1px solid color-mix(in srgb,currentColor 16%,transparent)}
.im-sample figcaption{font-size:.95rem;font-weight:600;margin-bottom:.35rem;color:inherit;
 white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.im-row{display:flex;gap:.35rem;align-items:flex-start}
.im-picture{flex:1;min-width:var(--side)}
.im-detail .im-picture{flex:none;width:var(--side)}
.im-picture img{display:block;width:100%;aspect-ratio:1;image-rendering:pixelated;border-radius:3px;
 outline:1px solid color-mix(in srgb,currentColor 30%,transparent);outline-offset:-1px}
.im-caption,.im-word,.im-note{font-size:.82rem;line-height:1.25;opacity:.75;white-space:nowrap;
 overflow:hidden;text-overflow:ellipsis}
.im-caption{margin-bottom:.2rem}
.im-note{margin-top:.3rem}
.im-answer{margin-top:.35rem;line-height:1.25}
.im-name{font-size:.95rem;font-weight:600;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.im-share{display:flex;align-items:center;gap:.35rem;font-size:.85rem}
.im-share b{font-variant-numeric:tabular-nums;font-weight:400;white-space:nowrap}
.im-bar{flex:1;height:5px;border-radius:2px;background:color-mix(in srgb,currentColor 14%,transparent)}
.im-bar div{height:100%;border-radius:2px;background:color-mix(in srgb,currentColor 60%,transparent)}
.im-detail{display:flex;flex-wrap:wrap;gap:.5rem .9rem;margin:0;align-items:flex-start;
 min-height:calc(var(--side) + 4px)}
.im-detail figcaption{font-weight:600;margin:0 0 .35rem;color:inherit;font-size:1rem}
.im-detail>div:last-child{flex:1 1 230px;min-width:0}
.im-row3{display:grid;grid-template-columns:4.2rem minmax(0,1fr) 4rem;column-gap:.4rem;align-items:baseline;
 font-size:.92rem;line-height:1.3;margin-bottom:.3rem;font-variant-numeric:tabular-nums}
.im-row3 span:nth-child(3){text-align:right}
.im-row3 .im-word:last-child{grid-column:2/4}
.im-original,.im-pruned,.im-inverse,.im-repaired{border-left:3px solid;padding-left:.35rem}
.im-original{border-color:#6B7280}.im-pruned{border-color:#2563EB}.im-inverse{border-color:#EA580C}.im-repaired{border-color:#0F766E}
</style>"""
