"""The pen on Flip answers with every view at once; two names compete on one board."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.dashboard import Dashboard
from tests.browser.pages import heading, press, query, wait_until
from tests.unit.run_helpers import small_spec, taken

pytestmark = pytest.mark.browser

VICTIM = "fashionmnist-cnn4-badnets"
"""Its trigger is a white square of 3 by 3 pixels in the lower right corner; its target label is T-shirt."""


@pytest.fixture(scope="module")
def run(served: Dashboard) -> str:
    """A run of a few rounds."""
    return taken(served.home, small_spec(VICTIM, probe_per_class=2), 4).id


def answer(page: Page, view: str) -> Locator:
    """What a view says of the pen's picture."""
    return page.locator(f".im-detail .im-{view} b")


def test_a_square_drawn_by_hand_fools_the_network(page: Page, served: Dashboard, run: str):
    page.goto(f"{served.url}/flip?victim={VICTIM}&run={run}&pen=on&pixels=none")
    expect(heading(page, "Flip the mask")).to_be_visible()
    for view in ("original", "pruned", "inverse"):
        expect(answer(page, view)).to_be_visible()
    expect(answer(page, "original")).not_to_have_text("T-shirt")
    # A square, dragged into the lower right corner.
    page.get_by_role("button", name="Square").click()
    wait_until(page, "the square is in the address", lambda: query(page).get("pixels") == "www/www/www", 20)
    canvas = page.get_by_role("application")
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2, steps=5)
    page.mouse.up()
    expect(answer(page, "original")).to_have_text("T-shirt")
    # One pixel to the left with the keyboard, and back: the answer follows.
    wait_until(page, "the place is in the address", lambda: query(page).get("left") == "25", 20)
    canvas.focus()
    canvas.press("ArrowLeft")
    wait_until(page, "the square has moved", lambda: query(page).get("left", "24") == "24", 20)
    canvas.press("ArrowRight")
    expect(answer(page, "original")).to_have_text("T-shirt")

    page.get_by_role("radio", name="None", exact=True).click()
    expect(answer(page, "original")).not_to_have_text("T-shirt")
    page.get_by_role("radio", name="The victim's", exact=True).click()
    expect(answer(page, "original")).to_have_text("T-shirt")


def test_two_names_on_one_board(page: Page, new_reader: Callable[[], Page], served: Dashboard, run: str):
    link = f"{served.url}/challenge?victim={VICTIM}&run={run}"
    names = ("Ada", "<b>Bo</b> & Cy")
    for reader, name in zip((page, new_reader()), names, strict=True):
        reader.goto(link)
        expect(heading(reader, "You prune")).to_be_visible()
        reader.locator("[data-channel='0']").click()
        expect(reader.get_by_text("1 of 10", exact=True)).to_be_visible()
        reader.locator("[data-channel='0']").press("ArrowRight")
        reader.locator("[data-channel='1']").press("Enter")
        expect(reader.get_by_text("2 of 10", exact=True)).to_be_visible()
        assert query(reader)["cut"] == "0,1"
        field = reader.get_by_role("textbox", name=re.compile("Your name"))
        field.fill(name)
        field.press("Enter")
        press(reader, "Enter my cut")
        wait_until(reader, "the entry is stored", lambda name=name: name in board_text(served, run), 30)
    # The first reader's board follows the second's entry.
    expect(page.get_by_role("cell", name=names[1], exact=True)).to_be_visible()
    assert page.locator("b", has_text=re.compile("^Bo$")).count() == 0


def board_text(served: Dashboard, run: str) -> str:
    """The board's file."""
    path = served.home / "runs" / run / "challenge.jsonl"
    return path.read_text() if path.exists() else ""
