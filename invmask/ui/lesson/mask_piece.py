"""A mask by hand: drag mask and selection of real channels, and see both gates, the feature map and the answers."""

from typing import Any

import numpy as np
import streamlit as st
from streamlit.components.v2 import component

from invmask.figures.palette import NEUTRAL, VIEW_TITLES
from invmask.ui.lesson.mask_data import GROUPS, STEPS, Gated, tables
from invmask.ui.parts.samples import image_data_uri
from invmask.ui.shell.theme import current_theme, view_hex, view_word_hex

WORDS = (
    "Channels have a **mask** a and a **selection** s, from 0 to 1. The *pruned* view multiplies the channel by m, the "
    "*inverse* view by m̄. Drag both, and see what that does to a real channel and to the network's answers."
)
FORMULA = r"q(a)=\sigma(20\,(a-\tfrac12)),\quad m=q(a)+s\,(1-q(a)),\quad \bar m=q(1-a)+s\,(1-q(1-a))"


def show(found: Gated) -> None:
    """Draw the piece. Everything is computed beforehand, so that dragging needs no server."""
    st.write(WORDS)
    _PIECE(key="lesson-mask", data=_data(found))
    n_clean, n_triggered = found.n
    triggered = f" and {n_triggered:,} triggered" if found.asr is not None else ""
    st.caption(
        f"Measured on {n_clean:,} clean{triggered} test images at five strengths of the gate, and drawn in between. "
        "All other channels pass."
    )
    with st.expander("The formula"):
        st.latex(FORMULA)
        st.write("σ is the logistic function. q(1 − a) = 1 − q(a), so m + m̄ = 1 + s.")


def _data(found: Gated) -> dict[str, Any]:
    pruned, inverse = (table.round(4).tolist() for table in tables())
    triggered = found.target is not None
    views = [
        {"name": name, "title": VIEW_TITLES[name], "colour": view_hex(name), "word": view_word_hex(name)}
        for name in ("pruned", "inverse")
    ]
    return {
        "steps": STEPS,
        "tables": [pruned, inverse],
        "views": views,
        "groups": [_group_words(number, found.names) for number in GROUPS],
        "picture": image_data_uri(found.picture),
        "pictureTitle": f"{'With the trigger' if triggered else 'Clean'}, true class: {found.classes[found.true]}",
        "map": (found.feature_map / max(float(np.abs(found.feature_map).max()), 1e-9)).round(3).tolist(),
        "first": found.names[0],
        "target": found.classes[found.target] if found.target is not None else None,
        "true": found.classes[found.true],
        "asr": None if found.asr is None else found.asr.round(4).tolist(),
        "acc": found.acc.round(4).tolist(),
        "said": found.said.round(4).tolist(),
        "neutral": NEUTRAL[current_theme()],
    }


def _group_words(number: int, names: tuple[str, ...]) -> str:
    return f"{names[0]} alone" if number == 1 else f"the first {number} channels by score"


_HTML = """
<div class="piece">
<fieldset class="groups"><legend>This mask is given to</legend></fieldset>
<div class="drag">
<label><span>mask a</span><input type="range" class="a" min="0" step="1" disabled><output class="av"></output></label>
<label><span>selection s</span>
<input type="range" class="s" min="0" step="1" disabled><output class="sv"></output></label>
</div>
<p class="sum" role="status"></p>
<div class="row">
<figure class="picture"><figcaption></figcaption><img alt=""></figure>
</div>
</div>
"""

_CSS = """
.piece{font-family:var(--st-font);color:var(--st-text-color);font-size:1rem;max-width:880px}
fieldset{border:0;padding:0;margin:0 0 .6rem;display:flex;flex-wrap:wrap;gap:.3rem 1.1rem}
legend{padding:0;font-size:.92rem;margin-bottom:.2rem}
fieldset label{display:flex;gap:.4rem;align-items:center;cursor:pointer}
.drag{display:grid;grid-template-columns:1fr 1fr;gap:.4rem 2rem}
.drag label{display:grid;grid-template-columns:6rem 1fr 3rem;align-items:center;gap:.5rem}
input{accent-color:var(--st-primary-color);width:100%;min-width:0;margin:0}
fieldset input{width:auto}
input:focus-visible{outline:2px solid var(--st-primary-color);outline-offset:3px}
output{font-variant-numeric:tabular-nums;font-weight:650}
.sum{margin:.7rem 0;font-variant-numeric:tabular-nums}
.row{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1.25fr) minmax(0,1.25fr);gap:.75rem}
figure{margin:0;padding:.6rem .8rem .8rem;border-radius:6px;
 border:1px solid color-mix(in srgb,currentColor 18%,transparent)}
figure.view{border-top:4px solid var(--view)}
figcaption{font-weight:650;margin-bottom:.4rem;min-height:1.3rem}
figure.view figcaption{color:var(--word);font-size:1.05rem}
img,canvas{display:block;width:100%;max-width:190px;aspect-ratio:1;image-rendering:pixelated;border-radius:3px;
 outline:1px solid color-mix(in srgb,currentColor 25%,transparent);outline-offset:-1px}
dl{display:grid;grid-template-columns:minmax(0,1fr) auto;margin:.6rem 0 0;gap:.15rem .6rem;
 font-variant-numeric:tabular-nums}
dt{opacity:.8;font-size:.92rem;overflow:hidden;text-overflow:ellipsis}
dd{margin:0;text-align:right;font-weight:650}
.track{grid-column:1/3;height:9px;border-radius:4px;background:color-mix(in srgb,currentColor 14%,transparent)}
.track i{display:block;height:100%;border-radius:4px;background:var(--view)}
@media (max-width:640px){.drag{grid-template-columns:1fr}.row{grid-template-columns:1fr 1fr}
 .picture{grid-column:1/3;display:flex;gap:.8rem;align-items:flex-start}.picture img{width:96px}}
"""

