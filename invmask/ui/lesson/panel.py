"""The lesson's panel beside every page: what this step says, what to do, its question, and the way on."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from invmask.errors import UserError
from invmask.ui.defend.state_line import UNDER_WAY
from invmask.ui.lesson import own_run, progress
from invmask.ui.lesson.content import right_option
from invmask.ui.lesson.facts import Fact, fact_of
from invmask.ui.lesson.panel_style import PANEL, STYLE, steps_bar
from invmask.ui.lesson.progress import ANSWERS, LESSON, STEP, Place
from invmask.ui.lesson.situation import Situation, situation
from invmask.ui.shell import address, crowd, navigation
from invmask.ui.shell.address_words import HIDE
from invmask.ui.shell.names import plain

LOOK_SECONDS = 1.0
MOST_LISTED = 5
_FOLDED = "lesson/folded"


def show(page: str) -> None:
    """Draw the panel if the address holds a lesson; first go to another page if the reader has asked for a step there.

    No control of the panel is in a fragment. A click there would wait until the page beside it is drawn, and by then
    the fragment may be gone: Streamlit then calls the button's callback, but draws nothing.

    Args:
        page: the title of the page shown.
    """
    asked = progress.asked_page(page)
    if asked is not None:
        st.switch_page(navigation.script_of(asked))
    here = progress.place()
    if here is None:
        return
    found = situation(here.lesson, here.step)
    with st.container(key=PANEL):
        st.html(STYLE)
        _head(here)
        if not st.session_state.get(_FOLDED):
            # The foot stays the same element, however much the body has.
            body, foot = st.container(), st.container()
            with body:
                _step(here, found, page)
            with foot:
                _foot(here, page)
        if found is not None and _under_way(found):
            st.fragment(_watch, run_every=crowd.slowed(LOOK_SECONDS))(here, _what_decides(found))


def _under_way(found: Situation) -> bool:
    return found.run is not None and found.run.state in UNDER_WAY


def _what_decides(found: Situation) -> tuple[bool, bool]:
    """Whether the run goes on, and whether the step's stage is over: what the panel waits for."""
    stage = found.step.stage
    return _under_way(found), stage is not None and found.stage_is_over(stage)


def _watch(here: Place, drawn: tuple[bool, bool]) -> None:
    """Draw the page anew as soon as what the panel waits for has happened."""
    found = situation(here.lesson, here.step)
    if found is None or _what_decides(found) != drawn:
        st.rerun()


def _step(here: Place, found: Situation | None, page: str) -> None:
    if found is None:
        st.warning(f"The victim of this step, '{here.lesson.victim_of(here.step)}', is not on this machine.")
        return
    try:
        _body(here, found, page)
    except UserError as error:
        st.error(str(error))


def _head(here: Place) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(steps_bar(here.number, [step.title for step in here.lesson.steps], set(progress.answers())))
        _move("arrow_back", "Back", here.number - 1, here)
        _move("arrow_forward", "Next", here.number + 1, here)
        folded = bool(st.session_state.get(_FOLDED))
        st.button(
            "Show the step" if folded else "Hide the step",
            key="lesson/fold",
            icon=f":material/{'unfold_more' if folded else 'unfold_less'}:",
            help=None if folded else "For more room",
            type="tertiary",
            on_click=lambda: st.session_state.update({_FOLDED: not folded}),
        )


def _move(icon: str, word: str, number: int, here: Place) -> None:
    there = 1 <= number <= len(here.lesson.steps)
    st.button(
        word,
        key=f"lesson/head/{word}",
        icon=f":material/{icon}:",
        type="tertiary",
        disabled=not there,
        help=f"{word}: {here.lesson.steps[number - 1].title}" if there else None,
        on_click=progress.go,
        args=(Place(here.lesson, number),),
    )


def _body(here: Place, found: Situation, page: str) -> None:
    step, words = here.step, _escaped(found.words())
    st.subheader(step.title, anchor=False)
    st.write(step.text.format(**words))
    if not _is_here(found, page):
        st.button(
            f"Go to {step.page} for this step",
            key="lesson/there",
            type="primary",
            icon=":material/arrow_forward:",
            on_click=progress.go,
            args=(here,),
            width="stretch",
        )
        return
    if found.run is not None and step.run == "own":
        progress.keep_own(found.run, step)
    st.markdown(f":material/touch_app: **Do.** {step.do.format(**words)}")
    _question(here, found, words)


