"""The words are explained in one place, and the manual's pages for a class agree with it and with the lessons."""

import re

import pytest

from invmask import glossary
from invmask.figures.measures import MEASURE_TITLES
from invmask.glossary import GLOSSARY
from invmask.ui.lesson.content import lessons
from invmask.ui.shell.names import MEASURE_HELP
from tests.unit.run_helpers import ROOT

TEACHING = (ROOT / "docs" / "teaching.md").read_text()


def test_the_manual_has_the_glossary():
    made = (ROOT / "docs" / "glossary.md").read_text()
    assert made == glossary.as_markdown(), "run python -m invmask.glossary > docs/glossary.md"


def test_titles_are_unique_and_texts_are_sentences():
    titles = [term.title for term in GLOSSARY.values()]
    assert len(set(titles)) == len(titles)
    for term in GLOSSARY.values():
        assert term.text.endswith(".")
        assert "*" not in term.text


def test_hints_are_those_of_the_glossary():
    assert list(MEASURE_TITLES) == list(MEASURE_HELP) == ["acc", "asr", "ra"]
    assert glossary.hint("acc", "ra") == (
        f"**ACC, clean accuracy**: {MEASURE_HELP['acc']}\n\n**RA, recovery accuracy**: {MEASURE_HELP['ra']}"
    )


@pytest.mark.parametrize("name", ["short", "long"])
def test_the_notes_for_teachers_have_the_steps_of_the_lesson(name: str):
    lesson = lessons()[name]
    section = TEACHING.partition(f"## {lesson.title}")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+)\. (.+?) \| (\w+) \| (\d+) \|", section, re.MULTILINE)
    steps = [(str(at), step.title, step.page, str(step.minutes)) for at, step in enumerate(lesson.steps, 1)]
    assert rows == steps
    assert sum(step.minutes for step in lesson.steps) <= lesson.minutes
