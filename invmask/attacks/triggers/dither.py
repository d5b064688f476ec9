"""Floyd and Steinberg's dithering (1976, "An Adaptive Algorithm for Spatial Greyscale") for a batch of images."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Offsets of the neighbours: right; below left; below; below right.
_SPREAD = ((0, 1, 7 / 16), (1, -1, 3 / 16), (1, 0, 5 / 16), (1, 1, 1 / 16))


def floyd_steinberg(images: Tensor, levels: int) -> Tensor:
    """Round every channel to `levels` even levels of [0, 1] and pass each pixel's error to later neighbours.

    A pixel depends on its left neighbour and on the three pixels above it. Pixels with the same `column + 2 * row` do
    not depend on each other, so they are processed together.

    Args:
        images: float, [N, C, H, W], in [0, 1]; left unchanged.

    Returns:
        float, [N, C, H, W], multiples of 1 / (levels - 1) in [0, 1].
    """
    height, width = images.shape[2:]
    # A margin receives the errors that leave the image.
    work = F.pad(images, (1, 1, 0, 1))
    for wave in range(width + 2 * (height - 1)):
        rows = torch.arange(max(0, (wave - width + 2) // 2), min(height - 1, wave // 2) + 1, device=images.device)
        columns = wave - 2 * rows + 1
        before = work[:, :, rows, columns]
        after = torch.round(before.clamp(0, 1) * (levels - 1)) / (levels - 1)
        work[:, :, rows, columns] = after
        for down, right, part in _SPREAD:
            work[:, :, rows + down, columns + right] += part * (before - after)
    return work[:, :, :height, 1:-1]
