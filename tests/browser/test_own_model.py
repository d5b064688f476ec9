"""Own model in a real browser: drag a checkpoint and a folder in, read the verdict, flip, take the model away."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect
from safetensors.torch import load_file

from tests.browser.dashboard import Dashboard
from tests.browser.pages import go_to, heading, press, query, settled
from tests.unit.own_models import known_victim, some_images

pytestmark = pytest.mark.browser

MINUTES_MS = 240_000


def _files(folder: Path) -> tuple[Path, Path]:
    """A checkpoint as a training program stores it, and a folder of classes."""
    victim = known_victim()
    state = {f"module.{name}": tensor for name, tensor in victim.model.network.state_dict().items()}  # type: ignore[union-attr]
    torch.save({"net": state, "acc": 95.1}, folder / "net.pth")
    images, names = some_images(8), victim.card.dataset_info.classes
    for place, (pixels, label) in enumerate(zip(images.pixels, images.labels, strict=True)):
        target = folder / "pictures" / names[label]
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(target / f"{place}.png")
    return folder / "net.pth", folder / "pictures"


def test_a_file_and_a_folder_become_a_verdict_and_a_repaired_model(page: Page, served: Dashboard, tmp_path: Path):
    weights, pictures = _files(tmp_path)
    page.goto(f"{served.url}/own_model")
    expect(heading(page, "Own model")).to_be_visible()
    settled(page)
    inputs = page.locator("input[type=file]")
    inputs.nth(0).set_input_files(weights)
    inputs.nth(1).set_input_files(pictures)
    expect(page.get_by_text("net.pth").first).to_be_visible()
    expect(page.get_by_text(re.compile(r"pictures/.*png")).first).to_be_visible()
    # The page is drawn once more when the last picture has arrived.
    settled(page)
    page.wait_for_timeout(2_000)
    settled(page)
    press(page, "Bring it in")
    expect(heading(page, "What was found out")).to_be_visible(timeout=MINUTES_MS)
    press(page, "Check it")
    expect(page.get_by_text("Likely backdoored, to label T-shirt").first).to_be_visible(timeout=MINUTES_MS)
    expect(page.get_by_text("Finished after").first).to_be_visible(timeout=MINUTES_MS)
    expect(page.get_by_text("Nobody has a trigger for this network").first).to_be_visible()
    page.get_by_role("link", name="Flip it").click()
    expect(heading(page, "Flip the mask")).to_be_visible()
    assert query(page)["victim"].startswith("own-net-")
    go_to(page, "Export")
    button = page.get_by_role("button", name="Export and check the model")
    button.scroll_into_view_if_needed()
    settled(page)
    button.click()
    with page.expect_download(timeout=MINUTES_MS) as taken:
        page.get_by_role("button", name=re.compile(r"^Download .*safetensors")).click(timeout=MINUTES_MS)
    taken.value.save_as(tmp_path / "repaired.safetensors")
    known = torch.load(weights, weights_only=True)["net"]
    assert load_file(tmp_path / "repaired.safetensors").keys() == known.keys()
