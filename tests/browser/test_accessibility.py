"""Every page with a finished run, and steps of a lesson, light and dark, under axe-core: no serious or critical fault.

No button is named by what its icon is called alone.
"""

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
    "attack_lab": "Attack lab",
    "challenge": "You prune",
    "compare?defences=ims": "ACC against ASR",
    "own_model": "Own model",
    # Steps of a lesson, with a question, and with its answer.
    "lesson?lesson=short&lesson_step=3": "What an invertible mask says",
    "flip?lesson=short&lesson_step=7&lesson_answers=7-3": "Flip the mask",
}
NAMES = "all => all.map(each => (each.getAttribute('aria-label') ?? each.innerText).trim())"
"""Of each button what it is called; the name of an icon is drawn as its picture, and read out as it is written."""


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
        page.goto(f"{served.url}/{path}{'&' if '?' in path else '?'}victim={VICTIM}&run={run}")
        expect(heading(page, re.compile(words)).first).to_be_visible()
        settled(page)
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
        for fault in Axe().run(page).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                each = [f"{node['target']}: {node['html'][:160]}" for node in fault["nodes"][:4]]
                found.append(f"{path or 'start'}: {fault['id']}, {len(fault['nodes'])} times, {each}")
        named = page.get_by_role("button").evaluate_all(NAMES)
        found += [f"{path or 'start'}: the button {name}" for name in named if re.fullmatch("[a-z]+(_[a-z]+)+", name)]
    context.close()
    assert not found, "\n".join(found)
