"""How well SSBA hides its string: PSNR and bit accuracy on the embedded test images, as JSON.

Usage: python -m benchmarks.ssba [VICTIM], by default the embedded one's name.
"""

import json
import sys

import torch

from invmask import settings
from invmask.attacks.triggers.ssba import SSBA
from invmask.data.embedded import load_embedded
from invmask.errors import UserError
from invmask.victims.victim import load_victim


@torch.no_grad()
def measure(victim: str) -> dict[str, object]:
    """PSNR in dB, and bit accuracy in [0, 1] on triggered and on clean images."""
    card = load_victim(victim, settings.victim_folders()).card
    attack = card.make_attack()
    if not isinstance(attack, SSBA):
        raise UserError(f"{victim} was not made with SSBA.")
    images = load_embedded(card.dataset, "test").images.tensor()
    triggered = attack.apply(images)
    psnr = -10 * (triggered - images).square().flatten(1).mean(1).log10()
    return {
        "victim": victim,
        "settings": attack.settings(),
        "n": len(images),
        "psnr_db": {"mean": float(psnr.mean()), "least": float(psnr.min())},
        "largest_change": float((triggered - images).abs().max()),
        "bit_accuracy": float(attack.bit_accuracy(triggered).mean()),
        "bit_accuracy_clean": float(attack.bit_accuracy(images).mean()),
    }


if __name__ == "__main__":
    try:
        print(json.dumps(measure((*sys.argv[1:], "cifar10-preactresnet18w16-ssba")[0]), indent=2))
    except UserError as error:
        sys.exit(str(error))
