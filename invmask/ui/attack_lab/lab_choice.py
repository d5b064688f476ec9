"""The reader's choices on the page Attack lab. All are in the address: it holds the victim's whole specification."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from invmask.attacks.triggers.badnets import BadNets
from invmask.attacks.triggers.drawn import DrawnTrigger
from invmask.attacks.triggers.picture import PictureTrigger
from invmask.data.registry import dataset_info
from invmask.errors import UserError
from invmask.ui.attack_lab.lab_words import OF_THE_TRIGGER
from invmask.ui.parts.trigger_editor import Drawing
from invmask.ui.shell import address, drawing_in_address
from invmask.victims.small_victim import (
    DATASETS,
    EMBEDDED_IMAGES,
    IMAGE_NUMBERS,
    LAB_ATTACKS,
    MOST_EPOCHS,
    MOST_SEED,
    WIDTHS,
    SmallVictim,
)

DRAWN, PICTURE, SQUARE = DrawnTrigger.name, PictureTrigger.name, BadNets.name
RATIOS = ("0.2", "0.5", "1", "2", "5", "10", "20", "30", "50")
"""The poisoning ratios that the page offers, in per cent."""
MOST_SQUARE = 8
FIRST = {"trigger": DRAWN, "ratio": "10", "width": 16}
EPOCHS = {EMBEDDED_IMAGES: 24, 2000: 16, 5000: 10, 10_000: 6}
"""Epochs that are offered first, by the number of training images."""
FIRST_PICTURE = {"size": 25, "x": 95, "y": 95, "opacity": 100}
"""Size, place and opacity of a picture, in per cent (see `PictureTrigger`)."""


@dataclass(frozen=True)
class LabChoice:
    """The page's choices.

    Attributes:
        drawing: the drawn trigger, whichever trigger is chosen.
        picture: the uploaded picture, a PNG in base64; empty without one.
        placed: size, x, y and opacity of the picture in per cent.
        square: side of BadNets' square, in pixels.
        ratio: the poisoning ratio in per cent, one of `RATIOS`.
    """

    dataset: str
    trigger: str
    drawing: Drawing
    picture: str
    placed: Mapping[str, int]
    square: int
    target: int
    ratio: str
    images: int
    width: int
    epochs: int
    seed: int

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the chosen trigger that the page decides."""
        if self.trigger == DRAWN:
            return self.drawing.settings
        if self.trigger == PICTURE:
            return {"png": self.picture} | {name: value / 100 for name, value in self.placed.items()}
        return {"size": self.square} if self.trigger == SQUARE else {}

    def spec(self) -> SmallVictim:
        """The specification of the victim.

        Raises:
            UserError: there is no trigger yet, or it is not valid.
        """
        if self.trigger == PICTURE and not self.picture:
            raise UserError("Upload a picture for the trigger first.")
        spec = SmallVictim(
            self.dataset,
            self.trigger,
            self.settings,
            round(float(self.ratio) / 100, 6),
            self.target,
            self.images,
            self.width,
            self.epochs,
            self.seed,
        )
        spec.check()
        return spec


def read() -> LabChoice:
    """Read the choices from the address; missing or invalid ones get defaults."""
    dataset = address.choice("data", DATASETS[0], DATASETS)
    trigger = address.choice("trigger", DRAWN, LAB_ATTACKS)
    images = int(address.choice("images", str(EMBEDDED_IMAGES), [str(number) for number in IMAGE_NUMBERS]))
    epochs = address.number("epochs", MOST_EPOCHS, 1, f"has to be from 1 to {MOST_EPOCHS}")
    placed = FIRST_PICTURE
    if trigger == PICTURE:
        least = {"size": 1, "opacity": 1}
        given = {name: address.number(name, 100, least.get(name, 0), "has to be a percentage") for name in placed}
        placed = {name: placed[name] if value is None else value for name, value in given.items()}
    square = None
    if trigger == SQUARE:
        square = address.number("size", MOST_SQUARE, 1, f"has to be from 1 to {MOST_SQUARE}")
    return LabChoice(
        dataset=dataset,
        trigger=trigger,
        drawing=drawing_in_address.read(*dataset_info(dataset).shape[1:]) if trigger == DRAWN else Drawing(),
        picture=_picture() if trigger == PICTURE else "",
        placed=placed,
        square=BadNets.size if square is None else square,
        target=address.number("target", 9, why="labels are 0 to 9") or 0,
        ratio=address.choice("ratio", FIRST["ratio"], RATIOS),
        images=images,
        width=int(address.choice("width", str(FIRST["width"]), [str(width) for width in WIDTHS])),
        epochs=EPOCHS[images] if epochs is None else epochs,
        seed=address.number("seed", MOST_SEED) or 0,
    )


def _picture() -> str:
    text = address.choice("picture", "")
    if not text:
        return ""
    try:
        png = base64.b64encode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))).decode()
        PictureTrigger(png)
    except (UserError, binascii.Error, ValueError):
        address.leave_out("picture", "not a picture")
        return ""
    return png


def set_picture(png: str) -> None:
    """Choose an uploaded picture, a PNG in base64."""
    address.choose("picture", png.replace("+", "-").replace("/", "_").rstrip("="))


def set_trigger(trigger: str) -> None:
    """Choose another trigger. What the address says of the previous one is removed."""
    for name in OF_THE_TRIGGER:
        address.choose(name, None)
    address.choose("trigger", None if trigger == DRAWN else trigger)


def set_images(images: int) -> None:
    """Choose another number of training images, with the epochs that suit it."""
    address.choose("images", None if images == EMBEDDED_IMAGES else str(images))
    address.choose("epochs", None)


def set_word(name: str, value: object, first: object) -> None:
    """Put another choice into the address; the first choice is not in it."""
    address.choose(name, None if value == first else str(value))


def words_of(spec: SmallVictim) -> dict[str, str]:
    """The words of the address that describe a specification made on this page."""
    settings, words = spec.settings, {}
    words |= {"data": spec.dataset, "trigger": spec.attack, "target": str(spec.target_label)}
    words |= {"ratio": re.sub(r"\.0$", "", f"{100 * spec.poisoning_ratio:.6g}"), "images": str(spec.images)}
    words |= {"width": str(spec.width), "epochs": str(spec.epochs), "seed": str(spec.seed)}
    if spec.attack == DRAWN:
        words |= {name: str(settings[name]) for name in ("pixels", "left", "top") if name in settings}
        words["opacity"] = str(round(100 * settings.get("opacity", 1)))
    elif spec.attack == PICTURE:
        words |= {name: str(round(100 * settings[name])) for name in FIRST_PICTURE}
        words["picture"] = settings["png"].replace("+", "-").replace("/", "_").rstrip("=")
    elif spec.attack == SQUARE:
        words["size"] = str(settings.get("size", BadNets.size))
    return words
