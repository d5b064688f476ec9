"""Every page with a finished run, light and dark, under axe-core: no serious and no critical fault."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.built_in import add_built_in
from tests.browser.dashboard import PATIENCE_MS, Dashboard, new_context
from tests.browser.pages import heading, settled

pytestmark = pytest.mark.browser
VICTIM = "fashionmnist-cnn4-badnets"
PAGES = {
    "": "A backdoor",
    "lesson": "Lesson",
    "defend": "^The views",
    "flip": "Flip",
    "neurons": "Neurons",
    "tune": "Tune",
    "export": "Export",
    "results": "Results",
}


@pytest.fixture(scope="module")
def run(served: Dashboard) -> str:
    """The built-in run of a victim, put into the dashboard's home."""
    runs: Path = served.home / "runs"
    add_built_in(runs)
    return next(run.id for run in RunStore(runs).listing().runs if run.spec.victim == VICTIM)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, served: Dashboard, run: str, dark: bool) -> None:
    context = new_context(browser, dark=dark)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    found = []
    for path, words in PAGES.items():
        page.goto(f"{served.url}/{path}?victim={VICTIM}&run={run}")
        expect(heading(page, re.compile(words)).first).to_be_visible()
        settled(page)
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
        for fault in Axe().run(page).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                each = [f"{node['target']}: {node['html'][:160]}" for node in fault["nodes"][:4]]
                found.append(f"{path or 'start'}: {fault['id']}, {len(fault['nodes'])} times, {each}")
    context.close()
    assert not found, "\n".join(found)
