"""Where the reader is in a lesson: in the address, so that a refresh, a link and a second screen show the same step."""

import re
from dataclasses import dataclass

import streamlit as st

from invmask.runs.store.records import RunSummary
from invmask.ui.lesson.content import Lesson, Step, lessons
from invmask.ui.lesson.situation import Situation, built_in_run, situation
from invmask.ui.shell import address, cache

LESSON, STEP, ANSWERS = "lesson", "lesson_step", "lesson_answers"
_GO, _OWN, _IN_LESSON = "lesson/go", "lesson/own", "lesson/in"
_ANSWER = re.compile(r"(\d{1,2})-(\d{1,2})", re.ASCII)


@dataclass(frozen=True)
class Place:
    """A lesson, and the number of the reader's step, from 1."""

    lesson: Lesson
    number: int

    @property
    def step(self) -> Step:
        return self.lesson.steps[self.number - 1]


def place() -> Place | None:
    """The reader's place; None outside lessons. Wrong names and numbers leave the address, with a message."""
    asked, number = address.everywhere(LESSON), address.everywhere(STEP)
    st.session_state[_IN_LESSON] = asked in lessons()
    lesson = None if asked is None else lessons().get(asked)
    if lesson is None:
        if asked is not None:
            address.leave_out(LESSON, f"there are the lessons {' and '.join(lessons())}", told=True)
        if number is not None or address.everywhere(ANSWERS) is not None:
            address.choose_everywhere({STEP: None, ANSWERS: None})
        return None
    last = len(lesson.steps)
    if number is not None and not (address.is_number(number) and 1 <= int(number) <= last):
        address.leave_out(STEP, f"the lesson has steps 1 to {last}", told=True)
        number = None
    return Place(lesson, int(number or 1))


def in_lesson() -> bool:
    """Whether the reader is in a lesson, also before the address has been read."""
    return LESSON in st.query_params or st.session_state.get(_IN_LESSON, False)


def answers() -> dict[int, int]:
    """The chosen option of each answered step, by the step's number."""
    text = address.everywhere(ANSWERS) or ""
    parts = [_ANSWER.fullmatch(part) for part in text.split(".") if part]
    return {int(part[1]): int(part[2]) for part in parts if part is not None}


def answer(number: int, option: int) -> None:
    """Remember the answer to a step's question. Best called in a widget's callback."""
    known = {**answers(), number: option}
    address.choose_everywhere({ANSWERS: ".".join(f"{step}-{chosen}" for step, chosen in sorted(known.items()))})


def begin(lesson: Lesson) -> None:
    """Begin a lesson, without answers. Best called in a widget's callback."""
    address.choose_everywhere({ANSWERS: None})
    st.session_state.pop(_OWN, None)
    go(Place(lesson, 1))


def leave() -> None:
    """End the lesson; the page stays as it is. Best called in a widget's callback."""
    address.choose_everywhere({LESSON: None, STEP: None, ANSWERS: None})


def go(target: Place) -> None:
    """Go to a step: its page, victim and run. Best called in a widget's callback; `asked_page` then says the page."""
    address.choose_everywhere({LESSON: target.lesson.name, STEP: str(target.number)})
    step, victim = target.step, target.lesson.victim_of(target.step)
    if victim in cache.victim_cards():
        address.set_victim(victim)
        if step.run == "built-in":
            address.set_run(built_in_run(victim))
        elif step.run == "own":
            run = own_run(victim, step)
            # The first stage begins a run of one's own.
            first = step.stage is not None and (step.spc is not None or step.stage == _first_stage(target.lesson))
            address.set_run(run if run is not None or first else built_in_run(victim))
        _show_round_before(target)
    for word, value in step.link.items():
        address.choose(word, value, step.page)
    st.session_state[_GO] = step.page


def asked_page(shown: str) -> str | None:
    """The title of the page that `go` leads to, until it is shown; None if there is none.

    Args:
        shown: the title of the page shown.
    """
    # The wish is kept until then: a rerun may end the one that has begun to go there.
    if st.session_state.get(_GO) == shown:
        del st.session_state[_GO]
    return st.session_state.get(_GO)


def own_run(victim: str, step: Step) -> str | None:
    """The run that the learner has taken for such steps in this session, if it still exists."""
    run = st.session_state.get(_OWN, {}).get((victim, step.spc))
    return run if run is not None and cache.run_victim(run) == victim else None


def keep_own(run: RunSummary, step: Step) -> None:
    """Remember the run as the learner's own, for later steps."""
    st.session_state.setdefault(_OWN, {})[run.spec.victim, step.spc] = run.id


def round_before(here: Situation) -> int | None:
    """The round before the step's stage, if the stage is over already; None otherwise."""
    stage = here.step.stage
    found = here.of_stage(stage) if stage is not None else []
    return found[0].record.round - 1 if found and here.stage_is_over(stage or "") else None


def round_after(here: Situation) -> int | None:
    """The last round of the step's stage, if the stage is over already; None otherwise."""
    stage = here.step.stage
    found = here.of_stage(stage) if stage is not None else []
    return found[-1].record.round if found and here.stage_is_over(stage or "") else None


def show_round(number: int | None) -> None:
    """Show a round on Defend; None for the latest. Best called in a widget's callback."""
    address.choose("round", None if number is None else str(number), "Defend")


def _show_round_before(target: Place) -> None:
    """A stage that is over already is shown from its beginning, so that there is something to predict."""
    here = situation(target.lesson, target.step)
    show_round(None if here is None else round_before(here))


def _first_stage(lesson: Lesson) -> str | None:
    return next((step.stage for step in lesson.steps if step.stage is not None), None)
