"""What a user waits for at the start: importing invmask, the dashboard's first page, the first result after Run.

The real dashboard and a real Chromium; a new dashboard every time, with files in the system's cache ("warm"). One start
before them is not counted.

    python -m benchmarks.startup
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, expect

from invmask.machine import processor
from invmask.victims.victim import versions
from tests.browser.dashboard import ROOT, chromium, dashboard, new_context
from tests.browser.pages import heading, press
from tests.browser.screenshots import VICTIM

RESULT = Path(__file__).parent / "results" / "startup.json"
READING = {"Run to first round on screen": 3_000, "Run to first round on screen, workers warm": 15_000}
"""Milliseconds that a user reads before Run is pressed: while the workers still come up, and after."""
IMPORTS = ("invmask", "invmask.cli", "torch", "invmask.runs.work.advance")


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    taken: dict[str, list[float]] = {f"import {name}": [] for name in IMPORTS}
    taken |= {name: [] for name in ("dashboard to first page", *READING)}
    expect.set_options(timeout=120_000)
    with chromium() as browser:
        for turn in range(arguments.times + 1):
            for name in IMPORTS:
                found = seconds_of_import(name)
                if turn:
                    taken[f"import {name}"].append(found)
            for name, reading in READING.items():
                first_page, first_round = opened_and_run(browser, reading)
                if turn:
                    taken["dashboard to first page"].append(first_page)
                    taken[name].append(first_round)
    result = {
        "what": "seconds, files in the system's cache",
        "seconds": {name: {"n": len(of), "median": statistics.median(of), "each": of} for name, of in taken.items()},
        "machine": processor(),
        "versions": versions(),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    for name, of in result["seconds"].items():
        print(f"{name}: {of['median']:.2f} s")


def opened_and_run(browser: Browser, reading: int) -> tuple[float, float]:
    """Start a dashboard with an empty home, and a run `reading` milliseconds after Defend is there.

    Returns:
        Seconds from the start of the dashboard to its first page, and from Run to the first round on screen.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home, dashboard(Path(home)) as served:
        page = new_context(browser).new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{served.url}/?victim={VICTIM}")
        expect(heading(page, re.compile("A backdoor, on a real victim"))).to_be_visible()
        first_page = time.perf_counter() - started
        page.goto(f"{served.url}/defend?victim={VICTIM}")
        expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
        page.wait_for_timeout(reading)
        pressed = time.perf_counter()
        press(page, "Run")
        expect(heading(page, re.compile(r"The views, round [1-9]"))).to_be_visible()
        first_round = time.perf_counter() - pressed
        page.context.close()
    return first_page, first_round


def seconds_of_import(name: str) -> float:
    """Seconds that a new process needs to import the module, without Python's own start."""
    code = f"import time; started = time.perf_counter(); import {name}; print(time.perf_counter() - started)"
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    return float(child.stdout)


if __name__ == "__main__":
    main()
