"""The replay opens from disk, is gone through, played and flipped by keyboard, and asks nobody for anything."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from invmask.exports.replay.page import write_replay
from invmask.frames.run_records import read_records
from tests.browser.dashboard import PATIENCE_MS, new_context
from tests.unit.run_helpers import CONTROL, small_spec, taken, write_victims

pytestmark = pytest.mark.browser

VICTIM = "cifar10-preactresnet18w16-badnets"
ROUNDS = 7
CELLS = "canvas => canvas.toDataURL()"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The replay of a whole short run of a victim that comes with invmask."""
    home = tmp_path_factory.mktemp("home")
    path = home / "replay.html"
    # In large steps, so that the views differ after a few rounds.
    spec = small_spec(VICTIM, config=replace(small_spec().config, outer_learning_rate=0.5))
    write_replay(path, read_records(taken(home, spec, ROUNDS)))
    return path


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a file from disk, without a network; in the end no page may have had an error, or asked for anything."""
    pages: list[Page] = []
    errors: list[str] = []
    asked: list[str] = []

    def open_file(path: Path, width: int = 1440, dark: bool = False) -> Page:
        context = new_context(browser, width, 900, dark)
        context.set_offline(True)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        pages.append(page)
        page.goto(path.as_uri())
        return page

    yield open_file
    for page in pages:
        page.context.close()
    assert errors == []
    assert {urlsplit(address).scheme for address in asked} <= {"file", "data", "blob"}
    assert sum(address.startswith("file:") for address in asked) == len(pages)


def test_all_rounds_are_gone_through_by_slider_and_keys(made: Path, opened: Callable[..., Page]):
    page = opened(made)
    where, said = page.locator(".where"), page.locator("#said")
    slider, asr = page.get_by_role("slider", name="Round"), page.locator(".card.pruned .measure b").nth(1)
    expect(where).to_contain_text(f"Round {ROUNDS} of {ROUNDS}")
    expect(where).to_contain_text("Sparsify, 2 of 2")
    layer = page.locator(".layer canvas").last
    expect(page.locator("#counts")).to_contain_text("Of 1,200 channels")
    last = layer.evaluate(CELLS)
    slider.focus()
    page.keyboard.press("Home")
    expect(where).to_contain_text("Before the first round")
    expect(asr).to_have_text(page.locator(".card.original .measure b").nth(1).inner_text())
    assert layer.evaluate(CELLS) != last
    expect(page.locator("#nothing")).to_have_text("This round synthesized no triggers.")
    page.keyboard.press("ArrowRight")
    expect(said).to_have_text(f"Round 1 of {ROUNDS}. Initialise, 1 of 2.")
    expect(slider).to_have_attribute("aria-valuetext", "Round 1, Initialise, 1 of 2")
    # Without the focus on the slider, too, and one round a press.
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(said).to_have_text(f"Round 3 of {ROUNDS}. Minimise, 1 of 3.")
    expect(page.locator("#found-title")).to_have_text("Synthesized triggers of the round")
    expect(page.locator("#triggers .example").first).to_be_visible()
    slider.fill("5")
    expect(where).to_contain_text("Round 5 of")
    curve = page.locator("#curves svg").first
    box = curve.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 49, box["y"] + 60)
    expect(where).to_contain_text("Round 0 of")
    expect(curve).to_have_attribute("aria-label", re.compile("^ACC.* at round 0: Original"))


def test_it_plays_and_pauses_at_the_chosen_pace(made: Path, opened: Callable[..., Page]):
    page = opened(made)
    where, play = page.locator(".where"), page.locator("#play")
    page.get_by_label("Pace").select_option("1")
    page.locator("h1").click()
    # At the end it begins anew.
    page.keyboard.press("Space")
    expect(play).to_have_text("Pause")
    expect(where).to_contain_text("Round 0 of")
    expect(where).to_contain_text("Round 1 of")
    page.keyboard.press("Space")
    expect(play).to_have_text("Play")
    number = where.locator("strong").inner_text()
    page.wait_for_timeout(1300)
    assert where.locator("strong").inner_text() == number
    page.get_by_label("Pace").select_option("32")
    page.get_by_role("button", name="Play").click()
    expect(where).to_contain_text(f"Round {ROUNDS} of {ROUNDS}")
    expect(play).to_have_text("Play")


def test_the_keys_1_2_3_flip_the_same_pictures(made: Path, opened: Callable[..., Page]):
    page = opened(made)
    words, samples = page.locator("#flip-words"), page.locator("#samples")
    expect(page.locator("#samples img")).to_have_count(18)
    answers: list[str] = []
    for key, name in (("1", "Original"), ("2", "Pruned"), ("3", "Inverse")):
        page.keyboard.press(key)
        button = page.locator("#views").get_by_role("button", name=name)
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#views [aria-pressed=true]")).to_have_count(1)
        expect(words).to_contain_text(f"{name} view: clean pictures answered with their true class: ")
        answers.append(samples.inner_text())
    assert len(set(answers)) == 3
    # The backdoor of the victim works.
    page.locator("#views").get_by_role("button", name="Original").click()
    expect(words).to_contain_text(
        "triggered pictures answered with their true class: 1 of 9, with the target label: 8 of 9"
    )
    assert samples.inner_text() == answers[0]


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_it_fits_the_window_and_buttons_have_names(made: Path, opened: Callable[..., Page], width: int, dark: bool):
    page = opened(made, width, dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == ("rgb(15, 19, 26)" if dark else "rgb(255, 255, 255)")
    for button in page.get_by_role("button").all():
        assert button.inner_text().strip()
        assert button.evaluate("button => (button.ariaLabel ?? button.textContent).trim().length") > 2


def test_a_clean_control_shows_what_there_is(own_home: Path, tmp_path: Path, opened: Callable[..., Page]):
    write_victims(own_home / "victims")
    path = tmp_path / "control.html"
    write_replay(path, read_records(taken(own_home, small_spec(CONTROL), 3)))
    page = opened(path)
    expect(page.get_by_text("trained without a backdoor")).to_be_visible()
    expect(page.locator("#curves figure")).to_have_count(1)
    expect(page.locator(".card.pruned .measure")).to_have_count(1)
    page.keyboard.press("2")
    expect(page.locator("#flip-words")).to_contain_text("Pruned view: clean pictures answered with their true class: ")
