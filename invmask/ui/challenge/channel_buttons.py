"""All channels of a network as small buttons, a row of them for each layer: a click cuts a channel or restores it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st
from streamlit.components.v2 import component

from invmask.figures.channels import Layer, short_names


def channel_buttons(
    layers: Sequence[Layer],
    names: Sequence[str],
    cut: Sequence[int],
    shade: np.ndarray | None,
    full: bool,
    on_click: Callable[[int], None],
    key: str,
) -> None:
    """Draw the buttons.

    Args:
        names: the channels' names.
        cut: the channels that are cut.
        shade: float [channels] in [0, 1], darker for more; None for no shading.
        full: whether no further channel may be cut.
    """
    rows = [
        {"name": name, "first": layer.offset, "channels": layer.channels}
        for layer, name in zip(layers, short_names(layers), strict=True)
    ]
    data: dict[str, Any] = {
        "rows": rows,
        "names": list(names),
        "cut": list(cut),
        "shade": None if shade is None else [round(float(value), 2) for value in shade],
        "full": full,
    }

    def clicked() -> None:
        channel = st.session_state[key]["clicked"]
        if isinstance(channel, int) and 0 <= channel < len(names):
            on_click(channel)

    _BUTTONS(key=key, data=data, on_clicked_change=clicked)


_CSS = """
.row{display:grid;grid-template-columns:9rem 1fr;gap:.6rem;margin-bottom:.35rem;align-items:start;
 color:var(--st-text-color);font-family:var(--st-font);font-size:.8rem}
.row>div:first-child{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.cells{display:flex;flex-wrap:wrap;gap:2px}
button{all:unset;box-sizing:border-box;width:17px;height:17px;cursor:pointer;text-align:center;font-size:13px;
 line-height:15px;font-weight:700;border:1px solid color-mix(in srgb,currentColor 45%,transparent);border-radius:2px;
 background:color-mix(in srgb,var(--st-text-color) calc(var(--shade)*62%),transparent)}
button:hover{border-color:currentColor}
button:focus-visible{outline:3px solid var(--st-primary-color);outline-offset:1px}
button[aria-pressed=true]{background:#2563EB;color:#fff;border-color:#2563EB}
@media (max-width:640px){.row{grid-template-columns:1fr;gap:.1rem}button{width:24px;height:24px;line-height:22px}}
"""

_JS = """
export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector('.net');
  const signature = JSON.stringify([data.rows, data.names.length]);
  if (root.dataset.drawn !== signature) {
    root.dataset.drawn = signature;
    root.replaceChildren(...data.rows.map((row) => {
      const line = document.createElement('div'), name = document.createElement('div');
      const cells = document.createElement('div');
      line.className = 'row';
      name.textContent = name.title = row.name;
      cells.className = 'cells';
      cells.setAttribute('role', 'group');
      cells.setAttribute('aria-label', row.name);
      for (let channel = row.first; channel < row.first + row.channels; channel++) {
        const cell = document.createElement('button');
        cell.type = 'button';
        cell.dataset.channel = channel;
        // One stop for the Tab key in each layer; the arrow keys go on from there.
        cell.tabIndex = channel === row.first ? 0 : -1;
        cells.append(cell);
      }
      line.append(name, cells);
      return line;
    }));
    root.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step || !event.target.dataset.channel) return;
      event.preventDefault();
      event.stopPropagation();
      const next = root.querySelector(`[data-channel="${Number(event.target.dataset.channel) + step}"]`);
      if (next) {
        event.target.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
    };
  }
  const cut = new Set(data.cut);
  for (const cell of root.querySelectorAll('button')) {
    const channel = Number(cell.dataset.channel), pressed = cut.has(channel);
    const share = data.shade ? data.shade[channel] : 0;
    cell.style.setProperty('--shade', share);
    cell.setAttribute('aria-pressed', String(pressed));
    cell.textContent = pressed ? '×' : '';
    const words = data.names[channel] + (data.shade ? `, ${Math.round(100 * share)} % of the largest` : '');
    cell.title = words;
    cell.setAttribute('aria-label', words + (pressed ? ', cut' : ''));
    cell.onclick = () => { if (pressed || !data.full) setTriggerValue('clicked', channel); };
  }
}
"""

_BUTTONS = component("invmask_channel_buttons", html='<div class="net"></div>', css=_CSS, js=_JS)
