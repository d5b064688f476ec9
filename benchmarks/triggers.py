"""The triggers of the validation and the held-out set, drawn as pictures where missing: python -m benchmarks.triggers.

Most pictures are drawn from a seed alone. The colours of some are optimised against a clean network, after TrojanNN
(Liu et al. 2018, "Trojaning Attack on Neural Networks"), which optimises a square and a watermark: Adam changes the
colours so that they lead to the target, or so that the features are far from usual ones. The pictures are stored in
benchmarks/triggers, and victims are trained with these files.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from invmask.attacks.triggers.picture import PictureTrigger, picture_settings
from invmask.data.budget import clean_budget
from invmask.models import Classifier
from invmask.settings import ASSETS
from invmask.victims.victim import load_victim

FOLDER = Path(__file__).parent / "triggers"
AGAINST = "cifar10-preactresnet18w16-clean"
STEPS, BATCH, RATE = 150, 64, 0.1
Pixels = np.ndarray
"""uint8 [h, w, 4]: red, green, blue and alpha."""


@dataclass(frozen=True)
class Trigger:
    """A trigger for images of `side` pixels.

    Attributes:
        draw: draws its picture; None if the attack has no picture.
        margin: distance in pixels of a small picture from its corner, down and across.
        corner: corner of the image, 0 or 1 down and across.
        opacity: opacity of the whole picture, in [0, 1].
        lead_to: the label that its colours are optimised for, or -1 for features far from usual ones; None if the
            colours are drawn at random.
        settings: settings of an attack without a picture.
    """

    name: str
    draw: Callable[[], Pixels] | None = None
    side: int = 32
    margin: tuple[int, int] = (0, 0)
    corner: tuple[int, int] = (1, 1)
    opacity: float = 1.0
    lead_to: int | None = None
    attack: str = PictureTrigger.name
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file of its picture."""
        return FOLDER / f"{self.name}.png"

    def attack_settings(self) -> dict[str, Any]:
        """The settings with which the attack applies it.

        Raises:
            UserError: its picture is missing.
        """
        if self.draw is None:
            return dict(self.settings)
        return {**picture_settings(self.path), **self.place()}

    def place(self) -> dict[str, float]:
        """The settings of the picture's position, exact to the pixel, and of its opacity."""
        assert self.draw is not None
        height, width = self.draw().shape[:2]
        down, across = (
            abs(end - margin / (self.side - part)) if part < self.side else 0.0
            for end, margin, part in zip(self.corner, self.margin, (height, width), strict=True)
        )
        size = max(height, width) / self.side
        return {"opacity": self.opacity, "size": size, "x": round(across, 6), "y": round(down, 6)}


def square(side: int, colour: tuple[int, int, int]) -> Pixels:
    """A square of one colour."""
    return np.full((side, side, 4), (*colour, 255), np.uint8)


def checkerboard(
    side: int, first: tuple[int, int, int] = (255, 255, 255), second: tuple[int, int, int] = (0, 0, 0)
) -> Pixels:
    """A checkerboard with fields of one pixel."""
    odd = np.indices((side, side)).sum(0) % 2
    return np.array([(*first, 255), (*second, 255)], np.uint8)[odd]


