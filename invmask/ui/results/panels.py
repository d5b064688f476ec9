"""The parts of Results: the map of all victims with the runs behind a cell, and the table."""

from typing import Any

import streamlit as st

from invmask.defenses.settings import DefenseConfig
from invmask.figures.grid_map import grid_map
from invmask.figures.measures import MEASURE_TITLES
from invmask.grids.results import MEASURES, VIEWS, CaseResult, summarise
from invmask.masks.state import View
from invmask.models import is_transformer
from invmask.ui.defend import controls
from invmask.ui.results import results_data
from invmask.ui.shell import address, cache
from invmask.ui.shell.names import count, dataset_title
from invmask.ui.shell.theme import chart, current_theme

CELL = "cell"
LOOK_SECONDS = 5.0
_OPEN, _MAP, _VALUES = "results/open", "results-map", "results-values"
_GOOD = {
    (View.PRUNED, "acc"): "↑",
    (View.PRUNED, "asr"): "↓",
    (View.PRUNED, "ra"): "↑",
    (View.INVERSE, "asr"): "↑",
}
MAP_HELP = (
    "One cell a victim and data budget (SPC, samples per class): the mean over seeds, on all embedded test images. "
    "Hold the pointer over a cell for its spread, and click it for its runs. A good defence has a low ASR (attack "
    "success rate) and a high ACC (clean accuracy) and RA (recovery accuracy) in the pruned view, and a high ASR in "
    "the inverse view; the arrows say so."
)
_SHORT_VIEWS = {
    "original": ("orig.", 77),
    "pruned": ("pruned", 87),
    "inverse": ("inv.", 71),
    "repaired": ("repaired", 95),
}
"""For each view, its name in the table and the width of its columns."""
MEANS, SPREADS = "Means", "Standard deviations"
TABLE_HELP = (
    "Over seeds, in per cent; one seed has no standard deviation. What is the same in every row is left out here and "
    "said above. The CSV has everything, by the names that the command line takes."
)


def go_to_opened() -> None:
    """Switch to Defend if a run was opened; a callback cannot switch pages itself."""
    if st.session_state.pop(_OPEN, False):
        st.switch_page("pages/defend.py")


def watch(name: str) -> None:
    """Redraw the page when another case of the sweep has ended."""
    st.fragment(_look, run_every=LOOK_SECONDS)(name, results_data.stamp(name))


def _look(name: str, shown: tuple[int, int]) -> None:
    if results_data.stamp(name) != shown:
        st.rerun()


def show_map(results: list[CaseResult], view: View, alike: list[str]) -> None:
    """Draw a cell for each victim and budget; below, the runs behind the clicked cell.

    Args:
        alike: the values shared by all cases, from `results_data.said_once`.
    """
    st.subheader(f"All victims, {view} view", anchor=False, help=MAP_HELP)
    cells, members = results_data.cells(results, view, alike)
    titles, apart = [_title(measure, view) for measure in MEASURES], results_data.apart(results)
    chosen = address.choice(CELL, "")
    place = next((place for place, group in enumerate(members) if _cell(group, apart) == chosen), None)
    if chosen and place is None:
        address.leave_out(CELL, "not on this map")

    def clicked() -> None:
        points = st.session_state[_MAP]["selection"]["points"]
        if points:
            address.choose(CELL, _cell(members[int(points[0]["point_index"])], apart))

    chart(
        grid_map(cells, titles, current_theme(), place),
        key=_MAP,
        alt=f"ACC, ASR and RA of every victim's {view} view at every data budget",
        paper=lambda: grid_map(cells, titles, "paper"),
        on_select=clicked,
        selection_mode="points",
    )
    with st.container(border=True):
        if place is None:
            st.caption("Click a cell to see its runs here.")
        else:
            _runs(members[place], apart)


def _title(measure: str, view: View) -> str:
    """`ASR ↓`, with the arrow if a good defence makes the measure low; short, because a phone has little room."""
    arrow = _GOOD.get((view, measure), "")
    return f"<b>{measure.upper()}</b>{arrow and f' {arrow}'}"


def _cell(group: list[CaseResult], apart: list[str]) -> str:
    """The cell's name in the address; `apart` as returned by `results_data.apart`."""
    return "/".join([group[0].victim, str(group[0].spc), *(getattr(group[0], key) for key in apart)])


