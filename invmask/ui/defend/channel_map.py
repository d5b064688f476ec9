"""Clicks on Defend's map of all channels; each opens a channel's page on Neurons.

Streamlit reports no clicks on heatmaps. So a separate component listens for clicks.
"""

from collections.abc import Sequence

import streamlit as st
from streamlit.components.v2 import component

from invmask.figures.channels import channel_at
from invmask.figures.stage_map import stage_columns
from invmask.frames.channels import channel_name
from invmask.masks.state import MaskedLayer
from invmask.ui.defend.timeline import asked_round
from invmask.ui.shell import address

CHART = "defend-map"
_KEY, _OPEN = "defend-map-clicks", "defend/open-channel"


def listen(layers: Sequence[MaskedLayer]) -> None:
    """Listen for clicks on the chart with the key `CHART`, which shows these layers. Takes a little room."""

    def clicked() -> None:
        place = st.session_state[_KEY]["clicked"]
        if not isinstance(place, list) or len(place) != 2 or not all(isinstance(each, int | float) for each in place):
            return
        across, down = place
        channel = channel_at(layers, across, down, stage_columns(layers))
        if channel is not None:
            round_shown = asked_round()
            address.choose("channel", channel_name(layers, channel), "Neurons")
            address.choose("round", None if round_shown is None else str(round_shown), "Neurons")
            st.session_state[_OPEN] = True

    _CLICKS(key=_KEY, data={"chart": CHART}, on_clicked_change=clicked)


def go_to_opened() -> None:
    """Switch to Neurons if a channel was opened; a callback cannot switch pages itself."""
    if st.session_state.pop(_OPEN, False):
        st.switch_page("pages/neurons.py")


_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.tell = (place) => setTriggerValue('clicked', place);
  const down = (event) => {
    parentElement.pressed = null;
    const area = event.button === 0 && event.target?.closest?.(`.st-key-${CSS.escape(data.chart)} .nsewdrag`);
      if (!area) return;
    const box = area.getBoundingClientRect();
    const { clientX: x, clientY: y } = event;
    parentElement.pressed = { x, y, place: [(x - box.left) / box.width, (y - box.top) / box.height] };
  };
  const up = ({ clientX, clientY }) => {
    // The map may have changed by now: where it was pressed counts.
    const pressed = parentElement.pressed;
    parentElement.pressed = null;
    if (pressed && Math.hypot(clientX - pressed.x, clientY - pressed.y) < 6) parentElement.tell(pressed.place);
  };
  document.addEventListener('pointerdown', down, true);
  document.addEventListener('pointerup', up, true);
  return () => {
    document.removeEventListener('pointerdown', down, true);
    document.removeEventListener('pointerup', up, true);
  };
}
"""

_CLICKS = component("invmask_map_clicks", html="<i hidden></i>", js=_JS)
