"""The part of Tune that shows runs over the data budget or a setting, and starts missing runs."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from invmask import settings
from invmask.defenses import registry
from invmask.defenses.entry import Entry
from invmask.defenses.settings import Setting
from invmask.errors import UserError, cannot_be_used
from invmask.figures.measures import MEASURE_TITLES
from invmask.frames.curves import axis_titles, sweep_figure
from invmask.frames.entry import measured_on
from invmask.grids.curve import SPC, Place, lay_out
from invmask.models import is_transformer
from invmask.runs.store import staleness
from invmask.runs.store.all_runs import Listing
from invmask.runs.store.records import RunState, RunSummary
from invmask.runs.store.spec import RunSpec
from invmask.runs.work.bench import spec_with
from invmask.ui.defend.exercise import spc_offered
from invmask.ui.shell import address, cache, steering
from invmask.ui.shell.run_menu import STATE_WORDS
from invmask.ui.shell.seeds import parse_seeds
from invmask.ui.shell.theme import chart, current_theme
from invmask.ui.tune import tune_choice
from invmask.ui.tune.tune_choice import MOST_DECIMALS, plain
from invmask.victims.victim import VictimCard

LOOK_SECONDS = 2.0
WATCH_SECONDS = 4.0
_THIS = "run"
_PROBLEM, _MOVED = "tune/sweep-problem", "tune/moved"
PROPOSED_SPC = (1, 2, 5, 10, 20, 50, 100)
_HELP = (
    "Each point is a run of its own, measured on all embedded test images; the line is the mean over its seeds, the "
    "bars are one standard deviation. Runs with exactly these settings are found and used, whoever made them, if they "
    "were computed in the same precision on the same kind of device."
)


def show(card: VictimCard, run: RunSummary | None) -> None:
    """Draw the choice of setting and values, the button that starts missing runs, and the curve."""
    st.subheader("Data budget and sparsity", anchor=False, help=_HELP)
    defense = registry.entry(registry.DEFAULT) if run is None else run.spec.entry
    titles = axis_titles(defense)
    axis = address.choice("axis", SPC, list(titles))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        _choose_axis(axis, titles)
        base = _choose_base(card, run, defense)
        seeds = _choose_seeds()
    chosen = _choose_values(axis, base, spc_offered(card))
    if not chosen or not seeds:
        st.info("Choose at least one value and one seed.")
        return
    try:
        places = lay_out(base, axis, chosen, seeds, _runs(base, cache.listing()))
    except UserError as error:
        st.error(str(error))
        return
    every = LOOK_SECONDS if any(place.under_way for place in places) else None
    st.fragment(_laid_out, run_every=every)(base, axis, chosen, seeds, every is not None)
    if every is None:
        st.fragment(_watch, run_every=WATCH_SECONDS)(base, axis, chosen, seeds, _numbers(places))


def _watch(base: RunSpec, axis: str, values: Sequence[float], seeds: Sequence[int], shown: tuple[int, ...]) -> None:
    """Watch the runs, because another user may start or delete some."""
    if _numbers(lay_out(base, axis, values, seeds, _runs(base, cache.listing()))) != shown:
        st.rerun()


def _numbers(places: Sequence[Place]) -> tuple[int, int, int]:
    """The numbers of finished runs, runs under way and missing runs."""
    finished, under_way = sum(place.finished for place in places), sum(place.under_way for place in places)
    return finished, under_way, len(places) - finished - under_way


def _choose_axis(axis: str, titles: dict[str, str]) -> None:
    st.session_state["tune-axis"] = axis
    st.selectbox(
        "Vary",
        list(titles),
        key="tune-axis",
        width=230,
        format_func=titles.__getitem__,
        on_change=_set_axis,
    )


def _set_axis() -> None:
    address.choose("axis", st.session_state["tune-axis"])
    address.choose("values", None)


def _choose_base(card: VictimCard, run: RunSummary | None, defense: Entry) -> RunSpec:
    options = [*([_THIS] if run is not None else []), *defense.presets]
    first = defense.first_preset
    chosen = address.choice("base", _THIS if run is not None else first, [_THIS, *defense.presets])
    chosen = chosen if chosen in options else first
    st.session_state["tune-base"] = chosen
    st.selectbox(
        "All other settings",
        options,
        key="tune-base",
        width=230,
        format_func=lambda name: "as in the run shown" if name == _THIS else f"preset {name}",
        on_change=lambda: address.choose("base", st.session_state["tune-base"]),
        help="What all runs of the curve have in common. SPC, where it is not varied, is that of the run shown.",
    )
    spc = min(run.spec.spc if run is not None else cache.FIRST_SPC, spc_offered(card))
    if chosen == _THIS and run is not None:
        of = run.spec
        return spec_with(card.name, card.architecture, of.preset, spc, of.config, of.precision, of.defense)
    config = defense.preset(chosen, is_transformer(card.architecture))
    return spec_with(card.name, card.architecture, chosen, spc, config, defense=defense.name)


def _choose_seeds() -> tuple[int, ...]:
    st.session_state["tune-seeds"] = address.choice("seeds", "0")
    text = st.text_input(
        "Seeds",
        key="tune-seeds",
        width=160,
        on_change=lambda: address.choose("seeds", st.session_state["tune-seeds"] or None),
        help="Such as 0-2, 7. A seed draws the clean images and the batches.",
    )
    try:
        return parse_seeds(text)
    except UserError as error:
        st.error(str(error))
        return ()


def _choose_values(axis: str, base: RunSpec, most_spc: int) -> list[float]:
    title, least, most, whole = _range(base.entry, axis, most_spc)
    proposed = PROPOSED_SPC if axis == SPC else base.entry.axes[axis]
    own = float(base.spc if axis == SPC else getattr(base.config, axis))
    asked = tune_choice.asked_values(least, most, whole)
    # By their text, because pills with equal text are one; the run's own value, perhaps with more digits, comes last.
    values = {plain(value): float(value) for value in (*proposed, *(asked or ())) if value <= most}
    too_small = own > 0 and plain(own) == "0"
    if not too_small:
        values[plain(own)] = own
    options = sorted(values.values())
    key = f"tune-values-{axis}"
    st.session_state[key] = options if asked is None else [values[plain(value)] for value in asked]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        chosen = st.pills(
            "Values",
            options,
            key=key,
            selection_mode="multi",
            width="content",
            format_func=plain,
            on_change=lambda: tune_choice.set_values(st.session_state[key]),
            help="Choose which values to lay out."
            if axis == SPC
            else f"{_setting(base.entry, axis).explanation} The run's or preset's own value is among them.",
        )
        more = f"tune-more-{axis}"

        def add() -> None:
            if not st.session_state[more].strip():
                return
            try:
                found = tune_choice.parse_values(st.session_state[more], title, least, most, whole)
                tune_choice.set_values([*chosen, *found])
                st.session_state[more] = ""
            except UserError as error:
                st.session_state[_PROBLEM] = str(error)

        kind = "Whole numbers" if whole else "Numbers"
        st.text_input(
            "Other values",
            key=more,
            width=160,
            placeholder="3, 7",
            on_change=add,
            help=f"{kind} from {least:g} to {most:g}, then Enter.",
        )
    if too_small:
        st.caption(f"The run's or preset's own value, {own:g}, needs more than {MOST_DECIMALS} digits after the point.")
    return sorted(chosen)


def _setting(defense: Entry, axis: str) -> Setting:
    return next(setting for setting in defense.config.settings() if setting.name == axis)


def _range(defense: Entry, axis: str, most_spc: int) -> tuple[str, float, float, bool]:
    """The setting's title, smallest and largest value, and whether it is a whole number."""
    if axis == SPC:
        return "SPC", 1, most_spc, True
    setting = _setting(defense, axis)
    return setting.title, setting.minimum, setting.maximum, setting.whole


