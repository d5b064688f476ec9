"""A reader clicks a channel on the map, cuts it on its page, sees the numbers move, and reloads the address."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from safetensors.torch import load_file

from invmask.defenses.ims.config import preset
from invmask.frames.channels import channel_name
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from tests.browser.dashboard import Dashboard
from tests.browser.pages import heading, press, query, settled, wait_until
from tests.unit.run_helpers import taken

pytestmark = pytest.mark.browser

VICTIM = "cifar10-preactresnet18w16-badnets"
STORED = Path(__file__).resolve().parents[1] / "data" / "badnets_default_spc10_seed0.safetensors"
# The channel of the first layer that the trigger needs most.
CHANNEL = "conv1:14"


@pytest.fixture
def run(served: Dashboard) -> Run:
    """A run of one round, which ended with the masks of a real one."""
    spec = RunSpec(victim=VICTIM, preset="default", spc=1, seed=0, config=preset("default"), probe_per_class=5)
    run = taken(served.home, spec, 1)
    stored = load_file(STORED)
    path = run.path / "masks.bin"
    content = path.read_bytes()
    row = stored["mask"].numpy().tobytes() + stored["selection"].numpy().tobytes()
    path.write_bytes(content[: len(row)] + row + content[2 * len(row) :])
    return run


def squares(page: Page) -> Locator:
    # Within the map: where the evidence is made by then, other charts stand above it.
    return page.locator(".st-key-neurons-map .scatterlayer .trace").first.locator("path.point")


def measure(page: Page, title: str) -> Locator:
    numbers = page.get_by_role("status", name="ACC, ASR and RA now")
    return numbers.locator(".nn-cell").filter(has_text=re.compile(rf"^\s*{title}, ")).locator(".nn-value")


def find_channels(page: Page, run: Run, part: str) -> None:
    """Search the table by part of a name, and wait until the rows found are the ones that a click would meet."""
    layout = run.layout()
    assert layout is not None
    found = sum(part in channel_name(layout.layers, channel) for channel in range(layout.channels))
    field = page.get_by_role("textbox", name="Find channels")
    field.fill(part)
    field.press("Enter")
    # The table is drawn on a canvas, which holds it once more for screen readers; one row more, the titles.
    table = page.get_by_test_id("stDataFrame").first.get_by_role("grid", include_hidden=True)
    expect(table).to_have_attribute("aria-rowcount", str(found + 1))


def test_a_channel_is_found_cut_and_kept_in_the_address(page: Page, served: Dashboard, run: Run):
    page.goto(f"{served.url}/neurons?victim={VICTIM}&run={run.id}&base=nothing+cut")
    expect(heading(page, "Neurons")).to_be_visible()
    expect(squares(page)).to_have_count(1_200)
    settled(page)
    squares(page).nth(14).click(force=True)
    expect(heading(page, "conv1, channel 14")).to_be_visible()
    wait_until(page, "the channel is in the address", lambda: query(page).get("channel") == CHANNEL, 20)
    before = measure(page, "ASR").inner_text()

    press(page, "Cut this channel")
    expect(measure(page, "ASR")).not_to_have_text(before)
    expect(page.get_by_text(f"1 cut by hand: {CHANNEL}.")).to_be_visible()
    after = {title: measure(page, title).inner_text() for title in ("ACC", "ASR", "RA")}
    assert query(page)["cut"] == "14"

    page.reload()
    expect(heading(page, "conv1, channel 14")).to_be_visible()
    expect(page.get_by_text(f"1 cut by hand: {CHANNEL}.")).to_be_visible()
    assert {title: measure(page, title).inner_text() for title in after} == after

    press(page, "Undo")
    expect(measure(page, "ASR")).to_have_text(before)
    expect(page.get_by_role("button", name="Cut this channel")).to_be_enabled()


def test_the_numbers_stay_in_sight_while_one_picks_channels(page: Page, served: Dashboard, run: Run):
    page.goto(f"{served.url}/neurons?victim={VICTIM}&run={run.id}")
    expect(squares(page)).to_have_count(1_200)
    settled(page)
    restore = page.get_by_role("button", name="Restore", exact=True)
    restore.scroll_into_view_if_needed()
    heading(page, "Samples").scroll_into_view_if_needed()
    expect(measure(page, "ASR")).to_be_in_viewport(ratio=1)
    expect(heading(page, "The top channels, cut from the original")).not_to_be_in_viewport()


def test_what_is_picked_in_the_table_stays_when_it_has_other_rows(page: Page, served: Dashboard, run: Run):
    page.goto(f"{served.url}/neurons?victim={VICTIM}&run={run.id}")
    expect(squares(page)).to_have_count(1_200)
    find_channels(page, run, "conv1:14")
    opens = page.get_by_test_id("stBaseButton-secondary").filter(has_text=re.compile("Open$"), visible=True)
    expect(opens).to_be_disabled()
    # The box before the first row.
    page.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 52})
    expect(opens).to_be_enabled()
    find_channels(page, run, "conv1")
    opens.click()
    expect(page.get_by_role("heading", name=re.compile("channel 14$"))).to_be_visible()


def test_the_top_ten_are_cut_saved_and_flipped(page: Page, served: Dashboard, run: Run):
    page.goto(f"{served.url}/neurons?victim={VICTIM}&run={run.id}&base=nothing+cut")
    expect(squares(page)).to_have_count(1_200)
    before = float(measure(page, "ASR").inner_text().split()[0])
    page.goto(f"{served.url}/neurons?victim={VICTIM}&run={run.id}")
    expect(page.get_by_text("10 channels cut: the top 10 by score")).to_be_visible()
    asr = measure(page, "ASR").inner_text()
    assert float(asr.split()[0]) < before - 20

    # The page is drawn anew whenever evidence has come, and a click at that moment is lost.
    expect(page.get_by_text("Gathering evidence in the background")).to_have_count(0, timeout=240_000)
    settled(page)
    page.get_by_role("button", name="Save mask").click()
    name = page.get_by_role("textbox", name="Name")
    name.fill("top ten")
    name.press("Enter")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as 'top ten'")).to_be_visible()
    page.goto(f"{served.url}/flip?victim={VICTIM}&run={run.id}&mask=top+ten&view=pruned")
    expect(page.get_by_text(re.compile(f"^Pruned view: ASR {re.escape(asr)}"))).to_be_visible()
