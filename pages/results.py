"""Results: what a sweep over many victims found, as a map and as a table; a click opens the run."""

from collections.abc import Callable

import streamlit as st

from invmask.figures.palette import VIEW_TITLES
from invmask.grids.results import CaseResult, views_of
from invmask.masks.state import View
from invmask.ui.results import panels, results_data
from invmask.ui.shell import address, widgets
from invmask.ui.shell.names import count

COMMAND = "python -m invmask sweep --attacks badnets,blended,sig,clean --spc 1,10 --seeds 0,1,2"
SWEEP_HELP = (
    "Many victims, defended one after the other under the same settings. Those that are built in were measured "
    "beforehand; your own are named as you called them in the terminal."
)
PRESET_HELP = (
    "The settings that the cases on the map ran with; the table has those of all presets. **(earlier)**: made before "
    "the preset or the victim was changed."
)
_VIEWS = ("pruned", "repaired", "inverse", "original")
NONE_YET = "A sweep defends many victims one after the other. Start one in a terminal, and look here while it goes on:"


def _choose(label: str, name: str, options: list[str], width: int, tip: str, title: Callable[[str], str] = str) -> str:
    """A choice that the address keeps."""
    key = f"results-{name}"
    st.session_state[key] = address.choice(name, options[0], options)
    return st.selectbox(
        label,
        options,
        key=key,
        width=width,
        format_func=title,
        on_change=lambda: address.choose(name, st.session_state[key]),
        help=tip,
    )


def _choose_view(results: list[CaseResult]) -> View:
    """The view whose measures are shown, which the address keeps."""
    key, options = "results-view", [view for view in _VIEWS if view in views_of(results)]
    st.session_state[key] = address.choice("view", options[0], options)
    chosen = st.segmented_control(
        "View",
        options,
        key=key,
        required=True,
        format_func=VIEW_TITLES.__getitem__,
        on_change=lambda: address.choose("view", st.session_state[key]),
        help="Pruned or repaired: what the defence made of the network. Inverse: the same mask flipped over. "
        "Original: undefended.",
    )
    return View(chosen)


def _page() -> None:
    if widgets.open_card() is None:
        return
    panels.go_to_opened()
    st.title("Results", anchor=False)
    own = results_data.names()
    names = [*own, *results_data.built_in()]
    if not names:
        st.info("There are no results yet. " + NONE_YET, icon=":material/grid_on:")
        st.code(COMMAND, language="bash")
        return
    with st.container(horizontal=True, vertical_alignment="top", gap="medium"):
        name = _choose("Sweep", "sweep", names, 190, SWEEP_HELP, results_data.title)
        results, problems = results_data.read(name)
        presets = list(dict.fromkeys(result.method for result in results))
        preset = _choose("Defence", "preset", presets, 150, PRESET_HELP) if presets else ""
        view = _choose_view([result for result in results if result.method == preset])
    panels.watch(name)
    for problem in problems:
        st.warning(problem, icon=":material/info:")
    if not results:
        st.info("No case of this sweep has ended yet.")
        return
    failed = sum(result.problem is not None for result in results)
    st.caption(
        f"{count(len(results))} {'case' if len(results) == 1 else 'cases'}"
        + (", measured beforehand and part of invmask" if name in results_data.BUILT_IN else " so far")
        + (f", {count(failed)} of them without a result." if failed else ".")
        + results_data.in_common(results)
        + results_data.sizes(results)
    )
    of_preset = [result for result in results if result.method == preset]
    panels.show_map(of_preset, view, results_data.said_once(results))
    panels.show_table(results, name)
    if not own:
        with st.expander("A sweep of your own", icon=":material/terminal:"):
            st.caption(NONE_YET)
            st.code(COMMAND, language="bash")


_page()
