"""A reader clicks a cell of a sweep, sees its runs, and opens one."""

from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from invmask.grids.grid import expand
from invmask.grids.results import write_case
from tests.browser.dashboard import Dashboard
from tests.browser.pages import heading, press, query, settled, wait_until
from tests.unit.run_helpers import small_spec, taken

pytestmark = pytest.mark.browser

VICTIM = "cifar10-preactresnet18w16-badnets"
VIEWS = {view: {"acc": 0.9, "asr": 0.04, "ra": 0.8} for view in ("original", "pruned", "inverse")}


def test_a_cell_leads_to_the_runs_behind_it(page: Page, served: Dashboard):
    run = taken(served.home, small_spec(VICTIM), 2)
    cases = expand(["badnets", "clean"], ["preactresnet18w16"], ["cifar10"], [0.1], ["default"], [1, 10], [0])
    for case in cases:
        found = replace(case.result(run.summary()), problem=None, views=VIEWS)
        write_case(served.home / "sweeps" / "small", case.name, found)
    page.goto(f"{served.url}/results?victim={VICTIM}")
    expect(heading(page, "All victims")).to_be_visible()
    cells = page.locator(".st-key-results-map .barlayer .trace").nth(1).locator(".point path")
    expect(cells).to_have_count(4)
    settled(page)
    cells.nth(1).click(force=True)
    expect(
        page.get_by_text("BadNets 10 % · CIFAR-10 · PreActResNet-18, quarter width · SPC 10 · default")
    ).to_be_visible()
    wait_until(page, "the cell is in the address", lambda: query(page).get("cell") == f"{VICTIM}/10", 20)
    expect(page.get_by_text("pruned: ACC 90.0 %, ASR 4.0 %, RA 80.0 %")).to_be_visible()
    press(page, "Open seed 0")
    expect(heading(page, "Defend")).to_be_visible()
    wait_until(page, "the run is in the address", lambda: query(page).get("run") == run.id, 20)
