"""A class in a real Chromium: a teacher's link hides what it should, and pupils watch a run that they cannot steer."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from invmask.runs.store import files
from invmask.runs.store.all_runs import RunStore
from tests.browser.dashboard import Dashboard
from tests.browser.pages import go_to, heading, press, query, settled, state_line, wait_until

VICTIM = "fashionmnist-cnn4-badnets"
NOT_YOURS = "This run belongs to somebody else."

pytestmark = pytest.mark.browser


def menu(page: Page) -> list[str]:
    """The pages' names; an icon's name may stand before each."""
    links = page.get_by_role("navigation", name="App pages").get_by_role("link").all_inner_texts()
    return [text.split()[-1] for text in links]


def choose(page: Page, label: str, *options: str) -> None:
    """Choose in a field of several choices."""
    field = page.get_by_role("combobox", name=re.compile(label))
    for option in options:
        field.fill(option)
        page.get_by_role("option", name=option, exact=True).click()


def test_a_teachers_link_hides_what_it_should_and_pupils_cannot_steer(
    served: Dashboard, new_reader: Callable[[], Page]
):
    teacher = new_reader()
    teacher.goto(f"{served.url}/defend?victim={VICTIM}&spc=2")
    expect(heading(teacher, "Defend")).to_be_visible()
    press(teacher, "Step")
    expect(state_line(teacher)).to_contain_text("paused")
    (run,) = RunStore(served.home / "runs").runs()
    cookies = {cookie["name"]: cookie["value"] for cookie in teacher.context.cookies()}
    assert cookies["invmask-key"] not in (run.path / files.OWNER).read_text()

    # The form makes the link.
    press(teacher, "Class link")
    form = teacher.get_by_role("dialog")
    expect(form.get_by_role("img", name=re.compile("")).first).to_be_visible()
    choose(teacher, "Hides the pages", "Tune", "Results")
    teacher.keyboard.press("Tab")
    choose(teacher, "Hides the controls", "SPC")
    teacher.keyboard.press("Tab")
    expect(form.get_by_test_id("stCode").locator("code")).to_contain_text("hide=pages:tune,results;controls:spc")
    link = form.get_by_test_id("stCode").locator("code").inner_text()
    assert f"run={run.id}" in link

    # A pupil opens it.
    pupil = new_reader()
    pupil.goto(link)
    expect(heading(pupil, "Defend")).to_be_visible()
    expect(pupil.get_by_text(NOT_YOURS)).to_be_visible()
    assert menu(pupil) == [title for title in menu(teacher) if title not in ("Tune", "Results")]
    expect(pupil.get_by_role("slider", name=re.compile("^SPC"))).to_have_count(0)
    expect(pupil.get_by_role("spinbutton", name=re.compile("^Seed"))).to_be_visible()
    for button in ("Step", "Run", "Pause", "Stop", "Reset", "Class link"):
        expect(pupil.get_by_role("button", name=button, exact=True)).to_have_count(0)

    # The list stays with the reader, from page to page and over a reload; a hidden page says so.
    go_to(pupil, "Flip")
    expect(heading(pupil, "Flip the mask")).to_be_visible()
    settled(pupil)
    assert query(pupil)["hide"] == "pages:tune,results;controls:spc"
    pupil.goto(f"{served.url}/tune?hide=pages:tune")
    expect(pupil.get_by_text("hides the page Tune")).to_be_visible()

    # The teacher goes on, also after a reload, and the pupil sees it live.
    pupil.goto(link)
    expect(pupil.get_by_text(NOT_YOURS)).to_be_visible()
    teacher.reload()
    press(teacher, "Step")
    expect(heading(pupil, "The views, round 2")).to_be_visible()

    # A run of the pupil's own leaves the teacher's alone.
    press(pupil, "Make your own from these settings")
    press(pupil, "Step")
    wait_until(pupil, "the pupil has a run", lambda: len(RunStore(served.home / "runs").runs()) == 2, 60)
    expect(state_line(pupil)).to_contain_text("paused")
    assert query(pupil)["run"] != run.id
    assert run.summary().round == 2


def test_in_a_slide_there_is_the_page_alone(served: Dashboard, page: Page):
    page.goto(f"{served.url}/flip?victim={VICTIM}&embed=true")
    expect(heading(page, "Flip the mask")).to_be_visible()
    settled(page)
    expect(page.get_by_test_id("stSidebar")).not_to_be_visible()
    expect(page.get_by_role("navigation", name="App pages")).to_have_count(0)
    assert query(page)["embed"] == "true"
