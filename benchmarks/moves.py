"""How long the pages take beside a run: to load, to answer a what-if, and to move the threshold, in a real Chromium.

The real dashboard with one worker of one thread, which is at a run of `paper` on BadNets all the time. A load counts
from the navigation to the page's heading on screen; a cut by hand from the click to the new numbers (a channel of the
first layer, another each time: the whole network runs again); a move of the threshold from the key to the new numbers.
One of each before them is not counted:

    python -m benchmarks.moves
"""

import argparse
import json
import re
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from invmask.machine import choose_precision, processor
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal, Want, write_want
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.runs.work import cut_curves
from invmask.runs.work.advance import advance
from invmask.runs.work.bench import spec_of
from invmask.runs.work.measure_cuts import measure_cuts
from invmask.victims.victim import versions
from tests.browser.dashboard import Dashboard, chromium, dashboard, new_context
from tests.browser.pages import heading, press, settled
from tests.browser.screenshots import PAGES, VICTIM

RESULT = Path(__file__).parent / "results" / "moves.json"
ROUNDS = 12
# `seen` is when the words asked for were on the screen, `begun` when the browser had the click or the key.
WATCH = """() => {
    window.begun = 0; window.seen = null; window.wanted = () => false;
    const began = event => { window.begun = event.timeStamp; };
    addEventListener('click', began, true);
    addEventListener('keydown', began, true);
    const look = () => {
        if (window.seen === null && window.wanted()) {
            window.seen = 0;
            requestAnimationFrame(() => requestAnimationFrame(() => { window.seen = performance.now(); }));
        }
    };
    new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
}"""
HEADING = "[...document.querySelectorAll('h1, h2, h3')].some(heading => heading.textContent.includes({words}))"
SAID = "document.body.textContent.includes({words})"
CARD = "document.querySelector('section[aria-label=\"Pruned view\"]')?.textContent"


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--note", default="", help="what else the machine was doing")
    arguments = parser.parse_args()
    expect.set_options(timeout=60_000)
    with tempfile.TemporaryDirectory() as home:
        store = RunStore(Path(home) / "runs")
        looked_at = finished(store)
        beside = store.create(_spec("paper"))
        store.go_on(beside.id)
        with dashboard(Path(home)) as served, chromium() as browser:
            page = opened(browser, f"{served.url}/?victim={VICTIM}&run={beside.id}")
            expect(heading(page, re.compile(PAGES["start"][1]))).to_be_visible()
            while not beside.summary().round:
                page.wait_for_timeout(500)
            first = beside.summary().round
            taken = {f"load {name.title()}": loads(browser, served, looked_at, name, arguments.times) for name in PAGES}
            taken["what-if, a channel of the first layer"] = cuts(browser, served, looked_at, arguments.times)
            taken["move of the threshold"] = moves(browser, served, looked_at, arguments.times)
            rounds = beside.summary().round - first
    result = {
        "what": "seconds until the answer is on the screen, beside a run of `paper`",
        "victim": VICTIM,
        "rounds_taken_meanwhile": rounds,
        "seconds": {
            name: {"n": len(of), "median": statistics.median(of), "largest": max(of), "each": of}
            for name, of in taken.items()
        },
        "precision": choose_precision(),
        "machine": processor(),
        "versions": versions(),
        "note": arguments.note,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    for name, of in result["seconds"].items():
        print(f"{name}: {of['median']:.2f} s (at most {of['largest']:.2f})")


def _spec(name: str, **changes: float) -> RunSpec:
    return replace(spec_of(VICTIM, name, 1, 0, changes), threads=1)


def finished(store: RunStore) -> Run:
    """A run of some rounds, and the cuts of its masks measured."""
    # So short a search leaves rounds that change the masks.
    run = store.create(_spec("default", rounds_search=3))
    write_want(run.path, Want(Goal.ADVANCE, ROUNDS))
    advance(run.path)
    cut_curves.ERRAND.ask(run, ROUNDS)
    measure_cuts(run.path)
    return run


def opened(browser: Browser, address: str) -> Page:
    """A reader of their own at an address, watched from the beginning."""
    page = new_context(browser).new_page()
    page.set_default_timeout(60_000)
    page.add_init_script(f"({WATCH})()")
    page.goto(address)
    return page


def seconds(page: Page) -> float:
    """From the click, the key or the navigation to what was waited for."""
    page.wait_for_function("window.seen > 0")
    return page.evaluate("(window.seen - window.begun) / 1000")


def loads(browser: Browser, served: Dashboard, run: Run, name: str, times: int) -> list[float]:
    """Seconds to open a page by its address, with a new reader each time."""
    path, words, _ = PAGES[name]
    found = []
    for _turn in range(times + 1):
        page = new_context(browser).new_page()
        page.set_default_timeout(60_000)
        wanted = HEADING.format(words=json.dumps(words))
        page.add_init_script(f"({WATCH})(); window.wanted = () => {wanted}")
        page.goto(f"{served.url}/{path}?victim={VICTIM}&run={run.id}")
        found.append(seconds(page))
        page.context.close()
    return found[1:]


def cuts(browser: Browser, served: Dashboard, run: Run, times: int) -> list[float]:
    """Seconds to cut a channel on its page."""
    found = []
    for channel in range(times + 1):
        name = f"conv1:{channel}"
        page = opened(browser, f"{served.url}/neurons?victim={VICTIM}&run={run.id}&base=nothing+cut&channel={name}")
        expect(page.get_by_role("button", name="Cut this channel")).to_be_enabled()
        settled(page)
        words = json.dumps(f"1 cut by hand: {name}.")
        page.evaluate(f"() => {{ window.wanted = () => {SAID.format(words=words)} }}")
        press(page, "Cut this channel")
        found.append(seconds(page))
        page.context.close()
    return found[1:]


def moves(browser: Browser, served: Dashboard, run: Run, times: int) -> list[float]:
    """Seconds to move the slider of the hard cut, from one end to the other and back."""
    page = opened(browser, f"{served.url}/tune?victim={VICTIM}&run={run.id}&round={ROUNDS}&by=score&n=0")
    slider = page.get_by_role("slider", name="Hard cut")
    expect(slider).to_be_visible()
    settled(page)
    found = []
    for turn in range(times + 1):
        slider.focus()
        before = page.evaluate(CARD)
        page.evaluate(f"before => {{ window.seen = null; window.wanted = () => {CARD} !== before }}", before)
        slider.press("Home" if turn % 2 else "End")
        found.append(seconds(page))
        settled(page)
    page.context.close()
    return found[1:]


if __name__ == "__main__":
    main()
