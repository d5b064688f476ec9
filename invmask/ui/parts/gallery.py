"""A gallery of tiny images that can be picked with mouse or keyboard. Tiles stay in place while answers change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from streamlit.components.v2 import component

from invmask.ui.parts.samples import KIND_WORDS, Kind, image_data_uri, percent


@dataclass(frozen=True)
class Tile:
    """One picture of the gallery.

    Attributes:
        place: the sample's index, which identifies the picture in the gallery and in the address.
        pixels: uint8 [H, W, C].
        title: the true class, shown above the picture.
        answer, probability, kind: the view's answer, its probability in [0, 1], and its relation to truth and target.
    """

    place: int
    pixels: np.ndarray
    title: str
    answer: str
    probability: float
    kind: Kind


def gallery(
    tiles: Sequence[Tile],
    picked: Sequence[int],
    current: int | None,
    colour: str,
    on_pick: Callable[[int], None],
    key: str,
    height: int,
    smallest: int = 100,
) -> None:
    """Draw the tiles in a scrolling field of fixed height.

    Args:
        picked: the picked places.
        current: the place shown in detail; None for none.
        colour: colour of the view whose answers are shown, #RRGGBB.
        on_pick: called with the place of a clicked picture.
        height: height of the field, in pixels.
        smallest: minimum width of a tile in pixels; tiles grow to fill the rows. At least 84, so that pictures are at
            least 64 pixels wide.
    """
    data: dict[str, Any] = {
        "smallest": max(smallest, 84),
        "current": current,
        "colour": colour,
        "picked": list(picked),
        "tiles": [
            {
                "place": tile.place,
                "image": image_data_uri(tile.pixels),
                "title": tile.title,
                "answer": tile.answer,
                "share": round(100 * tile.probability, 1),
                "percent": percent(tile.probability),
                "word": KIND_WORDS[tile.kind],
            }
            for tile in tiles
        ],
    }

    def clicked() -> None:
        place = st.session_state[key]["clicked"]
        if isinstance(place, int):
            on_pick(place)

    _GALLERY(key=key, data=data, height=height, on_clicked_change=clicked)


_CSS = """
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(var(--smallest),1fr));gap:.5rem;
 padding:3px;align-content:start}
button{all:unset;box-sizing:border-box;cursor:pointer;padding:.4rem .35rem .45rem;border-radius:6px;min-width:0;
 border:1px solid color-mix(in srgb,currentColor 16%,transparent);color:var(--st-text-color);
 font-family:var(--st-font);font-size:.85rem;line-height:1.3}
button:hover{border-color:color-mix(in srgb,currentColor 45%,transparent)}
button:focus-visible{outline:2px solid var(--st-primary-color);outline-offset:1px}
button[aria-pressed=true]{border-color:currentColor;box-shadow:inset 0 0 0 1px currentColor}
button.current{background:var(--st-secondary-background-color)}
img{display:block;width:100%;aspect-ratio:1;image-rendering:pixelated;border-radius:3px;margin:.15rem 0 .3rem;
 outline:1px solid color-mix(in srgb,currentColor 30%,transparent);outline-offset:-1px}
div{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.title,.word{opacity:.75;font-size:.8rem}
.answer{font-weight:600;font-size:.82rem;border-left:3px solid var(--colour);padding-left:.3rem}
.share{font-variant-numeric:tabular-nums}
.bar{height:4px;border-radius:2px;margin:.1rem 0;background:color-mix(in srgb,currentColor 14%,transparent)}
.bar i{display:block;height:100%;border-radius:2px;background:var(--colour)}
"""

_JS = """
const part = (tag, name, parent) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  parent.append(node);
  return node;
};

function build() {
  const tile = document.createElement('button');
  tile.type = 'button';
  for (const name of ['title', 'img', 'answer', 'bar', 'share', 'word'])
    tile[name === 'title' ? 'titleLine' : name] = name === 'img' ? part('img', '', tile) : part('div', name, tile);
  tile.fill = part('i', '', tile.bar);
  return tile;
}

export default function ({ parentElement, data, setTriggerValue }) {
  const grid = parentElement.querySelector('.grid');
  grid.style.setProperty('--smallest', data.smallest + 'px');
  grid.style.setProperty('--colour', data.colour);
  const known = new Map([...grid.children].map((tile) => [tile.place, tile]));
  const tiles = data.tiles.map((wanted) => {
    const tile = known.get(wanted.place) ?? build();
    tile.place = wanted.place;
    if (tile.img.src !== wanted.image) tile.img.src = wanted.image;
    tile.img.alt = wanted.title;
    tile.titleLine.textContent = wanted.title;
    tile.answer.textContent = wanted.answer;
    tile.fill.style.width = wanted.share + '%';
    tile.share.textContent = wanted.percent;
    tile.word.textContent = wanted.word;
    tile.setAttribute('aria-pressed', String(data.picked.includes(wanted.place)));
    tile.classList.toggle('current', data.current === wanted.place);
    tile.setAttribute('aria-label', `${wanted.title}, answered ${wanted.answer}, ${wanted.percent}, ${wanted.word}`);
    tile.onclick = () => setTriggerValue('clicked', wanted.place);
    return tile;
  });
  // Moving a tile would take the keyboard's focus from it: leave those alone that are in place.
  if (tiles.length !== grid.children.length || tiles.some((tile, index) => grid.children[index] !== tile))
    grid.replaceChildren(...tiles);
}
"""

_GALLERY = component("invmask_gallery", html='<div class="grid"></div>', css=_CSS, js=_JS)
