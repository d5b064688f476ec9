"""Defend as a stage: all that one watches is on one screen, and stays the same on it while rounds go by."""

from itertools import pairwise

import pytest
from playwright.sync_api import Page, expect

from invmask.defenses.ims.config import preset
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from tests.browser.dashboard import Dashboard
from tests.browser.pages import heading, press, round_shown, state_line, wait_until
from tests.browser.test_walk import VICTIM
from tests.unit.run_helpers import taken

pytestmark = pytest.mark.browser

PARTS = (".dv-state", ".dv-cards", ".st-key-defend-map .js-plotly-plot", ".st-key-defend-triggers")
REMEMBER = """() => {
    window.first = {};
    for (const name of ['defend-map', 'defend-measures'])
        window.first[name] = document.querySelector(`.st-key-${name} .js-plotly-plot`);
    window.made = 0;
    new MutationObserver((changes) => {
        for (const { addedNodes } of changes)
            for (const node of addedNodes)
                if (node.querySelector?.('.kept-chart') || node.classList?.contains('kept-chart')) window.made += 1;
    }).observe(document.body, { subtree: true, childList: true });
}"""
SAME = """() => Object.entries(window.first).map(([name, node]) =>
    node.isConnected && node === document.querySelector(`.st-key-${name} .js-plotly-plot`))"""


SHOWN = "() => Object.values(window.first).map((chart) => JSON.stringify(chart.data))"


@pytest.fixture
def run(served: Dashboard) -> Run:
    """A paused run in the middle of learning, with quick rounds."""
    config = preset("default", rounds_search=0, rounds_initialise=2, rounds_minimise=400, inner_steps=2, patience=400)
    return taken(served.home, RunSpec(VICTIM, "default", 1, 0, config, probe_per_class=2), 3)


def boxes(page: Page) -> dict[str, dict[str, float]]:
    found = {part: page.locator(part).first.bounding_box() for part in PARTS}
    return {part: {name: round(value) for name, value in box.items()} for part, box in found.items() if box}


def test_a_chart_stays_the_same_node_while_rounds_go_by(page: Page, served: Dashboard, run: Run):
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{served.url}/defend?victim={VICTIM}&run={run.id}")
    expect(page.locator(".st-key-defend-measures .main-svg").first).to_be_visible()
    expect(page.locator(".st-key-defend-map .main-svg").first).to_be_visible()
    page.evaluate(REMEMBER)
    began, places, shown = round_shown(page), boxes(page), page.evaluate(SHOWN)
    press(page, "Run")
    wait_until(page, "five more rounds", lambda: round_shown(page) >= began + 5, 240)
    press(page, "Pause")
    expect(state_line(page)).to_contain_text("paused")
    assert page.evaluate(SAME) == [True, True]
    assert page.evaluate("window.made") == 0
    # They are the same nodes and show another round.
    assert not set(page.evaluate(SHOWN)) & set(shown)
    # Nothing jumps.
    assert boxes(page) == places


def test_at_1280_by_720_the_stage_is_seen_without_scrolling(page: Page, served: Dashboard, run: Run):
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{served.url}/defend?victim={VICTIM}&run={run.id}")
    expect(heading(page, "Synthesized triggers")).to_be_visible()
    expect(page.locator(".st-key-defend-map .main-svg").first).to_be_visible()
    found = boxes(page)
    assert set(found) == set(PARTS)
    for part, box in found.items():
        assert box["y"] >= 60, part
        assert box["y"] + box["height"] <= 720, part
    assert found[PARTS[2]]["height"] >= 260
    # On a phone nothing is wider than the screen.
    page.set_viewport_size({"width": 390, "height": 844})
    wait_until(
        page, "the map fits", lambda: (page.locator(PARTS[2]).bounding_box() or {"width": 999})["width"] < 390, 20
    )
    cards = [card.bounding_box() for card in page.locator(".dv-card").all()]
    for above, below in pairwise(cards):
        assert above["y"] + above["height"] <= below["y"]
    inside = "[...document.querySelectorAll('.dv-value')].every(e => e.scrollWidth <= e.clientWidth + 1)"
    assert page.evaluate(inside)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
