"""How much Defend blinks while rounds go by: charts made anew, and how long each place is blank, in a real Chromium.

The real dashboard with one worker; the run has no search and few inner steps, so that rounds are short. A chart's place
is blank in a frame of the browser if it had a chart before and shows none now. The page is opened while the run is
under way, which is timed too:

    python -m benchmarks.blinking
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from invmask.defenses.ims.config import preset
from invmask.machine import choose_precision, processor
from invmask.runs.store.spec import RunSpec
from invmask.victims.victim import versions
from tests.browser.dashboard import chromium, dashboard, new_context
from tests.browser.pages import press, round_shown, state_line, wait_until
from tests.browser.screenshots import VICTIM
from tests.unit.run_helpers import taken

RESULT = Path(__file__).parent / "results" / "blinking.json"
PLACES = ("defend-map", "defend-labels", "defend-inner", "defend-measures", "defend-losses")
PATIENCE_MS = 120_000
WATCH = """(places) => {
    const seen = new WeakSet(), watched = { charts: 0, pictures: 0, blank: {}, frames: 0, unready: 0, drawn: {} };
    window.watched = watched;
    const count = () => {
        for (const chart of document.querySelectorAll('.js-plotly-plot'))
            if (!seen.has(chart)) { seen.add(chart); watched.charts += 1; }
        for (const picture of document.querySelectorAll('[data-testid="stMain"] img'))
            if (!seen.has(picture)) { seen.add(picture); watched.pictures += 1; }
    };
    new MutationObserver(count).observe(document, { subtree: true, childList: true, attributes: true });
    const drawn = (place) => {
        const layer = document.querySelector(`.st-key-${place} .js-plotly-plot .cartesianlayer`);
        return layer?.childElementCount > 0 && layer.closest('svg').getBoundingClientRect().width > 0;
    };
    const since = {};
    // Right after a frame was painted: before it, sizes that a chart waits for are not known yet.
    const channel = new MessageChannel();
    const after = () => requestAnimationFrame(() => channel.port2.postMessage(0));
    channel.port1.onmessage = () => { look(performance.now()); after(); };
    const look = (now) => {
        watched.frames += 1;
        for (const place of places) {
            if (drawn(place)) {
                watched.drawn[place] ??= now;
                if (since[place] !== undefined) (watched.blank[place] ??= []).push(now - since[place]);
                delete since[place];
            } else if (watched.drawn[place] !== undefined) since[place] ??= now;
        }
        if ([...document.querySelectorAll('[data-testid="stMain"] img')].some((picture) => !picture.complete))
            watched.unready += 1;
    };
    after();
}"""


def watch(page: Page, url: str, rounds: int) -> dict[str, Any]:
    """Open the page of a run under way, and look at it for a number of rounds; times in milliseconds."""
    page.add_init_script(f"({WATCH})({json.dumps(PLACES)})")
    page.goto(url)
    page.wait_for_function("Object.keys(window.watched?.drawn ?? {}).length > 0")
    opened = page.evaluate("({...watched.drawn})")
    page.wait_for_timeout(5_000)
    before = page.evaluate("structuredClone(watched)")
    first = round_shown(page)
    wait_until(page, f"{rounds} rounds", lambda: round_shown(page) >= first + rounds, 900)
    last = round_shown(page)
    after = page.evaluate("structuredClone(watched)")
    blank = [
        length for place, lengths in after["blank"].items() for length in lengths[len(before["blank"].get(place, [])) :]
    ]
    return {
        "rounds": last - first,
        "charts_made": after["charts"] - before["charts"],
        "pictures_made": after["pictures"] - before["pictures"],
        "frames": after["frames"] - before["frames"],
        "frames_with_a_picture_not_ready": after["unready"] - before["unready"],
        "blank": {
            "times": len(blank),
            "median_ms": statistics.median(blank) if blank else 0.0,
            "largest_ms": max(blank, default=0.0),
            "total_ms": sum(blank),
        },
        "first_chart_after_opening_ms": min(opened.values()),
        "charts_made_in_the_first_seconds": before["charts"],
        "blank_in_the_first_seconds_ms": sum(sum(lengths) for lengths in before["blank"].values()),
    }


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--name", default="now", help="what the result is called in the file")
    parser.add_argument("--note", default="", help="what else the machine was doing")
    arguments = parser.parse_args()
    expect.set_options(timeout=PATIENCE_MS)
    config = preset("default", rounds_search=0, rounds_initialise=2, rounds_minimise=900, inner_steps=2, patience=900)
    with tempfile.TemporaryDirectory() as home, dashboard(Path(home)) as served, chromium() as browser:
        run = taken(served.home, RunSpec(VICTIM, "default", 1, 0, config, probe_per_class=2), 3)
        url = f"{served.url}/defend?victim={VICTIM}&run={run.id}"
        page = new_context(browser).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url)
        press(page, "Run")
        expect(state_line(page)).to_contain_text("running")
        page.context.close()
        page = new_context(browser).new_page()
        page.set_default_timeout(PATIENCE_MS)
        found = watch(page, url, arguments.rounds)
        press(page, "Pause")
        expect(state_line(page)).to_contain_text("paused")
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    about = {
        "what": "charts made anew, and the milliseconds that a chart's place was blank, on Defend while rounds go by",
        "victim": VICTIM,
        "precision": choose_precision(),
        "machine": processor(),
        "versions": versions(),
    }
    results = {**known.get("results", {}), arguments.name: {**found, "note": arguments.note}}
    RESULT.write_text(json.dumps({**about, "results": results}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
