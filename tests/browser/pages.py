"""What a reader does on each page, found by what a screen reader would call it."""

import re
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page


def go_to(page: Page, title: str) -> None:
    """Click a page's name in the navigation."""
    page.get_by_role("navigation", name="App pages").get_by_role("link", name=title, exact=True).click()


def heading(page: Page, name: str | re.Pattern[str]) -> Locator:
    """A heading by its words."""
    return page.get_by_role("heading", name=name)


def state_line(page: Page) -> Locator:
    """Defend's one line about where the run is."""
    return (
        page.get_by_role("status")
        .filter(has_text=re.compile(r"of at most|^(Not begun|Stopped after|Finished after)"))
        .first
    )


def round_shown(page: Page) -> int:
    """Defend's round, from the heading over the three views."""
    words = heading(page, re.compile(r"^The views, round")).inner_text()
    match = re.search(r"round ([\d,]+)", words)
    assert match is not None, words
    return int(match[1].replace(",", ""))


def set_number(page: Page, label: str, value: int) -> None:
    """Type into a number field of the sidebar."""
    field = page.get_by_role("spinbutton", name=re.compile(rf"^{re.escape(label)}\b"))
    field.fill(str(value))
    field.press("Enter")


def press(page: Page, button: str) -> None:
    """Press a button by its label, as soon as it can be."""
    page.get_by_role("button", name=button, exact=True).click()


def query(page: Page) -> dict[str, str]:
    """What the page's address holds."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(page.url).query).items()}


def settled(page: Page) -> None:
    """Wait until the page's script has ended and nothing is drawn any more.

    Right after an action that may be before it has begun: wait for something that the action changes.
    """
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_load_state("networkidle")


def wait_until(page: Page, condition: str, check: Callable[[], bool], seconds: float) -> None:
    """Look again and again until `check()` holds; `condition` says in the failure what did not come true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"after {seconds:g} seconds still not: {condition}"
        page.wait_for_timeout(200)
