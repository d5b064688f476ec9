"""A reader saves a figure from its own menu, and takes an archive away that holds the same numbers."""

import io
import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, Download, Locator, Page, expect

from invmask.exports.book import entries_of
from invmask.frames.run_records import read_records
from invmask.runs.store.run import Run
from tests.browser.dashboard import PATIENCE_MS, Dashboard, new_context
from tests.browser.pages import go_to, heading, press, settled
from tests.unit.run_helpers import small_spec, taken

pytestmark = pytest.mark.browser

VICTIM = "cifar10-preactresnet18w16-badnets"
PAPER_WHITE = (255, 255, 255)


@pytest.fixture
def run(served: Dashboard) -> Run:
    """A short real run in the dashboard's home."""
    return taken(served.home, small_spec(VICTIM), 4)


def open_save_menu(page: Page, chart: str) -> None:
    """Open the menu under a chart, and bring it into sight: pictures that arrive above may have pushed it out."""
    menu = page.locator(f".st-key-save-menu-{chart}").get_by_role("button", name="Save figure")
    menu.click()
    expect(page.get_by_role("button", name="CSV", exact=True)).to_be_visible()
    settled(page)
    menu.evaluate("button => button.scrollIntoView({ block: 'center' })")


def save(page: Page, kind: str) -> Download:
    """Press a button of the menu that is open."""
    with page.expect_download() as download:
        press(page, kind)
    return download.value


def switch_off(page: Page, pill: Locator) -> None:
    """Click until it is off and stays so: a page that is drawn anew just then may take no notice of a click."""
    for _ in range(3):
        if pill.get_attribute("aria-pressed") == "true":
            pill.click()
        settled(page)
        page.wait_for_timeout(500)
        settled(page)
        if pill.get_attribute("aria-pressed") == "false":
            return


def size(chart: Locator) -> tuple[float, float]:
    """Width and height on screen."""
    box = chart.bounding_box()
    assert box is not None
    return box["width"], box["height"]


def content(download: Download) -> bytes:
    return Path(download.path()).read_bytes()


def test_a_figure_is_saved_by_the_readers_own_browser(browser: Browser, served: Dashboard, run: Run):
    # A dark page: what is saved is for paper all the same.
    page = new_context(browser, dark=True).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{served.url}/defend?victim={VICTIM}&run={run.id}")
    expect(heading(page, "ACC, ASR and RA over the rounds")).to_be_visible()
    settled(page)
    chart = page.locator(".st-key-defend-measures")
    before = size(chart)
    open_save_menu(page, "defend-measures")
    svg = save(page, "SVG")
    assert svg.suggested_filename == f"{run.id}-defend-measures.svg"
    drawn = content(svg).decode()
    assert 'width="333"' in drawn
    labels = re.findall(r"<text[^>]*>(.*?)</text>", drawn, re.DOTALL)
    words = " ".join(re.sub(r"<[^>]*>", "", label) for label in labels)
    for label in (
        "ACC, clean accuracy",
        "ASR, attack success rate",
        "RA, recovery accuracy",
        "round",
        "50 %",
        "Pruned",
    ):
        assert label in words
    with Image.open(io.BytesIO(content(save(page, "PNG")))) as png:
        assert png.width == pytest.approx(1040, abs=2)
        assert png.convert("RGB").getpixel((2, 2)) == PAPER_WHITE
    table = pd.read_csv(io.BytesIO(content(save(page, "CSV"))))
    entries = run.entries()
    pruned = table[(table["panel"] == "ACC, clean accuracy") & (table["trace"] == "Pruned")]
    assert list(pruned["y, %"])[1:] == pytest.approx([100 * entry.views.pruned.acc for entry in entries], abs=0.01)
    # The chart on the page is as it was.
    assert size(chart) == before
    expect(chart).to_contain_text("ASR, attack success rate")
    page.context.close()


