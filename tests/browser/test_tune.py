"""A reader moves the threshold slider by keyboard, sees the numbers change, and finds the same at the address."""

import pytest
from playwright.sync_api import Page, expect

from invmask.defenses.ims.config import preset
from invmask.runs import tuning
from invmask.runs.cutting import measure_cuts
from invmask.runs.run import Run
from invmask.runs.spec import RunSpec
from tests.browser.dashboard import Dashboard
from tests.browser.pages import heading, query, settled
from tests.unit.run_helpers import taken

pytestmark = pytest.mark.browser

VICTIM = "cifar10-preactresnet18w16-badnets"


@pytest.fixture
def run(served: Dashboard) -> Run:
    """A few rounds, and the cuts of its masks measured."""
    spec = RunSpec(victim=VICTIM, preset="default", spc=1, seed=0, config=preset("default"), probe_per_class=2)
    run = taken(served.home, spec, 12)
    tuning.ERRAND.ask(run, 12)
    measure_cuts(run.path)
    return run


@pytest.mark.parametrize("by", ["&by=score", ""], ids=["by score", "threshold on m"])
def test_the_threshold_moves_on_the_curve_and_the_address_keeps_it(page: Page, served: Dashboard, run: Run, by: str):
    page.goto(f"{served.url}/tune?victim={VICTIM}&run={run.id}{by}&n=0")
    expect(heading(page, "Threshold, round 12")).to_be_visible()
    card = page.get_by_role("region", name="Pruned view")
    slider = page.get_by_role("slider", name="Hard cut")
    expect(slider).to_be_visible()
    settled(page)
    before = card.inner_text()
    slider.focus()
    slider.press("End")
    expect(card).not_to_have_text(before, use_inner_text=True)
    settled(page)
    after, asked = card.inner_text(), query(page)
    assert int(asked["n"]) > 10
    page.get_by_role("button", name="Link to this").click()
    expect(page.get_by_test_id("stPopoverBody")).to_contain_text(f"n={asked['n']}")

    page.reload()
    expect(card).to_have_text(after, use_inner_text=True)
    assert query(page) == asked