def _laid_out(base: RunSpec, axis: str, values: Sequence[float], seeds: Sequence[int], polled: bool) -> None:
    if st.session_state.pop(_MOVED, False):
        st.rerun()
    places = lay_out(base, axis, values, seeds, _runs(base, cache.listing()))
    if polled != any(place.under_way for place in places):
        # Start or stop the periodic check.
        st.rerun()
    finished = [place for place in places if place.finished]
    _, under_way, missing = _numbers(places)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Start the missing run" if missing == 1 else f"Start the {missing} missing runs",
            icon=":material/play_arrow:",
            # The same button whatever it says: otherwise the one before may stay beside it.
            key="tune/start-missing",
            type="primary" if missing else "secondary",
            disabled=not missing,
            on_click=_start,
            args=(base, axis, values, seeds),
            help="They run in the background to their end, as if started on Defend; you can leave this page.",
        )
        st.caption(f"{len(finished)} of {len(places)} runs finished, {under_way} under way, {missing} missing.")
    for words in [st.session_state.pop(_PROBLEM, None), cache.executor().problem if under_way else None]:
        if words is not None:
            st.warning(words)
    if finished:
        _curve(axis, values, finished)
    with st.expander("The runs", expanded=not finished):
        st.dataframe(_table(places, axis_titles(base.entry)[axis]), hide_index=True, width="stretch")


