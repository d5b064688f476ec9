"""Who a visitor is: a random key, in a cookie of their browser, to which the runs that they make belong.

Nobody logs in. In a browser that keeps no cookies, the key lasts as long as the page is open.
"""

import streamlit as st
from streamlit.components.v2 import component

from invmask.runs.store.owner import is_key, new_key

COOKIE = "invmask-key"
DAYS = 180
_KEYS, _COMPONENT = "visitor/keys", "visitor-cookie"


def key() -> str:
    """The visitor's key, for the runs that they make. Never draw it: whoever has it may steer these runs."""
    return all_keys()[0]


def all_keys() -> list[str]:
    """All keys of the visitor, the present one first: there are two if two tabs made one at the same time."""
    if _KEYS not in st.session_state:
        held = st.context.cookies.get(COOKIE)
        st.session_state[_KEYS] = [held if isinstance(held, str) and is_key(held) else new_key()]
    return st.session_state[_KEYS]


def remember() -> None:
    """Have the browser keep the key. Called once in every run of app.py."""

    def found() -> None:
        # Another tab of this browser was faster: both are the same visitor.
        held = st.session_state[_COMPONENT]["held"]
        if isinstance(held, str) and is_key(held) and held not in all_keys():
            st.session_state[_KEYS] = [held, *all_keys()]

    if st.context.cookies.get(COOKIE) != key():
        _COOKIE(key=_COMPONENT, data={"name": COOKIE, "key": key(), "seconds": DAYS * 86_400}, on_held_change=found)


_JS = """
export default function ({ data, setTriggerValue }) {
  const start = `${data.name}=`;
  const held = document.cookie.split('; ').find((each) => each.startsWith(start))?.slice(start.length);
  if (held === data.key) return;
  if (held?.length === data.key.length) {
    setTriggerValue('held', held);
    return;
  }
  const secure = location.protocol === 'https:' ? '; Secure' : '';
  document.cookie = `${start}${data.key}; path=/; max-age=${data.seconds}; SameSite=Lax${secure}`;
}
"""
_COOKIE = component("invmask_visitor", html="<i hidden></i>", js=_JS)
