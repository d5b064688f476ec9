"""README's moving picture: a run on Defend from its first round to its last, and Flip under each view.

Usage: python -m tests.browser.moving_picture HOME RUN

RUN is a finished run of BadNets in HOME, with the preset default. The picture goes to assets/screenshots/moving.webp.
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from invmask.runs.store.all_runs import RunStore
from tests.browser.dashboard import ROOT, chromium, dashboard, new_context
from tests.browser.pages import heading, settled

TARGET = ROOT / "assets" / "screenshots" / "moving.webp"
SIZE, WIDTH = (1280, 800), 960
PATIENCE_MS = 120_000
STEPS = 9
"""Rounds shown of a run, the first and the last among them."""
ROUND_MS, VIEW_MS, LAST_MS = 700, 1_600, 2_200
MOST_BYTES = 3_000_000


def shot(page: Page, address: str, words: str) -> Image.Image:
    """A page as it is once it has come to rest, small."""
    page.goto(address)
    expect(heading(page, words)).to_be_visible()
    settled(page)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    page.wait_for_timeout(1_500)  # charts fade in
    taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return taken.resize((WIDTH, WIDTH * taken.height // taken.width), Image.Resampling.LANCZOS)


def frames(page: Page, url: str, run: str, rounds: int) -> list[tuple[Image.Image, int]]:
    """Pictures with the milliseconds that each stays."""
    steps = [1 + (rounds - 1) * step // (STEPS - 1) for step in range(STEPS)]
    found = [(shot(page, f"{url}/defend?run={run}&round={number}", "Defend"), ROUND_MS) for number in steps]
    found[-1] = (found[-1][0], LAST_MS)
    views = [f"{url}/flip?run={run}&view={view}&show=all" for view in ("original", "pruned", "inverse")]
    return found + [(shot(page, address, "Flip the mask"), VIEW_MS) for address in views]


def main(home: Path, run: str) -> None:
    """Make it.

    Raises:
        ValueError: it has become too large for a README.
    """
    rounds = RunStore(home / "runs").run(run).summary().round
    with dashboard(home) as served, chromium() as browser:
        page = new_context(browser, *SIZE, False).new_page()
        page.set_default_timeout(PATIENCE_MS)
        pictures, stay = zip(*frames(page, served.url, run, rounds), strict=True)
    first, *others = pictures
    first.save(TARGET, save_all=True, append_images=others, duration=list(stay), loop=0, quality=80, method=6)
    if TARGET.stat().st_size > MOST_BYTES:
        raise ValueError(f"{TARGET} has {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2])
