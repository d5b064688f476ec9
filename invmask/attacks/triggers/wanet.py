"""WaNet: an elastic warp too small to be seen (Nguyen and Tran 2021, arXiv 2102.10369)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from invmask.attacks.base import Paper, to_8_bits
from invmask.attacks.training.poison_batches import LoopAttack


@dataclass(frozen=True)
class WaNet(LoopAttack):
    """Every pixel is sampled from a nearby place, given by a smooth field that is the same for every image.

    The field has `grid` x `grid` control points, drawn uniformly in [-1, 1]^2 from `seed`. They are divided by their
    mean absolute value, multiplied by `strength` and upsampled bicubically. The unit is half a pixel, so a control
    point moves `strength` half pixels on average along each axis. Bicubic interpolation overshoots, so the field is
    clipped to the range of its control points: no pixel moves further than `farthest`.

    In training, `noise_ratio` helpers per poisoned image are warped by the same field plus a random jitter of at most
    half a pixel at each place, and keep their labels (noise mode). So only the exact field is the trigger.
    """

    name: ClassVar[str] = "wanet"
    title: ClassVar[str] = "WaNet"
    explanation: ClassVar[str] = "The whole picture is warped a little, each pixel by a third of a pixel or so."
    paper = Paper("T. A. Nguyen, A. T. Tran", "WaNet: Imperceptible Warping-based Backdoor Attack", 2021, "2102.10369")
    limits: ClassVar[dict[str, tuple[float, float]]] = {"grid": (2, 64), "strength": (0, 64), "noise_ratio": (0, 8)}

    grid: int = 4
    strength: float = 0.5
    noise_ratio: float = 2.0
    seed: int = 0

    def helper_ratio(self, ratio: float) -> float:
        return min(self.noise_ratio * ratio, 1 - ratio)

    def helpers(self, images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        height, width = images.shape[2:]
        jitter = torch.rand(len(images), height, width, 2, generator=generator) - 0.5
        return to_8_bits(_warp(images, self.field(height, width).to(images)[None] + jitter.to(images)))

    def farthest(self) -> float:
        """The largest displacement along each axis, in pixels; a control point drawn near 1 reaches it."""
        return float(np.abs(self._control()).max())

    def field(self, height: int, width: int) -> Tensor:
        """Where each pixel is sampled, relative to its own place: float32 [H, W, 2], right and down, in pixels."""
        control = self._control()
        coarse = torch.from_numpy(control.astype(np.float32))[None]
        smooth = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0]
        return smooth.clamp(float(control.min()), float(control.max())).permute(1, 2, 0)

    def _control(self) -> np.ndarray:
        """The control points, [2, grid, grid], in pixels. NumPy's PCG64 makes them the same on every device."""
        draws = np.random.default_rng(self.seed).uniform(-1, 1, (2, self.grid, self.grid))
        return 0.5 * self.strength * draws / np.abs(draws).mean()

    def _trigger(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        return _warp(images, self.field(height, width).to(images)[None].expand(len(images), -1, -1, -1))


def _warp(images: Tensor, moves: Tensor) -> Tensor:
    """Sample `images` bilinearly at each pixel's place plus `moves` [N, H, W, 2]; border pixels extend outwards."""
    height, width = images.shape[2:]
    down, right = torch.meshgrid(
        *(torch.arange(side, device=images.device, dtype=images.dtype) for side in (height, width)), indexing="ij"
    )
    places = torch.stack([right, down], -1) + moves
    unit = places * 2 / places.new_tensor([width - 1, height - 1]) - 1
    return F.grid_sample(images, unit, mode="bilinear", padding_mode="border", align_corners=True)
