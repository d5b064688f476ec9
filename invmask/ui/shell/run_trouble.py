"""What a page does if its run is deleted or damaged: one sentence, and a way to continue."""

import contextlib
from collections.abc import Callable
from typing import Any

import streamlit as st

from invmask.errors import UserError
from invmask.runs.store.run import RunDamagedError
from invmask.ui.shell import address, cache, run_menu


def show(error: UserError) -> None:
    """Show the error. If the run was deleted, the whole page is redrawn without it, even from a fragment."""
    run = address.current_run()
    if run is not None and is_gone(run):
        st.rerun()
    if run is None or not isinstance(error, RunDamagedError):
        st.error(str(error), icon=":material/error:")
        return
    st.error(f"Run {run} is damaged and cannot be read: delete it, or choose another one.", icon=":material/error:")
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Choose another run",
            key="run-trouble/other",
            type="primary",
            icon=":material/history:",
            on_click=address.set_run,
            args=(None,),
        )
        run_menu.delete_button(run, "Delete the damaged run")


def is_gone(run: str) -> bool:
    """Whether the run was deleted, here or by another user."""
    try:
        cache.store().run(run)
    except RunDamagedError:
        return False
    except UserError:
        return True
    return False


def follow(run: str | None) -> None:
    """In a fragment: redraw the whole page if it now shows another run than `run`, or if the run was deleted."""
    if address.current_run() != run or (run is not None and is_gone(run)):
        st.rerun()


def unless_gone(act: Callable[..., Any]) -> Callable[..., None]:
    """Wrap a widget's callback so that it does nothing if the run is deleted or damaged; the page then reports it."""

    def run(*args: Any) -> None:
        with contextlib.suppress(UserError):
            act(*args)

    return run
