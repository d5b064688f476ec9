"""A learner takes the 15-minute lesson from first to last step: a run of their own decides the answers."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.built_in import add_built_in
from invmask.runs.store.run import Run
from invmask.ui.lesson.content import lessons
from tests.browser.dashboard import Dashboard
from tests.browser.pages import heading, query, settled, wait_until

pytestmark = pytest.mark.browser

LESSON = lessons()["short"]
FASHION = LESSON.victim
RUN_SECONDS = 240
"""A stage takes a few seconds, and far longer on a machine that does other work."""


def panel(page: Page) -> Locator:
    return page.locator(".st-key-lesson-panel")


def choose(page: Page, answer: str) -> None:
    """Choose an answer to the question, from the list or the menu."""
    if panel(page).get_by_role("combobox").count():
        panel(page).get_by_role("combobox").click()
        page.get_by_role("option", name=answer, exact=True).click()
    else:
        panel(page).get_by_text(answer, exact=True).click()


def told(page: Page, words: str | re.Pattern[str], seconds: float = 60) -> None:
    expect(panel(page).locator(".st-key-lesson-told")).to_contain_text(words, timeout=1000 * seconds)


def come_to(page: Page, number: int, title: str | re.Pattern[str]) -> None:
    """Wait for a step, and for the page that it leads to."""
    expect(panel(page).get_by_text(f"Step {number} of {len(LESSON.steps)}")).to_be_visible()
    expect(panel(page).get_by_role("heading", name=LESSON.steps[number - 1].title)).to_be_visible()
    expect(heading(page, title).first).to_be_visible()
    settled(page)


def go_on(page: Page) -> None:
    _press(page, "Next", "lesson-head-Next")


def _press(page: Page, what: str, key: str) -> None:
    """Press an arrow once; the step has to change."""
    step = query(page)["lesson_step"]
    panel(page).locator(f".st-key-{key} button:visible").click()
    wait_until(page, f"{what} leads to another step", lambda: query(page).get("lesson_step") != step, 60)


def own_run(page: Page, served: Dashboard) -> Run:
    return RunStore(served.home / "runs").run(query(page)["run"])


def percent(share: float | None) -> str:
    assert share is not None
    return f"{100 * share:.1f}\u00a0%"


def test_the_15_minutes_from_first_to_last(page: Page, served: Dashboard):
    add_built_in(served.home / "runs")
    page.goto(f"{served.url}/lesson?victim={FASHION}")
    expect(heading(page, "Lesson")).to_be_visible()
    page.get_by_role("button", name="Begin").first.click()

    come_to(page, 1, "A backdoor")
    choose(page, "Fewer than 10")
    told(page, "It is: More than 90.")
    go_on(page)

    come_to(page, 2, "Neurons")
    choose(page, "Mostly in the second half of the layers")
    told(page, "Right.")
    go_on(page)

    come_to(page, 3, "A mask by hand")
    _drag_the_mask(page)
    choose(page, "Still over 80 %")
    told(page, "Right.")
    go_on(page)

    come_to(page, 4, "Defend")
    assert "run" not in query(page)
    choose(page, "dress")
    expect(panel(page).get_by_text("The run decides.")).to_be_visible()
    _take_stage(page, "Run the search", "Your run found")
    run = own_run(page, served)
    notes = run.entries()[-1].record.notes
    # It paused at the end of the stage.
    assert {entry.record.stage for entry in run.entries()} == {"search"}
    told(page, "It is: T-shirt.")
    told(page, f"{notes['lead']:.1f} nats")
    go_on(page)

    come_to(page, 5, "Defend")
    choose(page, "Under 10 %")
    _take_stage(page, "Run: minimise", "after round")
    told(page, percent(run.entries()[-1].views.defended.asr))
    assert run.entries()[-1].record.stage == "minimise"
    go_on(page)

    come_to(page, 6, "Defend")
    choose(page, "Under 50 %")
    _take_stage(page, "Run: sparsify", "At the end ACC")
    inverse = run.entries()[-1].views.inverse
    told(page, percent(None if inverse is None else inverse.acc))
    wait_until(page, "the run has its result", lambda: run.result() is not None, 60)
    go_on(page)

    come_to(page, 7, "Flip")
    page.get_by_role("radio", name="Inverse").click()
    wait_until(page, "the view is in the address", lambda: query(page).get("view") == "inverse", 30)
    choose(page, "Over 75 %")
    result = run.result()
    assert result is not None
    told(page, percent(result.views.defended.ra))
    go_on(page)

    come_to(page, 8, "Neurons")
    assert query(page)["run"] == run.id
    choose(page, "2 to 5")
    told(page, "on this slider: ASR falls from")
    go_on(page)

    come_to(page, 9, "Defend")
    clean = LESSON.victim_of(LESSON.steps[8])
    wait_until(page, "the clean control is the victim", lambda: query(page)["victim"] == clean, 60)
    choose(page, "Likely backdoored")
    told(page, "It is: ")

    # Nothing is lost by a reload, and the way back is open.
    answers = query(page)["lesson_answers"]
    assert [part.split("-")[0] for part in answers.split(".")] == [str(step) for step in range(1, 10)]
    page.reload()
    come_to(page, 9, "Defend")
    told(page, "It is: ")
    _press(page, "Back", "lesson-head-Back")
    come_to(page, 8, "Neurons")
    wait_until(page, "the lesson's victim is back", lambda: query(page)["victim"] == FASHION, 60)


def _take_stage(page: Page, button: str, words: str) -> None:
    """Press the button of a stage once, and wait for what the run decides."""
    stage = panel(page).get_by_role("button", name=button, exact=True)
    stage.click()
    expect(stage).to_have_count(0)
    told(page, words, RUN_SECONDS)


def _drag_the_mask(page: Page) -> None:
    piece = page.get_by_test_id("stBidiComponentRegular").filter(has_text="This mask is given to")
    if not piece.count():
        piece = page.locator("body")
    mask, selection = piece.get_by_label("mask a"), piece.get_by_label("selection s")
    for slider in (mask, selection):
        expect(slider).to_be_enabled()
        slider.focus()
        slider.press("Home")
    cards: Callable[[str], Locator] = lambda name: piece.get_by_role("figure").filter(has_text=name)  # noqa: E731
    expect(cards("Pruned: m = 0.00")).to_be_visible()
    expect(cards("Inverse: m\u0304 = 1.00")).to_be_visible()
    expect(piece.get_by_text("= 1.00 = 1 + s")).to_be_visible()
    piece.get_by_label("the first 10 channels by score").check()
    expect(cards("Pruned: m = 0.00")).to_contain_text(re.compile(r"ASR\s*\d\.\d %"))
    expect(cards("Inverse: m\u0304 = 1.00")).to_contain_text("ASR100.0 %")