@pytest.mark.parametrize(
    ("path", "ready", "figure", "words"),
    [
        ("", "A backdoor, on a real victim", "start-trigger", ("clean", "triggered", "true class: ", "airplane, ")),
        ("flip", "Flip the mask", "flip-samples", ("triggered", "Original: ", "Pruned: ", "Inverse: ")),
        ("defend", "Synthesized triggers", "defend-synthesized", ("change ×", "perturbed", "Pruned: ")),
        ("neurons", "Feature maps", "neurons-channel-maps", ("clean: mean ", "triggered: mean ", "activation, in")),
        ("neurons", "What speaks for", "neurons-attributions", ("Grad-CAM", "Pruned", "airplane ")),
    ],
)
def test_pictures_have_the_menu_too(page: Page, served: Dashboard, run: Run, path, ready, figure, words):
    page.goto(f"{served.url}/{path}?victim={VICTIM}&run={run.id}&channel=layer3.0.conv1:5")
    expect(heading(page, re.compile(ready))).to_be_visible()
    settled(page)
    open_save_menu(page, figure)
    expect(page.locator(f".st-key-save-shown-{figure} .js-plotly-plot")).to_be_visible()
    drawn = content(save(page, "SVG")).decode()
    assert 'width="333"' in drawn
    labels = re.sub(r"<[^>]*>", "", " ".join(re.findall(r"<text[^>]*>(.*?)</text>", drawn, re.DOTALL)))
    for label in words:
        assert label in labels
    assert drawn.count("<image") >= 4
    with Image.open(io.BytesIO(content(save(page, "PNG")))) as png:
        assert png.width == pytest.approx(1040, abs=2)
        assert png.convert("RGB").getpixel((2, 2)) == PAPER_WHITE
    assert len(pd.read_csv(io.BytesIO(content(save(page, "CSV"))))) >= 4 * 28 * 28


def test_an_archive_is_made_found_again_and_holds_the_figures_numbers(
    browser: Browser, page: Page, served: Dashboard, run: Run, tmp_path: Path
):
    page.goto(f"{served.url}/defend?victim={VICTIM}&run={run.id}")
    page.get_by_role("radio", name="Terms of the loss").click()
    expect(heading(page, "The terms of the loss")).to_be_visible()
    settled(page)
    open_save_menu(page, "defend-losses")
    shown = content(save(page, "CSV")).decode()
    page.keyboard.press("Escape")

    go_to(page, "Export")
    expect(heading(page, "Export")).to_be_visible()
    formats = page.get_by_role("toolbar", name="Formats")
    for name in ("PDF", "PNG"):
        switch_off(page, formats.get_by_role("button", name=name, exact=True))
    for name in ("PDF", "PNG"):
        expect(formats.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "false")
    figures = [entry.name for entry in entries_of(read_records(run))]
    press(page, f"Make an archive of {len(figures)} figures")
    download = page.get_by_role("button", name=re.compile("^Download the archive"))
    expect(download).to_be_visible(timeout=240_000)
    page.reload()
    with page.expect_download() as saved:
        download.click()
    with zipfile.ZipFile(io.BytesIO(content(saved.value))) as archive:
        names = archive.namelist()
        files = {f"{name}.{kind}" for name in figures for kind in ("svg", "html", "csv", "txt")}
        assert set(names) == {*files, "plotly.min.js", "about.json"}
        assert archive.read("defend-losses.csv").decode() == shown
        assert "Total, weighted" in archive.read("defend-losses.svg").decode()
        assert f"Victim {VICTIM}" in archive.read("defend-losses.txt").decode()
        archive.extractall(tmp_path)
    offline = new_context(browser)
    offline.set_offline(True)
    page = offline.new_page()
    page.goto((tmp_path / "defend-losses.html").as_uri())
    expect(page.locator(".js-plotly-plot .scatterlayer .trace").first).to_be_visible()
    (tmp_path / "plotly.min.js").unlink()
    page.goto((tmp_path / "defend-measures.html").as_uri())
    expect(page.get_by_text("unpack the whole archive")).to_be_visible()
    offline.close()
