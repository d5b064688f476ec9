"""A presenter and two who follow, in a real Chromium: they see page, run, round and view change, and cannot steer."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from invmask.runs.store import presentation
from invmask.runs.store.all_runs import RunStore
from tests.browser.dashboard import Dashboard
from tests.browser.pages import go_to, heading, press, query, round_shown, settled, state_line, wait_until

VICTIM = "fashionmnist-cnn4-badnets"
FOLLOWS = "You follow a presenter."

pytestmark = pytest.mark.browser


def view(page: Page, name: str) -> None:
    """Wait until Flip shows a view."""
    expect(page.get_by_role("radio", name=name)).to_be_checked()


def test_two_readers_follow_a_presenter_and_cannot_steer(served: Dashboard, new_reader: Callable[[], Page]):
    teacher, first, second = new_reader(), new_reader(), new_reader()
    teacher.goto(f"{served.url}/defend?victim={VICTIM}&spc=2")
    expect(heading(teacher, "Defend")).to_be_visible()
    press(teacher, "Class link")
    form = teacher.get_by_role("dialog")
    form.get_by_text("Follows what I look at").click()
    press(teacher, "Begin")
    code = form.get_by_test_id("stCode").locator("code")
    expect(code).to_contain_text("/?live=")
    expect(form.get_by_role("img").first).to_be_visible()
    link = code.inner_text()
    teacher.keyboard.press("Escape")

    for pupil in (first, second):
        pupil.goto(link)
        expect(pupil.get_by_text(FOLLOWS)).to_be_visible()
        expect(heading(pupil, "Defend")).to_be_visible()
        for button in ("Step", "Run", "Class link"):
            expect(pupil.get_by_role("button", name=button, exact=True)).to_have_count(0)
        expect(pupil.get_by_role("navigation", name="App pages")).to_have_count(0)

    # A run, round by round.
    press(teacher, "Step")
    expect(state_line(teacher)).to_contain_text("paused")
    press(teacher, "Step")
    (run,) = RunStore(served.home / "runs").runs()
    wait_until(teacher, "another round is taken", lambda: round_shown(teacher) > 1 and not run.has_work(), 60)
    last = round_shown(teacher)
    for pupil in (first, second):
        expect(heading(pupil, f"The views, round {last}")).to_be_visible()
        wait_until(pupil, "the run is in the address", lambda pupil=pupil: query(pupil).get("run") == run.id, 60)
    teacher.locator(".st-key-defend-chevron_left button:visible").click()
    for pupil in (first, second):
        expect(heading(pupil, f"The views, round {last - 1}")).to_be_visible()

    # Another page, and another view of it.
    go_to(teacher, "Flip")
    expect(heading(teacher, "Flip the mask")).to_be_visible()
    settled(teacher)
    teacher.get_by_role("radio", name="Inverse").click()
    for pupil in (first, second):
        expect(heading(pupil, "Flip the mask")).to_be_visible()
        view(pupil, "Inverse")

    # What a reader presses there is taken back, and nobody else sees it.
    settled(first)
    first.get_by_role("radio", name="Inverse").focus()
    first.keyboard.press("ArrowLeft")
    view(first, "Inverse")
    view(second, "Inverse")
    name = link.partition("live=")[2]
    held = presentation.read(served.home, name)
    assert held is not None
    assert (held.shown.page, held.shown.query["view"]) == ("Flip", "inverse")

    # The presenter reloads and goes on; one reader looks around alone.
    press(second, "Look around on your own")
    expect(second.get_by_text(FOLLOWS)).to_have_count(0)
    expect(second.get_by_role("navigation", name="App pages")).to_be_visible()
    teacher.reload()
    expect(teacher.get_by_role("button", name=re.compile("Your class follows you"))).to_be_visible()
    settled(teacher)
    teacher.get_by_role("radio", name="Pruned").click()
    view(first, "Pruned")
    view(second, "Inverse")

    # The end of it is told.
    press(teacher, "Your class follows you")
    press(teacher, "End it")
    expect(first.get_by_text("this presentation has ended")).to_be_visible()
    expect(heading(first, "Flip the mask")).to_be_visible()
