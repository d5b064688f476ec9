"""Pictures of every page in both themes and two sizes, for a look; and the README's own.

Usage: python -m tests.browser.screenshots [HOME]

Takes a real run of the default preset, far enough for the second phase, and a small sweep in a fresh home; with HOME,
the newest run and the sweep that are there. Pictures go to screenshots/, the README's to assets/screenshots/.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from invmask.runs.store.all_runs import RunStore
from tests.browser.dashboard import ROOT, Dashboard, chromium, dashboard, new_context
from tests.browser.pages import heading, press, round_shown, settled, state_line, wait_until

VICTIM = "cifar10-preactresnet18w16-badnets"
SIZES = ((1440, 900), (1024, 768))
EVERY = ROOT / "screenshots"
README = ROOT / "assets" / "screenshots"
PATIENCE_MS = 120_000
ROUNDS = 37
# The pages, each with the words that show that it is there and what its address adds to victim and run.
PAGES = {
    "start": ("", "A backdoor, on a real victim", ""),
    "defend": ("defend", "All channels", ""),
    "flip": ("flip", "Flip the mask", "&view=pruned&show=changed"),
    "neurons": ("neurons", "Neurons", ""),
    "tune": ("tune", "Tune", ""),
    "compare": ("compare", "Compare", "&defences=ims"),
    "export": ("export", "Export", ""),
    "results": ("results", "Results", f"&cell={VICTIM}/10"),
}


def take_run(browser: Browser, served: Dashboard) -> str:
    """A run of the default preset to the middle of its second phase, made by hand as a reader would."""
    page = _open(browser, 1440, 900, False)
    page.goto(f"{served.url}/defend?victim={VICTIM}")
    expect(heading(page, "Defend")).to_be_visible()
    press(page, "Run")
    wait_until(page, f"{ROUNDS} rounds", lambda: _rounds(page) >= ROUNDS, 3_000)
    press(page, "Pause")
    expect(state_line(page)).to_contain_text("paused")
    page.context.close()
    return newest(served)


def take_sweep(served: Dashboard) -> None:
    """A few small cases, as somebody at the command line would ask for them."""
    words = ["sweep", "--attacks", "badnets,blended,clean", "--spc", "1,2", "--seeds", "0,1"]
    environment = os.environ | {"INVMASK_HOME": str(served.home)}
    subprocess.run([sys.executable, "-m", "invmask", *words], cwd=ROOT, env=environment, check=True)


def newest(served: Dashboard) -> str:
    """The newest run's id."""
    return RunStore(served.home / "runs").runs()[0].id


def picture(browser: Browser, served: Dashboard, name: str, run: str, size: tuple[int, int], dark: bool) -> Path:
    """One page as its reader sees it, and below the first screen the rest of it."""
    path, words, more = PAGES[name]
    page = _open(browser, *size, dark)
    page.goto(f"{served.url}/{path}?victim={VICTIM}&run={run}{more}")
    expect(heading(page, re.compile(words))).to_be_visible()
    settled(page)
    # Grey fields stand for what the browser still fetches the code of.
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    page.wait_for_timeout(1_500)  # charts fade in
    theme = "dark" if dark else "light"
    target = EVERY / f"{name}-{size[0]}x{size[1]}-{theme}.png"
    page.screenshot(path=target)
    _whole(page, target.with_name(f"{target.stem}-whole.png"), size)
    page.context.close()
    return target


def _whole(page: Page, target: Path, size: tuple[int, int]) -> None:
    # Streamlit scrolls within the page: a window as high as what it scrolls shows all of it.
    height = page.evaluate("Math.max(...[...document.querySelectorAll('*')].map(e => e.scrollHeight))")
    page.set_viewport_size({"width": size[0], "height": min(int(height), 6_000)})
    page.wait_for_timeout(1_500)
    page.screenshot(path=target)


def _open(browser: Browser, width: int, height: int, dark: bool) -> Page:
    page = new_context(browser, width, height, dark).new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


def _rounds(page: Page) -> int:
    return round_shown(page) if heading(page, re.compile("^The views")).count() else 0


def _small(source: Path, target: Path) -> None:
    """A palette of 256 colours: a third of the size. It covers rare colours, too: by area, the logo's orange goes."""
    with Image.open(source) as picture_:
        reduced = picture_.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
        reduced.save(target, optimize=True)


def main(home: Path | None) -> None:
    """Take them all."""
    EVERY.mkdir(exist_ok=True)
    README.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory() as fresh, dashboard(home or Path(fresh)) as served, chromium() as browser:
        run = newest(served) if home else take_run(browser, served)
        if home is None:
            take_sweep(served)
        for name in PAGES:
            for size in SIZES:
                for dark in (False, True):
                    taken = picture(browser, served, name, run, size, dark)
                    sys.stderr.write(f"{taken.relative_to(ROOT)}\n")
                    if size == SIZES[0] and not dark:
                        _small(taken, README / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else None)
