"""What happens to a request to bring in a model: progress while a worker reads it, and then the victim."""

import streamlit as st

from invmask.runs.store.bringings import Bringing, home_bringings
from invmask.ui.own_model.form import BRING
from invmask.ui.shell import address, cache

LOOK_SECONDS = 0.5
UNDER_WAY = "Reading both files, recognising the network, and trying the usual normalisations on the images…"


def current() -> Bringing | None:
    """The request that the address names; None if there is none, or it has been dealt with."""
    name = address.choice(BRING, "")
    if not name:
        return None
    found = home_bringings().bringing(name)
    if found is None:
        address.leave_out(BRING, "not there any more")
        return None
    status = found.status()
    if status is not None and status.victim is not None:
        address.choose(BRING, None)
        home_bringings().delete(found.id)
        if status.victim in cache.victim_cards():
            address.set_victim(status.victim)
            st.rerun()
        return None
    return found


def show(bringing: Bringing) -> None:
    """Draw the progress, or why it failed."""
    status = bringing.status()
    if status is None:
        st.fragment(_wait, run_every=LOOK_SECONDS)(bringing)
        return
    st.error(status.message, icon=":material/error:")
    if not status.entries:
        st.caption("Set below what you know, or give other files, and try again.")


def _wait(bringing: Bringing) -> None:
    if not bringing.exists() or bringing.status() is not None:
        st.rerun()
    st.markdown(f":material/hourglass_top: {UNDER_WAY}")
    if (trouble := cache.executor().problem) is not None:
        st.warning(trouble, icon=":material/info:")