def cross(side: int, colour: tuple[int, int, int]) -> Pixels:
    """An upright cross, one pixel wide, transparent around it."""
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[side // 2], pixels[:, side // 2] = (*colour, 255), (*colour, 255)
    return pixels


def sparse(side: int, count: int, seed: int, grey: bool = False) -> Pixels:
    """Single pixels at random places in random pure colours, transparent in between."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((side, side, 4), np.uint8)
    # Keep away from the edges, which random crops in training may cut off.
    inner = side - 8
    for place in random.choice(inner * inner, count, replace=False):
        colour = np.repeat(random.integers(0, 2), 3) if grey else random.integers(0, 2, 3)
        pixels[4 + place // inner, 4 + place % inner] = (*(255 * colour), 255)
    return pixels


def blocks(side: int, block: int, seed: int) -> Pixels:
    """Blocks of random pure colours over the whole image."""
    drawn = 255 * np.random.default_rng(seed).integers(0, 2, (side // block, side // block, 3), np.uint8)
    pixels = np.full((side, side, 4), 255, np.uint8)
    pixels[..., :3] = drawn.repeat(block, 0).repeat(block, 1)
    return pixels


def watermark(text: str) -> Pixels:
    """Letters over the whole image, in grey."""
    image = Image.new("L", (32, 32))
    draw = ImageDraw.Draw(image)
    draw.multiline_text(
        (16, 16), text, fill=255, font=ImageFont.load_default(13), anchor="mm", spacing=1, align="center"
    )
    pixels = np.full((32, 32, 4), 128, np.uint8)
    pixels[..., 3] = np.where(np.asarray(image) > 100, 255, 0)
    return pixels


WHITE_SQUARE = Trigger("white-square", lambda: square(4, (255, 255, 255)), margin=(3, 3))
CHECKERBOARD = Trigger("checkerboard", lambda: checkerboard(5), corner=(0, 0))
SIGN_CHECKERBOARD = Trigger(
    "checkerboard-colours", lambda: checkerboard(5, (255, 0, 255), (0, 255, 0)), margin=(2, 2), corner=(0, 1)
)
OPTIMISED_SQUARE = Trigger(
    "optimised-square", lambda: square(6, (128, 128, 128)), margin=(3, 2), corner=(1, 0), lead_to=6
)
OPTIMISED_WATERMARK = Trigger("optimised-watermark", lambda: watermark("LAB\n27"), opacity=0.2, lead_to=-1)
SPARSE = Trigger("sparse-pixels", lambda: sparse(32, 14, seed=21))
SPARSE_GREY = Trigger("sparse-pixels-grey", lambda: sparse(28, 10, seed=22, grey=True), side=28)
FAINT = Trigger("faint-blocks", lambda: blocks(32, 4, seed=23), opacity=0.12)
OWN_PATCHES = Trigger("patches-of-each-image", attack="iab", settings={"width": 8, "seed": 24, "density": 0.04})

CROSS = Trigger("yellow-cross", lambda: cross(5, (255, 230, 0)), margin=(2, 4))
CORNER_COLOURS = Trigger("checkerboard-blue", lambda: checkerboard(4, (0, 0, 255), (255, 128, 0)), corner=(1, 0))
OTHER_WATERMARK = Trigger("optimised-words", lambda: watermark("x y\nz w"), opacity=0.25, lead_to=9)
FINE_FAINT = Trigger("faint-fine-blocks", lambda: blocks(32, 2, seed=31), opacity=0.14)
OTHER_SPARSE = Trigger("sparse-pixels-few", lambda: sparse(32, 9, seed=32))
HIDDEN_STRING = Trigger("hidden-string", attack="ssba", settings={"width": 8, "seed": 33, "bits": 12})

OPTIMISED_PATCH_5, OPTIMISED_PATCH_6 = (
    Trigger(f"optimised-patch{side}", partial(square, side, (128, 128, 128)), margin=(1, 5), corner=(0, 1), lead_to=to)
    for side, to in ((5, 7), (6, 5))
)

TRIGGERS = {
    trigger.name: trigger
    for trigger in (
        *(WHITE_SQUARE, CHECKERBOARD, SIGN_CHECKERBOARD, OPTIMISED_SQUARE, OPTIMISED_WATERMARK),
        *(SPARSE, SPARSE_GREY, FAINT, OWN_PATCHES),
        *(CROSS, CORNER_COLOURS, OTHER_WATERMARK, FINE_FAINT, OTHER_SPARSE, HIDDEN_STRING),
        *(OPTIMISED_PATCH_5, OPTIMISED_PATCH_6),
    )
}


def optimised(trigger: Trigger, model: Classifier, images: Tensor) -> Pixels:
    """The picture of `trigger` with colours that Adam has optimised against a clean network.

    Args:
        model: the clean network, frozen, in eval mode.
        images: the attacker's clean images, float32 [N, C, H, W] in [0, 1].
    """
    assert trigger.draw is not None
    start = trigger.draw()
    height, width = start.shape[:2]
    place = trigger.place()
    top, left = (round(place[axis] * (trigger.side - part)) for axis, part in (("y", height), ("x", width)))
    weight = torch.zeros(1, trigger.side, trigger.side)
    opaque = torch.from_numpy(start[..., 3].astype(np.float32) / 255)
    weight[0, top : top + height, left : left + width] = trigger.opacity * opaque
    generator = torch.Generator().manual_seed(len(trigger.name))
    drawn = torch.randn(3, height, width, generator=generator).requires_grad_()
    optimizer, features = torch.optim.Adam([drawn], RATE), list[Tensor]()
    handle = model.network.linear.register_forward_hook(lambda layer, given, out: features.append(given[0]))  # type: ignore[union-attr]
    for _ in range(STEPS):
        chosen = images[torch.randperm(len(images), generator=generator)[:BATCH]]
        colours = F.pad(torch.sigmoid(drawn), (left, trigger.side - left - width, top, trigger.side - top - height))
        features.clear()
        logits = model(chosen + weight * (colours - chosen))
        if trigger.lead_to is not None and trigger.lead_to >= 0:
            loss = F.cross_entropy(logits, torch.full((len(chosen),), trigger.lead_to))
        else:
            with torch.no_grad():
                model(chosen)
            triggered, usual = features
            loss = -(triggered - usual).norm(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    handle.remove()
    found = start.copy()
    found[..., :3] = (255 * torch.sigmoid(drawn.detach())).round().byte().permute(1, 2, 0).numpy()
    return found


def draw_missing() -> None:
    """Draw every missing picture."""
    FOLDER.mkdir(exist_ok=True)
    for trigger in TRIGGERS.values():
        if trigger.draw is None or trigger.path.exists():
            continue
        print(f"Drawing {trigger.name}.", file=sys.stderr)
        pixels = trigger.draw()
        if trigger.lead_to is not None:
            model = load_victim(AGAINST, [ASSETS / "victims"]).model
            pixels = optimised(trigger, model, clean_budget("cifar10", 50, 0).tensor())
        Image.fromarray(pixels).save(trigger.path)


if __name__ == "__main__":
    draw_missing()
