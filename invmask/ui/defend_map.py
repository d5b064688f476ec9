"""Clicks on Defend's map of all channels: each opens a channel's page on Neurons.

Streamlit tells of a click on a chart only as long as the chart is the one drawn last, and this one is drawn anew with
every round; of heatmaps it tells nothing at all. So a part of its own listens, which stays while charts come and go.
"""

from collections.abc import Sequence

import streamlit as st
from streamlit.components.v2 import component

from invmask.exports.channels import channel_name
from invmask.figures.channels import channel_at
from invmask.masks.state import MaskedLayer
from invmask.ui import address
from invmask.ui.defend_timeline import asked_round

CHART = "defend-map"
_KEY, _OPEN = "defend-map-clicks", "defend/open-channel"


def listen(layers: Sequence[MaskedLayer]) -> None:
    """Hear clicks on the chart under the key `CHART`, which shows these layers. It takes a little room of its own."""

    def clicked() -> None:
        cell = st.session_state[_KEY]["clicked"]
        if not isinstance(cell, list) or len(cell) != 2 or not all(isinstance(each, int) for each in cell):
            return
        channel = channel_at(layers, *cell)
        if channel is not None:
            round_shown = asked_round()
            address.choose("channel", channel_name(layers, channel), "Neurons")
            address.choose("round", None if round_shown is None else str(round_shown), "Neurons")
            st.session_state[_OPEN] = True

    _CLICKS(key=_KEY, data={"chart": CHART}, on_clicked_change=clicked)


def go_to_opened() -> None:
    """Leave for Neurons where a channel was opened: a callback cannot switch pages itself."""
    if st.session_state.pop(_OPEN, False):
        st.switch_page("pages/neurons.py")


_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const heard = (parentElement.heard ??= new WeakSet());
  parentElement.hear = (cell) => setTriggerValue('clicked', cell);
  // Whatever chart the pointer comes to is listened to before it can be clicked.
  const find = (event) => {
    const chart = event.target?.closest?.(`.st-key-${CSS.escape(data.chart)} .js-plotly-plot`);
    if (!chart?.on || heard.has(chart)) return;
    heard.add(chart);
    chart.on('plotly_click', ({ points }) => {
      const cell = points[0]?.pointNumber;
      if (Array.isArray(cell)) parentElement.hear(cell);
    });
  };
  for (const kind of ['pointerover', 'pointerdown']) document.addEventListener(kind, find, true);
  return () => {
    parentElement.hear = () => {};
    for (const kind of ['pointerover', 'pointerdown']) document.removeEventListener(kind, find, true);
  };
}
"""

_CLICKS = component("invmask_map_clicks", html="<i hidden></i>", js=_JS)
