"""A reader moves the threshold slider by keyboard, sees the numbers change, and finds the same at the address."""

import re
from dataclasses import replace

import pytest
from filelock import FileLock
from playwright.sync_api import Page, expect

from invmask.defenses.ims.config import preset
from invmask.evidence.threshold import Order
from invmask.runs.store import files
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.runs.work import cut_curves
from invmask.runs.work.measure_cuts import measure_cuts
from tests.browser.dashboard import Dashboard
from tests.browser.pages import heading, query, settled
from tests.unit.run_helpers import taken

pytestmark = pytest.mark.browser

VICTIM = "cifar10-preactresnet18w16-badnets"
# One round of the search for each kind of trigger, so that the masks have moved by the twelfth.
SPEC = RunSpec(
    victim=VICTIM, preset="default", spc=1, seed=0, config=preset("default", rounds_search=4), probe_per_class=2
)


@pytest.fixture
def run(served: Dashboard) -> Run:
    """A few rounds, and the cuts of its masks measured."""
    run = taken(served.home, SPEC, 12)
    cut_curves.ERRAND.ask(run, 12)
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


def test_runs_started_right_after_the_values_changed_are_seen_under_way(page: Page, served: Dashboard, run: Run):
    page.goto(f"{served.url}/tune?victim={VICTIM}&run={run.id}&axis=weight_pruned_clean&values=2&seeds=8")
    starts = page.get_by_role("button", name=re.compile("^(play_arrow )?Start the .*missing run"))
    expect(starts).to_be_enabled()
    settled(page)
    page.get_by_role("button", name="4", exact=True).click()
    expect(starts).to_contain_text("Start the 2 missing runs")
    starts.click()
    expect(page.get_by_text("0 of 2 runs finished, 2 under way, 0 missing.")).to_be_visible()
    expect(starts).to_be_disabled()
    # Other tests want the worker, too.
    store = RunStore(served.home / "runs")
    for begun in store.runs():
        store.pause(begun.id)


def test_values_pressed_while_cuts_are_measured_move_no_slider(page: Page, served: Dashboard, run: Run):
    whole = cut_curves.read_curves(run, 12)
    assert whole is not None
    every = whole.points[Order.SCORE]

    def measured(number: int) -> None:
        cut_curves.write_curves(run, 12, replace(whole, points=dict.fromkeys(Order, every[:number])))

    # Here it is this test that measures, as slowly as it likes.
    with FileLock(files.lock_file(run.path, f"{cut_curves.ERRAND.folder}.lock")):
        measured(2)
        page.goto(f"{served.url}/tune?victim={VICTIM}&run={run.id}&by=score&axis=steepness")
        expect(page.get_by_role("slider", name="Hard cut")).to_be_visible()
        expect(page.get_by_text(re.compile("^Measuring cuts in the background"))).to_be_visible()
        # While the page is drawn anew, the one before may still stand below.
        pill = page.get_by_role("button", name="40", exact=True).first
        for number in range(3, len(every)):
            measured(number)
            for _ in range(4):
                pill.click()
                page.wait_for_timeout(250)
            assert "n" not in query(page), f"with {number} cuts measured"
    cut_curves.write_curves(run, 12, whole)
    expect(page.get_by_text(re.compile(r"Proposed: "))).to_be_visible()
    settled(page)
    assert "n" not in query(page)
