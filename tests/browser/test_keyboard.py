"""Start, Defend and Flip with the keyboard alone."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.dashboard import Dashboard
from tests.browser.pages import heading, query, round_shown, settled, state_line, wait_until
from tests.browser.test_walk import VICTIM

pytestmark = pytest.mark.browser

FOCUSED = "document.activeElement.textContent.trim()"
SEEN = """() => {
    const { outlineStyle, boxShadow } = getComputedStyle(document.activeElement);
    return outlineStyle !== 'none' || boxShadow !== 'none';
}"""


def tab_to(page: Page, words: str, most: int) -> None:
    """Press Tab until a control with these words has the focus, and see that it shows."""
    passed: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        if words in page.evaluate(FOCUSED):
            assert page.evaluate(SEEN), f"nobody sees that {words} has the focus"
            return
        passed.append(page.evaluate(FOCUSED)[:40])
    raise AssertionError(f"{words} has no focus after {most} tab stops: {passed}")


def shows(page: Page, number: int) -> None:
    """The round is shown, and keys are listened to."""
    expect(heading(page, f"The views, round {number}")).to_be_visible()
    expect(page.locator(".invmask-skip")).to_be_attached()
    # Streamlit loses a click on what a page's first script is still drawing.
    settled(page)


def test_the_keyboard_alone_goes_through_start_defend_and_flip(page: Page, served: Dashboard):
    page.goto(f"{served.url}/?victim={VICTIM}")
    expect(heading(page, "A backdoor, on a real victim")).to_be_visible()
    tab_to(page, "Defend", 12)
    page.keyboard.press("Enter")
    expect(heading(page, "Defend")).to_be_visible()
    expect(page.get_by_role("button", name="Step", exact=True)).to_be_enabled()

    # Step and Run come before the sidebar.
    page.goto(f"{served.url}/defend?victim={VICTIM}&spc=1")
    expect(page.get_by_role("button", name="Step", exact=True)).to_be_enabled()
    expect(page.get_by_role("button", name="Skip to Step and Run")).to_be_attached()
    tab_to(page, "Skip to Step and Run", 1)
    page.keyboard.press("Enter")
    assert "Step" in page.evaluate(FOCUSED)
    assert page.evaluate(SEEN)
    page.keyboard.press("Enter")
    expect(state_line(page)).to_contain_text("round 1 of at most")
    expect(state_line(page)).to_contain_text("paused")
    shows(page, 1)

    # Space steps wherever one is.
    page.reload()
    shows(page, 1)
    expect(page.get_by_role("button", name="Step", exact=True)).to_be_enabled()
    page.keyboard.press("Space")
    shows(page, 2)
    expect(page.get_by_role("button", name="Step", exact=True)).to_be_enabled()

    # In a field, keys are for the field.
    seed = page.get_by_role("spinbutton", name="Seed")
    seed.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.type("12 ")
    page.wait_for_timeout(1_500)
    assert round_shown(page) == 2
    assert "round" not in query(page)
    expect(page.get_by_role("radio", name="Selection")).to_be_checked()

    # Arrows go through the rounds, digits choose what the map shows.
    page.reload()
    shows(page, 2)
    page.keyboard.press("ArrowLeft")
    shows(page, 1)
    page.keyboard.press("ArrowRight")
    shows(page, 2)
    page.keyboard.press("2")
    expect(page.locator(".st-key-defend-map-head").get_by_role("radio", name="Pruned")).to_be_checked()

    page.reload()
    shows(page, 2)
    tab_to(page, "Flip", 14)
    page.keyboard.press("Enter")
    expect(heading(page, "Flip the mask")).to_be_visible()
    view = page.get_by_role("radiogroup", name="View")
    for key, name in (("2", "Pruned"), ("3", "Inverse"), ("1", "Original")):
        settled(page)
        page.keyboard.press(key)
        expect(view.get_by_role("radio", name=name)).to_be_checked()
    wait_until(page, "the view has left the address", lambda: "view" not in query(page), 20)
