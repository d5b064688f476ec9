"""The attack lab from the first stroke to the flipped mask: draw, train, defend, flip."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from invmask.victims.victim import find_cards, read_card
from tests.browser.dashboard import Dashboard
from tests.browser.pages import go_to, heading, press, query, set_number, settled, state_line, wait_until

pytestmark = pytest.mark.browser

TRAINING_MS = 240_000
"""Ten seconds of work, on a machine that may be busy with others' tests."""


def cell(page: Page, row: int, column: int) -> Locator:
    """A pixel of the editor's pattern."""
    return page.get_by_role("button", name=re.compile(rf"^row {row}, column {column}: "))


def test_draw_train_defend_and_flip(page: Page, served: Dashboard):
    page.goto(f"{served.url}/attack_lab?epochs=22&width=8")
    expect(heading(page, "1 The trigger")).to_be_visible()

    # With the mouse: a stroke along the first row.
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("Nothing is drawn yet: a trigger needs at least one pixel.")).to_be_visible()
    first, last = cell(page, 1, 1).bounding_box(), cell(page, 1, 4).bounding_box()
    assert first is not None
    assert last is not None
    page.mouse.move(first["x"] + 9, first["y"] + 9)
    page.mouse.down()
    page.mouse.move(last["x"] + 9, last["y"] + 9, steps=8)
    page.mouse.up()
    wait_until(page, "the stroke is in the address", lambda: query(page).get("pixels") == "wwww", 20)
    # With the keyboard: one more pixel below its end.
    cell(page, 1, 4).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    wait_until(page, "the pixel is in the address", lambda: query(page).get("pixels") == "wwww/...w", 20)
    place = page.get_by_role("application")
    place.focus()
    before = query(page)
    place.press("ArrowUp")
    wait_until(page, "the trigger has moved up", lambda: query(page).get("top") != before.get("top"), 20)
    expect(page.get_by_role("img", name=re.compile(r"→ T-shirt, poisoned$"))).to_have_count(2)

    drawn = query(page)
    page.reload()
    expect(cell(page, 4, 3)).to_have_accessible_name("row 4, column 3: white")
    assert query(page) == drawn

    settled(page)
    press(page, "Train")
    # While the page is drawn anew, the old button is there beside the new one.
    expect(page.get_by_role("button", name="Stop").last).to_be_enabled()
    expect(page.get_by_role("button", name="Defend it")).to_be_enabled(timeout=TRAINING_MS)
    (path,) = find_cards([served.home / "victims"]).values()
    card = read_card(path)
    assert card.attack_settings["pixels"] == "wwww/...w"
    assert card.acc > 0.6
    assert card.asr is not None
    assert card.asr > 0.5

    press(page, "Defend it")
    expect(heading(page, "Defend")).to_be_visible()
    wait_until(page, "Defend has the new victim", lambda: query(page).get("victim") == card.name, 20)
    settled(page)
    set_number(page, "Search", 8)
    set_number(page, "Inner steps", 2)
    press(page, "Step")
    expect(state_line(page)).to_contain_text(re.compile(r"round 1 of at most"))
    press(page, "Run")
    wait_until(page, "some rounds are taken", lambda: "running" in state_line(page).inner_text(), 30)
    press(page, "Stop")
    expect(state_line(page)).to_contain_text("Stopped after")

    go_to(page, "Flip")
    expect(heading(page, "Flip the mask")).to_be_visible()
    view = page.get_by_role("radiogroup", name="View")
    expect(page.get_by_text(re.compile(r"^Original view: ASR"))).to_be_visible()
    view.get_by_role("radio", name="Inverse").click()
    expect(page.get_by_text(re.compile(r"^Inverse view: ASR"))).to_be_visible()
    assert query(page)["victim"] == card.name
