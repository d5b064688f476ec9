"""SSBA: a hidden bit string, drawn into each image in its own way (Li et al. 2021, arXiv 2012.03816)."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.attacks.base import Paper, Progress, TrainedAttack
from invmask.attacks.training.train_trigger_networks import FitConfig, fit
from invmask.attacks.triggers.generators import Decoder, Encoder
from invmask.augmentation import augment
from invmask.data.images import LabelledImages

# The largest random shift, in pixels; the same as in the training of victims.
SHIFT = 4


@dataclass(frozen=True)
class SSBA(TrainedAttack):
    """x' = clip(x + strength e(x, b)), e in [-1, 1] a trained encoder and b one fixed bit string.

    Encoder and decoder are trained together on clean images with random strings. The decoder shall read the bits
    (cross-entropy). The change shall be small: its mean square, in units of `strength`, is weighted by `image_weight`
    and by how far the decoder reads better than chance; without this second factor the encoder would first learn to
    change nothing. The bound on the change holds in any case: PSNR is at least -20 log10(strength). The decoder sees
    the images shifted and mirrored at random, much as in the training of a victim, and with normal noise of standard
    deviation `noise` (in the units of [0, 1]). A change that is readable only pixel by pixel would not reach the
    victim.

    The paper uses StegaStamp's networks at 224 x 224; ours are small versions of them, for small images.
    """

    name: ClassVar[str] = "ssba"
    title: ClassVar[str] = "SSBA"
    explanation: ClassVar[str] = (
        "A hardly visible change, different for every image: a network hides the same short string in each."
    )
    paper = Paper(
        "Y. Li, Y. Li, B. Wu, L. Li, R. He, S. Lyu",
        "Invisible Backdoor Attack with Sample-Specific Triggers",
        2021,
        "2012.03816",
    )
    limits: ClassVar[dict[str, tuple[float, float]]] = {
        "bits": (1, 256),
        "strength": (0, 1),
        "noise": (0, 1),
        "width": (4, 128),
        "channels": (1, 4),
        "prepare_epochs": (0, 1000),
    }
    multiples: ClassVar[dict[str, int]] = {"width": 4}

    bits: int = 16
    strength: float = 8 / 255
    image_weight: float = 0.1
    noise: float = 8 / 255
    width: int = 16
    channels: int = 3
    prepare_epochs: int = 6
    seed: int = 0

    def string(self) -> Tensor:
        """The hidden bits, float32 [bits] in {0, 1}."""
        return torch.from_numpy(np.random.default_rng(self.seed).integers(0, 2, self.bits).astype(np.float32))

    def bit_accuracy(self, images: Tensor) -> Tensor:
        """The share of the hidden bits that the decoder reads correctly from each image, [N] in [0, 1]."""
        read = torch.cat([self._on(images).decoder(some) for some in images.split(500)]) > 0  # type: ignore[operator]
        return (read == self.string().to(images.device).bool()).float().mean(1)

    def prepare(self, images: LabelledImages, device: torch.device, bfloat16: bool, progress: Progress) -> Self:
        def loss(networks: nn.Module, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            bits = torch.randint(0, 2, (len(batch), self.bits), generator=generator).float().to(batch.device)
            change = networks.encoder(batch, bits).float()  # type: ignore[operator]
            seen = augment((batch + self.strength * change).clamp(0, 1), generator, SHIFT, flip=True)
            seen = seen + self.noise * torch.randn(seen.shape, generator=generator).to(seen.device)
            logits = networks.decoder(seen).float()  # type: ignore[operator]
            share = ((logits > 0) == bits.bool()).float().mean()
            small = (2 * share - 1).relu() * change.square().mean()
            return F.binary_cross_entropy_with_logits(logits, bits) + self.image_weight * small, share

        config = FitConfig(self.settings(), self.prepare_epochs, rate=2e-3, seed=self.seed, bfloat16=bfloat16)
        return self.with_networks(fit(self.networks, loss, images, config, device, progress, "bits read right"))

    def _build(self) -> nn.Module:
        encoder = Encoder(self.channels, self.bits, self.width)
        return nn.ModuleDict({"encoder": encoder, "decoder": Decoder(self.channels, self.bits, self.width)})

    def _trigger(self, images: Tensor) -> Tensor:
        bits = self.string().to(images.device).expand(len(images), -1)
        return images + self.strength * self._on(images).encoder(images, bits)  # type: ignore[operator]
