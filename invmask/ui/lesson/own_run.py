"""The button of a lesson that runs one stage of the learner's own run, or the whole of it."""

import streamlit as st

from invmask.defenses import registry
from invmask.errors import UserError, cannot_be_used
from invmask.models import is_transformer
from invmask.runs.store.records import RunState
from invmask.runs.work.bench import spec_with
from invmask.ui.defend.state_line import UNDER_WAY
from invmask.ui.lesson import progress
from invmask.ui.lesson.content import ALL_STAGES
from invmask.ui.lesson.situation import Situation, built_in_run
from invmask.ui.shell import address, cache, steering

_PROBLEM = "lesson/problem"


def show(here: Situation) -> None:
    """Draw the buttons of a step in which a stage is run."""
    step, run = here.step, here.run
    if step.stage is None:
        return
    if here.stage_is_over(step.stage):
        if step.stage != ALL_STAGES:
            _look_at_the_end(here)
    else:
        under_way = run is not None and run.state in UNDER_WAY
        st.button(
            "Running …" if under_way else _label(here),
            key="lesson/run",
            type="primary",
            icon=":material/play_arrow:",
            disabled=under_way or (run is not None and run.state is RunState.FAILED),
            on_click=_run,
            args=(here,),
            width="stretch",
        )
        finished = built_in_run(here.card.name)
        if finished is not None and step.spc is None:
            st.button(
                "Take the finished run instead",
                key="lesson/finished",
                type="tertiary",
                on_click=_take,
                args=(here, finished),
                help="It comes with invmask, with the same settings. Nobody has to wait.",
            )
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem)


def _label(here: Situation) -> str:
    if here.step.stage == ALL_STAGES:
        return f"Run with SPC {here.spc}"
    stages = registry.entry(registry.DEFAULT).stages
    stage = here.step.stage if here.run is None else here.run.stage
    title = next((each.title for each in stages if each.name == stage), stage or "").lower()
    return f"Run the {title}" if title == "search" else f"Run: {title}"


def _look_at_the_end(here: Situation) -> None:
    after = progress.round_after(here)
    shown = address.number("round")
    if after is None or shown is None or shown == after:
        return
    st.button(
        f"Show the end of the stage, round {after:,}",
        key="lesson/end",
        icon=":material/last_page:",
        on_click=progress.show_round,
        args=(after,),
        width="stretch",
    )


def _take(here: Situation, run: str) -> None:
    address.set_run(run)
    progress.keep_own(cache.summary(run), here.step)
    progress.go(progress.Place(here.lesson, here.lesson.steps.index(here.step) + 1))


def _run(here: Situation) -> None:
    """Take the rounds of the run's present stage, or all of them; begin a run if there is none."""
    try:
        executor, run = cache.executor(), None if here.run is None else here.run.id
        # Somebody else's run is not to be steered from here.
        if run is not None and steering.refusal(run) is not None:
            run = None
        if run is None:
            entry, transformer = registry.entry(registry.DEFAULT), is_transformer(here.card.architecture)
            config = entry.preset(entry.first_preset, transformer)
            spec = spec_with(here.card.name, here.card.architecture, entry.first_preset, here.spc, config)
            run = steering.create(spec)
            cache.forget_listing()
            address.set_run(run)
        found = cache.summary(run)
        progress.keep_own(found, here.step)
        progress.show_round(None)
        if here.step.stage == ALL_STAGES:
            executor.go_on(run)
        else:
            stage = found.stage if found.round else _first_with_rounds(found.spec.config)
            executor.advance(run, max(1, found.spec.config.rounds(stage)), stage)
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)
    except OSError as error:
        st.session_state[_PROBLEM] = f"{cannot_be_used(error)} Nothing was lost; try again."


def _first_with_rounds(config: object) -> str:
    stages = registry.entry(registry.DEFAULT).stages
    return next(stage.name for stage in stages if config.rounds(stage.name))  # type: ignore[attr-defined]
