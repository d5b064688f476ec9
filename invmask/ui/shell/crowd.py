"""How many readers look on. When there are many, pages look at runs less often, so that clicks come first."""

import secrets
import threading
import time

import streamlit as st

HERE_SECONDS = 30.0
"""Who has asked for nothing for so long has left, or looks at something that does not change."""
EACH_SECONDS = 0.2
"""A look at a run takes about half of this. So looks never take more than half of one core."""
_KEY = "crowd/reader"


class Crowd:
    """The readers of one server, by when they last asked for something."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}

    def note(self, reader: str) -> int:
        """Note that a reader has asked for something; returns how many readers there are."""
        now = time.monotonic()
        with self._lock:
            self._seen[reader] = now
            self._seen = {each: when for each, when in self._seen.items() if now - when < HERE_SECONDS}
            return len(self._seen)


def slowed(seconds: float) -> float:
    """Seconds between two looks: `seconds` for a few readers, longer for many, in steps so that it seldom changes."""
    readers = _crowd().note(st.session_state.setdefault(_KEY, secrets.token_hex(8)))
    while seconds < EACH_SECONDS * readers:
        seconds *= 2
    return seconds


@st.cache_resource(show_spinner=False)
def _crowd() -> Crowd:
    return Crowd()
