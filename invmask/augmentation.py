"""Random crops, flips and mixtures, drawn separately for every image of a batch."""

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(images: Tensor, generator: torch.Generator, padding: int, flip: bool) -> Tensor:
    """Crop every image at a random place, and mirror it with probability 1/2.

    Args:
        images: any type, [N, C, H, W].
        generator: a CPU generator, so that the draws are the same on every device.
        padding: zero pixels added on each side before the crop.
        flip: whether to mirror each image left to right with probability 1/2.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, [padding] * 4)
    top, left = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = rows.to(images.device), columns.to(images.device)
    every = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[every, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mixed(images: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Mix some images with another image of the batch: (1 - a) x + a x', a uniform in [0, 1/2) (Zhang et al. 2018).

    Args:
        images: float, [N, C, H, W].
        generator: a CPU generator, so that the draws are the same on every device.
        share: probability, in [0, 1], that an image is mixed.
    """
    count = len(images)
    other = torch.randperm(count, generator=generator).to(images.device)
    chosen, parts = torch.rand(2, count, generator=generator)
    parts = torch.where(chosen < share, parts / 2, 0.0).to(images)[:, None, None, None]
    return images.lerp(images[other], parts)