def _curve(axis: str, values: Sequence[float], finished: Sequence[Place]) -> None:
    def clicked() -> None:
        picked = st.session_state["tune-sweep"]["selection"]["points"]
        if picked and picked[0].get("customdata"):
            address.set_run(str(picked[0]["customdata"][0]))
            st.session_state[_MOVED] = True

    chart(
        sweep_figure(finished, values, axis, current_theme()),
        "tune-sweep",
        f"ACC, ASR and RA of the views against {_axis_title(finished, axis)}",
        lambda: sweep_figure(finished, values, axis, "paper"),
        on_select=clicked,
        selection_mode="points",
    )
    first = finished[0].run
    assert first is not None
    assert first.result is not None
    original = first.result.views.original
    st.caption(
        f"{measured_on(original)}. Lines: mean over the seeds; bars: one standard deviation. Click a run to open it."
    )


def _axis_title(places: Sequence[Place], axis: str) -> str:
    entry = next(place.run.spec.entry for place in places if place.run is not None)
    return axis_titles(entry)[axis]


def _table(places: Sequence[Place], title: str) -> pd.DataFrame:
    rows = []
    for place in places:
        run = place.run
        state = "missing" if run is None else f"{STATE_WORDS[run.state]}, {run.round} rounds"
        row: dict[str, object] = {title: plain(place.value), "seed": place.seed, "state": state}
        pruned = run.result.views.defended if run is not None and run.result is not None else None
        for name in MEASURE_TITLES:
            value = getattr(pruned, name) if pruned is not None else None
            row[f"pruned {name.upper()}"] = "" if value is None else f"{100 * value:.1f} %"
        rows.append({**row, "run": "" if run is None else run.name or run.id})
    return pd.DataFrame(rows)


def _runs(base: RunSpec, listing: Listing) -> list[RunSummary]:
    """The runs of the same victim, without those of another network that had its name."""
    return staleness.of_todays_victim(listing.runs, base.victim, settings.runs_folder())


def _may_go_on(run: RunSummary) -> bool:
    return steering.refusal(run.id) is None


def _start(base: RunSpec, axis: str, values: Sequence[float], seeds: Sequence[int]) -> None:
    """Create missing runs and continue paused ones. The runs are read again, as another user may have acted."""
    executor = cache.executor()
    try:
        places = lay_out(base, axis, values, seeds, _runs(base, cache.store().listing()))
        threads = settings.threads(max(1, sum(place.run is None for place in places)))
        for place in places:
            if place.run is None:
                spec = replace(base, spc=place.spc, seed=place.config.seed, config=place.config, threads=threads)
                executor.go_on(steering.create(spec))
            elif place.run.state is not RunState.FINISHED and not place.under_way and _may_go_on(place.run):
                executor.go_on(place.run.id)
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)
    except OSError as error:
        st.session_state[_PROBLEM] = f"{cannot_be_used(error)} Start the rest again later."
    cache.forget_listing()
