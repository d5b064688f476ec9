"""The lessons to choose from, on the page Lesson."""

import streamlit as st

from invmask.ui.lesson import progress
from invmask.ui.lesson.content import Lesson, lessons
from invmask.ui.shell import cache


def show() -> None:
    """Draw a card for each lesson."""
    st.write(
        "A lesson leads over the pages of this dashboard: read, do one thing, predict, and let your own run decide. "
        "The lesson stays beside each page, and its place is in the address."
    )
    columns = st.columns(len(lessons()), gap="small")
    for column, lesson in zip(columns, lessons().values(), strict=True):
        with column.container(border=True, height="stretch"):
            _card(lesson)


def _card(lesson: Lesson) -> None:
    st.markdown(f"**{lesson.title}**  \n{lesson.about} {len(lesson.steps)} steps.")
    missing = [name for name in {lesson.victim_of(step) for step in lesson.steps} if name not in cache.victim_cards()]
    st.button(
        "Begin",
        key=f"lesson/begin/{lesson.name}",
        type="primary",
        icon=":material/school:",
        disabled=lesson.victim in missing,
        on_click=progress.begin,
        args=(lesson,),
    )
    if missing:
        st.caption(f"Not on this machine: {', '.join(sorted(missing))}.")
    with st.expander("The steps"):
        st.markdown("\n".join(f"1. {step.title}" for step in lesson.steps))
