"""The contact sheet of all attacks in the manual: python -m benchmarks.attack_sheet [FOLDER OF VICTIMS ...].

The trigger is that of the victim cifar10-preactresnet18w16-<attack> if it exists; an attack with its own networks needs
this victim. Otherwise the trigger follows from the attack's settings.
"""

import io
import sys
from pathlib import Path

from PIL import Image

from invmask import settings
from invmask.attacks.base import Attack, TrainedAttack
from invmask.attacks.registry import ATTACKS, make_attack
from invmask.data.embedded import load_embedded
from invmask.errors import UserError
from invmask.exports.images import NO_BROWSER, Renderer, find_browser
from invmask.figures.attack_sheet import SheetColumn, attack_sheet
from invmask.figures.triggers import trigger_tiles
from invmask.victims.victim import find_cards, read_card, victim_name

FILE = settings.ASSETS / "screenshots" / "attacks.png"
# Indices of embedded test images: a horse on a meadow, a close view of a cat, a ship under a plain sky.
PLACES = (7, 63, 105)
LEFT_OUT = ("picture",)
WIDTH = 1100


def attack_of(name: str, folders: list[Path]) -> Attack:
    """The attack with the victim's settings, or with its default settings if there is no victim.

    Raises:
        UserError: the attack's networks are trained with a victim, and there is no victim.
    """
    victim = victim_name("cifar10", "preactresnet18w16", name)
    path = find_cards(folders).get(victim)
    attack = make_attack(name) if path is None else read_card(path).make_attack()
    assert attack is not None
    if path is None and isinstance(attack, TrainedAttack):
        raise UserError(
            f"The networks of {attack.title} come with a victim; run 'python -m invmask train {name}' first."
        )
    return attack


def main(folders: list[Path]) -> None:
    """Draw the sheet."""
    images = load_embedded("cifar10", "test").images.tensor()[list(PLACES)]
    columns = []
    for name in ATTACKS:
        if name not in LEFT_OUT:
            attack = attack_of(name, folders)
            tiles = trigger_tiles(images.numpy(), (attack.apply(images) - images).numpy())
            columns.append(SheetColumn(attack.title.partition(" (")[0], tiles))
    program = find_browser()
    if program is None:
        raise UserError(NO_BROWSER)
    with Renderer(program) as renderer:
        content = renderer.draw(attack_sheet(columns, "paper"), "png")
    with Image.open(io.BytesIO(content)) as picture:
        height = round(picture.height * WIDTH / picture.width)
        small = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    small.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(FILE, optimize=True)
    print(f"{FILE}: {FILE.stat().st_size >> 10} KB")


if __name__ == "__main__":
    try:
        main([Path(folder) for folder in sys.argv[1:]] or settings.victim_folders())
    except UserError as error:
        sys.exit(str(error))
