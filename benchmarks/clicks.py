"""How long a click on another page takes to answer while a run is under way, in a real Chromium.

The real dashboard with one worker of one thread; the run is BadNets under `default`. From the moment the browser had
the click (its wait for a busy page included) to the page's heading, and to the end of its script and drawing. A first
turn through the pages warms up and is not counted:

    python -m benchmarks.clicks
"""

import argparse
import json
import re
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from invmask.machine import choose_precision, processor
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RunState
from invmask.victims.victim import versions
from tests.browser.dashboard import chromium, dashboard, new_context
from tests.browser.pages import go_to, heading, press, settled, state_line
from tests.browser.screenshots import PAGES, VICTIM

RESULT = Path(__file__).parent / "results" / "clicks.json"
WATCH = """() => {
    // timeStamp is when the input came in, not when the busy page got round to it.
    document.addEventListener('click', event => { window.clicked = event.timeStamp; window.headings = []; }, true);
    new MutationObserver(() => {
        const words = [...document.querySelectorAll('h1, h2, h3')].map(heading => heading.textContent).join('\\n');
        if (words !== window.words) {
            window.words = words;
            // Two frames on, it is on the screen.
            requestAnimationFrame(() => requestAnimationFrame(
                () => (window.headings = window.headings || []).push([performance.now(), words])));
        }
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--note", default="", help="what else the machine was doing")
    arguments = parser.parse_args()
    seconds: dict[str, dict[str, list[float]]] = {name: {"heading": [], "settled": []} for name in PAGES}
    expect.set_options(timeout=60_000)
    with tempfile.TemporaryDirectory() as home, dashboard(Path(home)) as served, chromium() as browser:
        page = new_context(browser).new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{served.url}/defend?victim={VICTIM}")
        expect(heading(page, "Defend")).to_be_visible()
        press(page, "Run")
        expect(state_line(page)).to_contain_text("running")
        page.evaluate(WATCH)
        (run,) = RunStore(served.home / "runs").runs()
        for turn in range(1 + arguments.turns):
            for name in [*list(PAGES)[2:], *list(PAGES)[:2]]:
                found = click(page, name)
                if turn and run.summary().state is RunState.RUNNING:
                    for event, taken in found.items():
                        seconds[name][event].append(taken)
        rounds = run.summary().round
    result = {
        "what": "seconds from a click in the navigation to the page's heading on screen, and to a page at rest",
        "victim": VICTIM,
        "rounds_taken_meanwhile": rounds,
        "pages": {
            name: {
                event: {"n": len(taken), "median": statistics.median(taken), "largest": max(taken), "seconds": taken}
                for event, taken in events.items()
                if taken
            }
            for name, events in seconds.items()
        },
        "precision": choose_precision(),
        "machine": processor(),
        "versions": versions(),
        "note": arguments.note,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    for name, events in result["pages"].items():
        print(
            name,
            *(f"{event} {taken['median']:.2f} s (at most {taken['largest']:.2f})" for event, taken in events.items()),
        )


def click(page: Page, name: str) -> dict[str, float]:
    """Go to a page; returns the seconds from the click to its heading and until the page is at rest."""
    _, words, _ = PAGES[name]
    page.evaluate("window.headings = []")
    go_to(page, name.title())
    expect(heading(page, re.compile(words)).first).to_be_visible()
    page.wait_for_function(f"(window.headings || []).some(([_, words]) => words.includes({json.dumps(words)}))")
    clicked, headings = page.evaluate("[window.clicked, window.headings]")
    seen = next(when for when, text in headings if words in text) - clicked
    if name == "defend":  # the live page is never at rest
        return {"heading": seen / 1000}
    settled(page)
    rest = page.evaluate("performance.now()") - clicked
    return {"heading": seen / 1000, "settled": rest / 1000}


if __name__ == "__main__":
    main()