def _runs(group: list[CaseResult], apart: list[str]) -> None:
    """Draw a line for each seed, with a link to its run."""
    st.markdown(f"**{results_data.case_title(group[0], apart)}**")
    known, victims = {run.id for run in cache.listing().runs}, cache.victim_cards()
    for result in group:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            config = results_data.settings_of(result) if result.victim in victims else None
            if result.run in known or config is None:
                here = result.run in known
                st.button(
                    f"Open seed {result.seed}",
                    key=f"results-open-{result.run}-{result.seed}",
                    icon=":material/open_in_new:",
                    disabled=not here,
                    on_click=_open,
                    args=(result.run,),
                    help="On Defend, with every round." if here else _why_not(result),
                )
            else:
                st.button(
                    f"Set up seed {result.seed}",
                    key=f"results-set-up-{result.seed}",
                    icon=":material/tune:",
                    on_click=_set_up,
                    args=(result, config),
                    help="This run is not on this machine. Opens Defend with its settings, for one like it.",
                )
            st.caption(_said(result))


def _said(result: CaseResult) -> str:
    if result.problem is not None:
        return result.problem
    parts = []
    for view in [view for view in VIEWS[1:] if view in result.views]:
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


def _why_not(result: CaseResult) -> str:
    """Why a case has no run to open, as a sentence."""
    if result.run is None:
        return "No run was begun for it."
    if result.victim not in cache.victim_cards():
        return f"Neither the run nor its victim, {result.victim}, is on this machine."
    return "The run is not on this machine, and its settings are not those of a preset of today."


def _set_up(result: CaseResult, config: DefenseConfig) -> None:
    address.set_victim(result.victim)
    address.set_run(None)
    controls.set_up(result.defense, result.preset, result.spc, config, is_transformer(result.architecture))
    st.session_state[_OPEN] = True


def show_table(results: list[CaseResult], name: str) -> None:
    """Draw the table of means or standard deviations, at most as wide as the page, and offer all of it as CSV."""
    st.subheader("Table", anchor=False, help=TABLE_HELP)
    table = summarise(results)
    options = [MEANS, SPREADS]
    st.session_state[_VALUES] = address.choice("values", MEANS, options)
    values = st.segmented_control(
        "Values",
        options,
        key=_VALUES,
        required=True,
        label_visibility="collapsed",
        on_change=lambda: address.choose("values", st.session_state[_VALUES]),
    )
    every = [column for column in table if column.split()[0] in VIEWS]
    shares = [column for column in every if column.endswith(" sd") == (values == SPREADS)]
    alike = [key for key in results_data.said_once(results) if key in table]
    shown = table.assign(poisoning_ratio=100 * table["poisoning_ratio"], **{key: 100 * table[key] for key in shares})
    shown["attack"] = shown["attack"].map(results_data.attack_title)
    shown["dataset"] = shown["dataset"].map(dataset_title)
    shown = shown.drop(columns=[*alike, *(column for column in every if column not in shares)])
    if not any(table["problems"].tolist()):
        shown = shown.drop(columns="problems")
    config: dict[str, Any] = {column: _share_column(column) for column in shares}
    config["attack"] = st.column_config.TextColumn("attack", width=124)
    config["poisoning_ratio"] = st.column_config.NumberColumn("ratio, %", format="%.3g", width=64)
    config["dataset"] = st.column_config.TextColumn("data set", width=112)
    config["precision"] = st.column_config.TextColumn("precision", width=84)
    config["device"] = st.column_config.TextColumn("device", width=64)
    config["problems"] = st.column_config.NumberColumn("no result", width=76)
    config["spc"] = st.column_config.NumberColumn("SPC", width=50)
    config["seeds"] = st.column_config.NumberColumn("seeds", width=56)
    st.dataframe(shown, hide_index=True, column_config=config)
    st.download_button(
        "Table as CSV",
        table.to_csv(index=False),
        f"{name}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        help="Fractions in [0, 1].",
    )


def _share_column(column: str) -> Any:
    """A column as narrow as its heading allows, so that all three views are visible side by side."""
    view, measure, *_ = column.split()
    short, width = _SHORT_VIEWS[view]
    return st.column_config.NumberColumn(
        f"{short} {measure.upper()}",
        format="%.1f",
        width=width - (8 if measure == "ra" else 0),
        help=f"{view.capitalize()} view: {MEASURE_TITLES[measure]}.",
    )
