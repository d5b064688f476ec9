"""Results: what a sweep over many victims found, as a map and as a table; a click opens the run."""

import pandas as pd
import streamlit as st

from invmask.figures.grid_map import grid_map
from invmask.runs.grid_results import MEASURES, VIEWS, CaseResult, summarise
from invmask.ui import address, cache, results_data, widgets
from invmask.ui.names import count
from invmask.ui.results_data import SHOWN
from invmask.ui.theme import chart, current_theme

_CELL, _OPEN, _MAP = "results/cell", "results/open", "results-map"
COMMAND = "python -m invmask sweep --attacks badnets,blended,sig,clean --spc 1,10 --seeds 0,1,2"
MAP_HELP = (
    "One square a victim and data budget: the mean over seeds, on all embedded test images. Click a square for its "
    "runs. A good defence has a low ASR and a high RA and ACC in the pruned view, and a high ASR in the inverse view."
)
TABLE_HELP = "Mean over seeds, per cent; sd is the standard deviation, empty for one seed."


def _choose(label: str, name: str, options: list[str], titles: dict[str, str] | None = None, width: int = 230) -> str:
    """A choice that the address keeps."""
    key = f"results-{name}"
    st.session_state[key] = address.choice(name, options[0], options)
    return st.selectbox(
        label,
        options,
        key=key,
        width=width,
        format_func=lambda option: (titles or {}).get(option, option),
        on_change=lambda: address.choose(name, st.session_state[key]),
    )


def _map(results: list[CaseResult], shown: str) -> None:
    st.subheader("All victims", anchor=False, help=MAP_HELP)
    cells, members = results_data.cells(results, shown)

    def clicked() -> None:
        points = st.session_state[_MAP]["selection"]["points"]
        if points:
            st.session_state[_CELL] = members[int(points[0]["point_index"])][0].group

    chart(
        grid_map(cells, f"{SHOWN[shown]}, %", current_theme()),
        key=_MAP,
        alt=f"{SHOWN[shown]} of every victim at every data budget",
        paper=lambda: grid_map(cells, f"{SHOWN[shown]}, %", "paper"),
        on_select=clicked,
        selection_mode="points",
    )
    chosen = next((group for group in members if group[0].group == st.session_state.get(_CELL)), None)
    with st.container(border=True):
        if chosen is None:
            st.caption("Click a square to see its runs here.")
        else:
            _runs(chosen)


def _runs(group: list[CaseResult]) -> None:
    """A line for each seed, with a way to its run."""
    st.markdown(f"**{results_data.victim_row(group[0])}**, SPC {group[0].spc}, {group[0].preset}")
    known = {run.id for run in cache.listing().runs}
    for result in group:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            here = result.run in known
            st.button(
                f"Open seed {result.seed}",
                key=f"results-open-{result.run}-{result.seed}",
                icon=":material/open_in_new:",
                disabled=not here,
                on_click=_open,
                args=(result.run,),
                help="On Defend, with every round." if here else "This run is not on this machine any more.",
            )
            st.caption(_said(result))


def _said(result: CaseResult) -> str:
    if result.problem is not None:
        return result.problem
    parts = []
    for view in VIEWS[1:]:
        shares = [
            f"{measure.upper()} {100 * share:.1f}\u00a0%"
            for measure in MEASURES
            if (share := result.views[view][measure]) is not None
        ]
        parts.append(f"{view}: {', '.join(shares)}")
    return "; ".join(parts) + f" (n = {count(result.n_clean)} clean, {count(result.n_triggered)} triggered)"


def _open(run: str) -> None:
    address.set_run(run)
    st.session_state[_OPEN] = True


def _table(results: list[CaseResult], name: str) -> None:
    st.subheader("Table", anchor=False, help=TABLE_HELP)
    table = summarise(results)
    shares = [column for column in table if column.split()[0] in VIEWS]
    shown = table.assign(
        poisoning_ratio=100 * table["poisoning_ratio"], **{column: 100 * table[column] for column in shares}
    )
    config = {column: st.column_config.NumberColumn(_heading(column), format="%.1f", width=96) for column in shares}
    config["poisoning_ratio"] = st.column_config.NumberColumn("ratio, %", format="%.3g", width=76)
    config["problems"] = st.column_config.NumberColumn("no result", width=76)
    st.dataframe(shown, hide_index=True, column_config=config)
    st.download_button(
        "Table as CSV",
        _csv(table),
        f"{name}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        help="Fractions in [0, 1].",
    )


def _heading(column: str) -> str:
    view, measure, *spread = column.split()
    return " ".join([view, measure.upper(), *spread])


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False)


def _page() -> None:
    if widgets.open_card() is None:
        return
    if st.session_state.pop(_OPEN, False):
        st.switch_page("pages/defend.py")
    st.title("Results", anchor=False)
    names = results_data.names()
    if not names:
        st.info(
            "There are no results yet. A sweep defends many victims one after the other; start one in a terminal, "
            "and look here while it goes on:",
            icon=":material/grid_on:",
        )
        st.code(COMMAND, language="bash")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        name = _choose("Sweep", "sweep", names)
        results, problems = results_data.read(name)
        presets = list(dict.fromkeys(result.preset for result in results))
        preset = _choose("Preset", "preset", presets) if presets else ""
        shown = _choose("Measure", "measure", list(SHOWN), SHOWN)
    for problem in problems:
        st.warning(problem, icon=":material/info:")
    if not results:
        st.info("No case of this sweep has ended yet.")
        return
    failed = sum(result.problem is not None for result in results)
    st.caption(
        f"{count(len(results))} cases have ended" + (f", {count(failed)} of them without a result." if failed else ".")
    )
    _map([result for result in results if result.preset == preset], shown)
    _table(results, name)


_page()
