"""An optional password for the whole dashboard, from INVMASK_PASSWORD. Few tries a minute are heard."""

import hmac
import threading
import time
from hashlib import sha256

import streamlit as st

from invmask import settings

TRIES, SECONDS = 5, 60.0
"""From one machine so many wrong tries are heard in so many seconds."""
_PASSED, _FIELD, _PROBLEM = "password/passed", "password/field", "password/problem"


class Tries:
    """Wrong tries by the machine that they came from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: dict[str, list[float]] = {}

    def wait(self, machine: str, now: float) -> float:
        """Seconds until a try from this machine is heard again; 0 if it is heard now."""
        with self._lock:
            self._wrong = {each: kept for each, of in self._wrong.items() if (kept := _recent(of, now))}
            wrong = self._wrong.get(machine, [])
            return 0.0 if len(wrong) < TRIES else wrong[-TRIES] + SECONDS - now

    def wrong(self, machine: str, now: float) -> None:
        """Note a wrong try."""
        with self._lock:
            self._wrong.setdefault(machine, []).append(now)


def passed() -> bool:
    """Whether the visitor may see the dashboard: there is no password, or they have given it."""
    password = settings.password()
    return password is None or st.session_state.get(_PASSED) == _mark(password)


def ask() -> None:
    """Draw the field for the password instead of a page."""
    st.title("invmask", anchor=False)
    with st.form("password", width=420):
        st.text_input("Password", type="password", key=_FIELD, max_chars=200, autocomplete="current-password")
        st.form_submit_button("Open", type="primary", icon=":material/lock_open:", on_click=_try)
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem, icon=":material/lock:")
    st.caption("This dashboard has a password. Ask whoever runs it.")


def _try() -> None:
    password, machine, now = settings.password(), _machine(), time.monotonic()
    tries, given = _tries(), st.session_state[_FIELD]
    if (wait := tries.wait(machine, now)) > 0:
        st.session_state[_PROBLEM] = f"Too many wrong passwords. Try again in {max(1, round(wait))} seconds."
    elif password is not None and not hmac.compare_digest(_mark(given).encode(), _mark(password).encode()):
        tries.wrong(machine, now)
        st.session_state[_PROBLEM] = "This is not the password. Try again."
    else:
        st.session_state[_PASSED] = _mark(given)


def _machine() -> str:
    """The address of the visitor's machine; empty for this one."""
    return st.context.ip_address or ""


def _mark(password: str) -> str:
    return sha256(password.encode()).hexdigest()


def _recent(times: list[float], now: float) -> list[float]:
    return [when for when in times if now - when < SECONDS]


@st.cache_resource(show_spinner=False)
def _tries() -> Tries:
    return Tries()
