"""The form that gives a mask a name, on Neurons and on Tune."""

from collections.abc import Callable

import streamlit as st

from invmask.errors import UserError
from invmask.masks.state import Masks
from invmask.runs.store import named_masks
from invmask.ui.shell import cache, steering


def show(page: str, run: str, masks: Callable[[], Masks]) -> None:
    """Draw the field, the button (which says if it replaces a mask), and the result.

    Args:
        page: distinguishes the forms of different pages.
        masks: makes the masks to save.
    """
    if (why := steering.refusal(run)) is not None:
        st.caption(f"{why} Masks are saved in the run.")
        return
    written = st.text_input("Name", key=f"{page}-name", max_chars=40, help="Letters, digits, spaces, - and _.")
    name = written.strip(" ")
    st.button(
        f"Replace '{name}'" if name in named_masks.list_names(cache.store().run(run)) else "Save",
        key=f"{page}-save",
        type="primary",
        disabled=not name,
        on_click=_store,
        args=(page, run, masks, name),
    )
    saved, problem = (st.session_state.pop(f"{page}/{what}", None) for what in ("saved", "problem"))
    if saved is not None:
        st.success(f"Saved as '{saved}'. Flip and Export know it now.", icon=":material/check:")
    if problem is not None:
        st.error(problem)


def _store(page: str, run: str, masks: Callable[[], Masks], shown: str) -> None:
    name = st.session_state[f"{page}-name"].strip(" ")
    try:
        steering.check(run)
        directory = cache.store().run(run)
        # If it is pressed directly from the field, the button could not yet say what it replaces.
        if name == shown or name not in named_masks.list_names(directory):
            st.session_state[f"{page}/saved"] = named_masks.save(directory, name, masks())
    except UserError as error:
        st.session_state[f"{page}/problem"] = str(error)
