"""The save menu under every figure: PNG and SVG for paper, drawn by the reader's browser, and CSV.

Only the closed menu is sent with a figure. Its contents are sent when it is opened, so that pages that are redrawn
twice a second stay light.
"""

import re
from collections.abc import Callable

import plotly.graph_objects as go
import streamlit as st
from streamlit.components.v2 import component
from streamlit.delta_generator import DeltaGenerator

from invmask.exports.data import figure_csv
from invmask.figures.paper import COLUMN_MM, DRAWN_WIDTH, for_column, on_paper, scale_to_dpi
from invmask.figures.template import PLOTLY_CONFIG
from invmask.ui.parts.explained import explain

SAVE_STYLE = """
[class*="st-key-save-menu-"]{display:flex;align-items:flex-end;height:1.5rem}
[class*="st-key-save-menu-"] button{min-height:1.5rem;padding:0 .25rem;opacity:.65}
[class*="st-key-save-menu-"] button p{font-size:.8rem}
[class*="st-key-save-menu-"] button:hover,[class*="st-key-save-menu-"] button:focus-visible,
[class*="st-key-save-menu-"] button[aria-expanded=true]{opacity:1}
"""


def save_menu(figure: go.Figure, key: str, paper: Callable[[], go.Figure] | None = None) -> None:
    """Draw the menu for the chart with the key `key`, which shows `figure`.

    Args:
        paper: draws the figure in the theme `paper`; None to save `figure` in the colours of paper.
    """
    name = _name(key)
    is_open, menu = _menu(name)
    if is_open:
        with menu:
            _buttons(name, name, for_column(on_paper(figure) if paper is None else paper()), figure)


def save_pictures(key: str, paper: Callable[[], go.Figure]) -> None:
    """Draw the menu under pictures that are not a chart. When open, it shows the figure that it saves.

    Args:
        key: the figure's name, unique on the page.
        paper: draws the pictures as a figure in the theme `paper`; called only when the menu is open.
    """
    name = _name(key)
    is_open, menu = _menu(name)
    if is_open:
        with menu:
            figure, shown = paper(), f"save-shown-{name}"
            # The buttons come first, because a tall figure would push them out of sight.
            _buttons(name, shown, for_column(figure), figure)
            preview = go.Figure(figure).update_layout(width=DRAWN_WIDTH)
            st.plotly_chart(preview, key=shown, config=PLOTLY_CONFIG, theme=None, width="content")


def _name(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", key)


def _menu(name: str) -> tuple[bool, DeltaGenerator]:
    """Draw the menu, and the figure's explanation; returns whether it is open, and the container of its contents."""
    with st.container(key=f"save-menu-{name}", horizontal=True, horizontal_alignment="right"):
        explain(name)
        menu = st.popover(
            "Save figure",
            icon=":material/download:",
            type="tertiary",
            key=f"save-{name}",
            on_change="rerun",
            help="PNG and SVG for a column of a paper, on white; CSV with the numbers behind the figure.",
        )
    return bool(menu.open), menu


def _buttons(name: str, chart: str, printed: go.Figure, figure: go.Figure) -> None:
    """Buttons for PNG, SVG and CSV of the figure `name`; `chart` is the key of the chart on the page that draws it."""
    _BUTTONS(
        key=f"save-body-{name}",
        data={
            # As JSON text, so that Streamlit does not convert the parts of the object.
            "figure": printed.to_json(),
            "csv": figure_csv(figure),
            "chart": chart,
            "file": _file_name(name),
            "scale": scale_to_dpi(),
            "note": f"{COLUMN_MM:g} mm wide, PNG at 300 dpi",
        },
    )


def _file_name(name: str) -> str:
    run = st.query_params.get("run") or st.query_params.get("victim") or "invmask"
    return re.sub(r"[^A-Za-z0-9_-]", "-", run) + "-" + name


_CSS = """
div{display:flex;gap:.5rem}
button{all:unset;box-sizing:border-box;cursor:pointer;padding:.3rem .8rem;border-radius:6px;font-size:.9rem;
 border:1px solid color-mix(in srgb,currentColor 25%,transparent);color:var(--st-text-color);
 font-family:var(--st-font)}
button:hover{border-color:var(--st-primary-color);color:var(--st-primary-color)}
button:focus-visible{outline:2px solid var(--st-primary-color);outline-offset:1px}
p{margin:.5rem 0 0;font:.8rem var(--st-font);color:var(--st-text-color);opacity:.75}
"""

_JS = """
// Plotly has no handle outside Streamlit's bundle. Its own camera button copies data and layout of the chart before
// it returns: for the length of that call the chart has those of the printed figure.
function picture(data, format) {
  const chart = document.querySelector(`.st-key-${CSS.escape(data.chart)} .js-plotly-plot`);
  const camera = chart?._fullLayout?._modeBar?.buttons.flat().find((button) => button.name === 'toImage');
  if (!camera) return false;
  const figure = JSON.parse(data.figure);
  const { width, height } = figure.layout;
  const shown = { data: chart.data, layout: chart.layout, options: chart._context.toImageButtonOptions };
  const file = `${data.file}.${format}`;
  try {
    chart.data = figure.data;
    chart.layout = figure.layout;
    chart._context.toImageButtonOptions =
      { format, filename: data.file, width, height, scale: format === 'png' ? data.scale : 1 };
    stayOpenFor(file);
    camera.click(chart);
  } finally {
    chart.data = shown.data;
    chart.layout = shown.layout;
    chart._context.toImageButtonOptions = shown.options;
  }
  return true;
}

// Plotly saves by clicking on a link in the page; the menu would take that for a click outside, and close.
function stayOpenFor(file) {
  const hold = (event) => {
    if (event.target?.download !== file) return;
    event.stopPropagation();
    window.removeEventListener('click', hold, true);
  };
  window.addEventListener('click', hold, true);
  setTimeout(() => window.removeEventListener('click', hold, true), 60000);
}

function table(data) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([data.csv], { type: 'text/csv' }));
  link.download = data.file + '.csv';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  return true;
}

export default function ({ parentElement, data }) {
  const note = parentElement.querySelector('p');
  note.textContent = data.note;
  for (const button of parentElement.querySelectorAll('button')) {
    const format = button.dataset.format;
    button.onclick = () => {
      if (!(format === 'csv' ? table(data) : picture(data, format)))
        note.textContent = 'The chart is not on the page any more; close this and open it again.';
    };
  }
}
"""

_HTML = """<div><button type="button" data-format="png">PNG</button><button type="button" data-format="svg">SVG</button>
<button type="button" data-format="csv">CSV</button></div><p></p>"""

_BUTTONS = component("invmask_save_figure", html=_HTML, css=_CSS, js=_JS)