_JS = """
const part = (tag, name, parent) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  parent.append(node);
  return node;
};
const percent = (share) => (100 * share).toFixed(1) + ' %';

// Measured at few strengths of the gate: a straight line in between.
function between(values, gate) {
  const at = Math.min(Math.max(gate, 0), 1) * (values.length - 1), low = Math.min(Math.floor(at), values.length - 2);
  return values[low] + (at - low) * (values[low + 1] - values[low]);
}

function card(view, row) {
  const figure = part('figure', 'view', row);
  figure.style.setProperty('--view', view.colour);
  figure.style.setProperty('--word', view.word);
  figure.caption = part('figcaption', '', figure);
  figure.canvas = part('canvas', '', figure);
  figure.canvas.setAttribute('role', 'img');
  figure.list = part('dl', '', figure);
  return figure;
}

function line(list, title, value, bar) {
  part('dt', '', list).textContent = title;
  part('dd', '', list).textContent = value;
  if (bar !== undefined) part('i', '', part('dd', 'track', list)).style.width = 100 * bar + '%';
}

function paint(canvas, map, gate) {
  const rows = map.length, columns = map[0].length;
  canvas.width = columns;
  canvas.height = rows;
  const pen = canvas.getContext('2d');
  map.forEach((row, y) => row.forEach((value, x) => {
    // Teal is positive, magenta negative, as on Neurons; the gate makes both fainter.
    pen.fillStyle = `rgba(${value > 0 ? '15,118,110' : '190,24,93'},${Math.min(1, Math.abs(value) * gate)})`;
    pen.fillRect(x, y, 1, 1);
  }));
}

export default function ({ parentElement, data }) {
  const find = (name) => parentElement.querySelector(name);
  const a = find('.a'), s = find('.s'), row = find('.row'), groups = find('fieldset');
  if (!row.cards) {
    for (const slider of [a, s]) {
      slider.max = data.steps - 1;
      slider.value = data.steps - 1;
      slider.disabled = false;
    }
    row.cards = data.views.map((view) => card(view, row));
  }
  if (groups.dataset.of !== data.groups.join()) {
    groups.querySelectorAll('label').forEach((label) => label.remove());
    data.groups.forEach((words, place) => {
      const label = part('label', '', groups), choice = part('input', '', label);
      choice.type = 'radio';
      choice.name = 'group';
      choice.value = place;
      choice.checked = place === 0;
      part('span', '', label).textContent = words;
    });
    groups.dataset.of = data.groups.join();
  }
  find('.picture img').src = data.picture;
  find('.picture img').alt = data.pictureTitle;
  find('.picture figcaption').textContent = data.pictureTitle;

  function draw() {
    const mask = Number(a.value), selection = Number(s.value);
    const group = Number(groups.querySelector('input:checked').value);
    const number = (place) => (place / (data.steps - 1)).toFixed(2);
    find('.av').textContent = number(mask);
    find('.sv').textContent = number(selection);
    a.setAttribute('aria-valuetext', number(mask));
    s.setAttribute('aria-valuetext', number(selection));
    const gates = data.tables.map((table) => table[mask][selection]);
    find('.sum').textContent =
      `m + m\\u0304 = ${gates[0].toFixed(2)} + ${gates[1].toFixed(2)} = ${(gates[0] + gates[1]).toFixed(2)} = 1 + s`;
    row.cards.forEach((figure, place) => {
      const view = data.views[place], gate = gates[place];
      figure.style.setProperty('--view', view.colour);
      figure.style.setProperty('--word', view.word);
      figure.caption.textContent = `${view.title}: ${place ? 'm\\u0304' : 'm'} = ${gate.toFixed(2)}`;
      paint(figure.canvas, data.map, gate);
      figure.canvas.setAttribute('aria-label',
        `Feature map of ${data.first}, multiplied by ${gate.toFixed(2)}`);
      figure.list.replaceChildren();
      if (data.asr) {
        const asr = between(data.asr[group], gate);
        line(figure.list, 'ASR', percent(asr), asr);
      }
      const acc = between(data.acc[group], gate);
      line(figure.list, 'ACC', percent(acc), acc);
      const said = data.said[group].map((of) => of[0]), true_ = data.said[group].map((of) => of[1]);
      if (data.target) line(figure.list, `this picture: ${data.target}`, percent(between(said, gate)));
      line(figure.list, `this picture: ${data.true}`, percent(between(true_, gate)));
    });
  }
  a.oninput = s.oninput = groups.onchange = draw;
  draw();
}
"""

_PIECE = component("invmask_mask_piece", html=_HTML, css=_CSS, js=_JS)
