"""A reader opens an exercise as a link, finds the settings filled in, changes one, and keeps all over a reload."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.dashboard import Dashboard
from tests.browser.pages import go_to, heading, query, set_number, settled, wait_until

pytestmark = pytest.mark.browser

VICTIM = "cifar10-preactresnet18w16-sig"


def field(page: Page, label: str) -> Locator:
    return page.get_by_role("spinbutton", name=re.compile(f"^{label}"))


def slider(page: Page, label: str) -> Locator:
    return page.get_by_role("slider", name=re.compile(f"^{label}"))


def test_a_link_fills_the_controls_and_a_reload_keeps_them(page: Page, served: Dashboard):
    page.goto(f"{served.url}/defend?victim={VICTIM}&spc=1&sparsity_weight=5")
    expect(heading(page, "Defend")).to_be_visible()
    expect(slider(page, "SPC")).to_have_value("1")
    expect(slider(page, "Sparsity weight")).to_have_value("5")
    expect(page.get_by_text(re.compile("^Press Step.*SPC 1, seed 0"))).to_be_visible()
    settled(page)
    asked = {"victim": VICTIM, "spc": "1", "sparsity_weight": "5"}
    assert query(page) == asked

    set_number(page, "Seed", 4)
    changed = asked | {"seed": "4"}
    wait_until(page, "the seed is in the address", lambda: query(page) == changed, 20)
    settled(page)
    page.get_by_role("button", name="Link to this").click()
    told = page.get_by_test_id("stPopoverBody")
    expect(told).to_contain_text("spc=1&seed=4&sparsity_weight=5")
    expect(told).to_contain_text("page, victim and settings")

    page.reload()
    expect(field(page, "Seed")).to_have_value("4")
    expect(slider(page, "SPC")).to_have_value("1")
    expect(slider(page, "Sparsity weight")).to_have_value("5")
    settled(page)
    assert query(page) == changed

    # What is offered first is not in the address.
    set_number(page, "Seed", 0)
    wait_until(page, "the seed is no longer in the address", lambda: query(page) == asked, 20)

    # Streamlit drops all of it on the way to another page, and here it is again.
    settled(page)
    go_to(page, "Flip")
    expect(heading(page, "Flip")).to_be_visible()
    go_to(page, "Defend")
    expect(slider(page, "Sparsity weight")).to_have_value("5")
    wait_until(page, "the settings are in the address again", lambda: query(page) == asked, 60)