def _is_here(found: Situation, page: str) -> bool:
    """Whether the reader sees what the step is about: its page, its victim, and a run."""
    if page != found.step.page or address.current_victim() != found.card.name:
        return False
    return found.run is not None or found.step.run == "any" or found.step.stage is not None


def _question(here: Place, found: Situation, words: Mapping[str, str]) -> None:
    step, fact = here.step, fact_of(found)
    options = step.options_for(found.card.dataset_info.classes)
    chosen = progress.answers().get(here.number)
    chosen = chosen if chosen is not None and chosen < len(options) else None
    st.markdown(f":material/help: **{step.ask.format(**words)}**")
    if chosen is None or fact is None:
        _choose(here, found, [option.text for option in options], chosen)
    else:
        st.markdown(f"You said: {plain(options[chosen].text)}.")
    own_run.show(found)
    if chosen is None:
        return
    if fact is None:
        st.caption(f"You say: **{plain(options[chosen].text)}**. The run decides.")
        return
    right = right_option(options, fact.value)
    _told(here, fact, words, chosen == right, options[right].text)


def _choose(here: Place, found: Situation, options: Sequence[str], chosen: int | None) -> None:
    """Draw the options, few as a list and many as a menu."""
    # The key does not change with the answer: for a moment Streamlit would draw both, and move what is below.
    key = f"lesson/answer/{here.lesson.name}/{here.number}"
    st.session_state[key] = chosen

    def answered() -> None:
        if st.session_state[key] is not None:
            progress.answer(here.number, st.session_state[key])

    given: dict[str, Any] = {"key": key, "on_change": answered, "label_visibility": "collapsed"}
    ask = found.step.ask.format(**found.words())
    if len(options) > MOST_LISTED:
        st.selectbox(
            ask, list(range(len(options))), format_func=lambda at: options[int(at)], placeholder="Choose", **given
        )
    else:
        st.radio(ask, list(range(len(options))), format_func=lambda at: plain(options[int(at)]), **given)


def _told(here: Place, fact: Fact, words: Mapping[str, str], right: bool, answer: str) -> None:
    told = here.step.told.format(**{**words, **_escaped(fact.words)})
    with st.container(key="lesson-told", gap="small"):
        verdict = ":material/check: **Right.**" if right else f":material/close: **It is: {plain(answer)}.**"
        st.markdown(f"{verdict} {told}")
        st.markdown(f":material/visibility: {here.step.notice.format(**words)}")


def _foot(here: Place, page: str) -> None:
    last = here.number == len(here.lesson.steps)
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Back",
            key="lesson/back",
            disabled=here.number == 1,
            on_click=progress.go,
            args=(Place(here.lesson, here.number - 1),),
        )
        if last:
            st.button("End the lesson", key="lesson/done", type="primary", on_click=progress.leave)
        else:
            st.button(
                "Next",
                key="lesson/next",
                type="primary" if here.number in progress.answers() else "secondary",
                on_click=progress.go,
                args=(Place(here.lesson, here.number + 1),),
            )
    with st.container(horizontal=True, gap="small", key="lesson-less"):
        with st.popover("Link to this step", type="tertiary", key="lesson/link", on_change="rerun"):
            st.write("Whoever opens this link on the same server sees this step, without your answers.")
            st.code(_link(here, page), language=None, wrap_lines=True)
        if not last:
            st.button("Leave the lesson", key="lesson/leave", type="tertiary", on_click=progress.leave)


def _link(here: Place, page: str) -> str:
    base = (st.context.url or "").split("?")[0]
    path, shown = navigation.path_of(here.step.page), navigation.path_of(page)
    root = base.removesuffix(shown).rstrip("/") + "/"
    query = {name: value for name, value in st.query_params.to_dict().items() if name in ("victim", "run", HIDE)}
    query = {"victim": here.lesson.victim_of(here.step), **query, LESSON: here.lesson.name, STEP: str(here.number)}
    query.pop(ANSWERS, None)
    return f"{root}{path}?{urlencode(query)}"


def _escaped(words: Mapping[str, str]) -> dict[str, str]:
    return {name: plain(text.replace(" %", "\u00a0%")) for name, text in words.items()}
