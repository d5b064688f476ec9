"""Charts that stay on the page while their data change.

`st.plotly_chart` gives every figure an identity of its own: with other data it is another element, made anew, and its
place is blank meanwhile. Here a component keeps one node and lets Plotly update what it draws.
"""

from pathlib import Path

import plotly
import plotly.graph_objects as go
import streamlit as st
from streamlit.components.v1 import declare_component
from streamlit.components.v2 import component

from invmask.figures.template import PLOTLY_CONFIG

# Nothing of it is ever drawn. It has Streamlit serve the script that comes with the Python package.
_SCRIPTS = declare_component("scripts", path=Path(plotly.__file__).parent / "package_data")


def kept_chart(figure: go.Figure, key: str, alt: str, height: str | None = None) -> None:
    """Show a figure finished with `figures.template.finish`; one with the same key is updated in place.

    Args:
        key: unique on the page; the chart lies in an element of the class `st-key-KEY`.
        alt: what the figure shows, for screen readers.
        height: height of the chart as a CSS length, such as `max(300px, 50vh)`; None for the figure's own, in pixels.
    """
    _CHART(
        key=key,
        data={
            # As JSON text, so that Streamlit does not convert the parts of the object.
            "figure": figure.to_json(),
            "config": PLOTLY_CONFIG,
            "alt": alt,
            "height": height or f"{figure.layout.height}px",
            "fills": height is not None,
            "script": _script(),
        },
    )


def prepare() -> None:
    """Let the browser fetch the script while there is no chart yet."""
    _FETCH(key="kept-chart-script", data={"script": _script()})


def _script() -> str:
    """Where the browser finds plotly.js."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base + '/' if base else ''}component/{_SCRIPTS.name}/plotly.min.js"


_CSS = """
.kept-chart{width:100%;overflow:hidden;position:relative}
.kept-chart:empty::before{content:"Drawing the chart";position:absolute;inset:0;display:grid;place-items:center;
 font-size:.9rem;opacity:.7}
.kept-chart:fullscreen{background:var(--st-background-color);height:100vh!important;padding:2rem}
"""

_JS = """
let library;

// Once for all charts of the page.
function plotly(script) {
  library ??= new Promise((resolve, reject) => {
    if (window.Plotly) return resolve(window.Plotly);
    const tag = document.createElement('script');
    tag.src = script;
    tag.onload = () => resolve(window.Plotly);
    tag.onerror = () => { library = undefined; tag.remove(); reject(new Error(`${script} cannot be loaded`)); };
    document.head.append(tag);
  });
  return library;
}

const CORNERS = 'M32 32h128v48H80v80H32zM352 32h128v128h-48V80h-80zM32 352h48v80h80v48H32zM432 352h48v128H352v-48h80z';

function options(config) {
  const icon = { width: 512, height: 512, path: CORNERS };
  const click = (chart) => document.fullscreenElement ? document.exitFullscreen() : chart.requestFullscreen();
  const full = { name: 'fullscreen', title: 'Full screen', icon, click };
  return { ...config, modeBarButtonsToAdd: document.fullscreenEnabled ? [full] : [] };
}

const sizeOf = (chart) => `${chart.offsetWidth} x ${chart.offsetHeight}`;

// What is asked for while a chart is being drawn waits, and only the latest of it is drawn.
async function draw(chart) {
  chart.busy = true;
  try {
    const { react } = await plotly(chart.wanted.script);
    while (chart.wanted) {
      const { figure, fills } = chart.wanted;
      chart.wanted = null;
      if (figure === chart.shown) continue;
      const { data, layout } = JSON.parse(figure);
      if (fills) delete layout.height;
      chart.drawnAt = sizeOf(chart);
      await react(chart, data, layout, chart.options);
      chart.shown = figure;
    }
  } finally {
    chart.busy = false;
  }
}

function watchSize(chart) {
  const observer = new ResizeObserver(() => {
    const size = sizeOf(chart);
    if (!chart.drawnAt || !chart.offsetWidth || !chart.offsetHeight || size === chart.drawnAt) return;
    chart.drawnAt = size;
    window.Plotly.Plots.resize(chart);
  });
  observer.observe(chart);
  return observer;
}

export default function ({ parentElement, data }) {
  const chart = parentElement.querySelector('.kept-chart');
  chart.setAttribute('aria-label', data.alt);
  chart.style.height = data.height;
  chart.options ??= options(data.config);
  chart.sizes ??= watchSize(chart);
  chart.wanted = data;
  if (!chart.busy) draw(chart);
  return () => {
    chart.sizes.disconnect();
    if (chart.shown) window.Plotly.purge(chart);
  };
}
"""

_CHART = component(
    "invmask_kept_chart",
    html='<div class="kept-chart" role="figure"></div>',
    css=_CSS,
    js=_JS,
    # Save menus, and clicks on the map, look for charts in the page.
    isolate_styles=False,
)

_FETCH = component(
    "invmask_chart_script",
    html="<i hidden></i>",
    js="""
export default function ({ data }) {
  if (window.Plotly || document.querySelector(`link[href="${data.script}"]`)) return;
  const link = document.createElement('link');
  document.head.append(Object.assign(link, { rel: 'preload', as: 'script', href: data.script }));
}
""",
)
