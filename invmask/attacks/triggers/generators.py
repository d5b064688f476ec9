"""The small networks that make triggers."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _block(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    # Normalised image by image, so that a trigger does not depend on the other images of the batch.
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1),
        nn.GroupNorm(4, channels_out),
        nn.ReLU(),
    )


class Generator(nn.Module):
    """A small U-Net: down to a quarter of the image size and up again, with skip connections.

    Maps [N, channels_in, H, W] of any size to [N, channels_out, H, W].

    Args:
        width: channels at full size, a multiple of 4.
    """

    def __init__(self, channels_in: int, channels_out: int, width: int) -> None:
        super().__init__()
        self.stem = _block(channels_in, width)
        self.down1, self.down2 = _block(width, 2 * width, 2), _block(2 * width, 4 * width, 2)
        self.middle = _block(4 * width, 4 * width)
        self.up1, self.up2 = _block(6 * width, 2 * width), _block(3 * width, width)
        self.head = nn.Conv2d(width, channels_out, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        full = self.stem(x.contiguous(memory_format=torch.channels_last))
        half = self.down1(full)
        deep = self.middle(self.down2(half))
        up = self.up1(torch.cat([half, F.interpolate(deep, half.shape[2:])], 1))
        return self.head(self.up2(torch.cat([full, F.interpolate(up, full.shape[2:])], 1)))


class Encoder(nn.Module):
    """Draws a bit string into an image as a faint change (after StegaStamp's encoder, Tancik et al. 2020).

    Maps images [N, C, H, W] in [0, 1] and bits [N, B] in {0, 1} to changes [N, C, H, W] in [-1, 1].
    """

    SIDE = 16

    def __init__(self, channels: int, bits: int, width: int) -> None:
        super().__init__()
        self.channels = channels
        self.plane = nn.Linear(bits, channels * self.SIDE**2)
        self.draw = Generator(2 * channels, channels, width)

    def forward(self, images: Tensor, bits: Tensor) -> Tensor:
        plane = self.plane(2 * bits - 1).view(-1, self.channels, self.SIDE, self.SIDE)
        plane = F.interpolate(plane.to(images.dtype), images.shape[2:])
        return torch.tanh(self.draw(torch.cat([2 * images - 1, plane], 1)))


class Decoder(nn.Module):
    """Reads the bits back: maps images [N, C, H, W] in [0, 1] to logits [N, B]."""

    def __init__(self, channels: int, bits: int, width: int) -> None:
        super().__init__()
        self.see = nn.Sequential(
            _block(channels, width),
            _block(width, 2 * width, 2),
            _block(2 * width, 4 * width, 2),
            nn.AdaptiveAvgPool2d(4),
        )
        self.read = nn.Linear(4 * width * 16, bits)

    def forward(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        return self.read(self.see(2 * images - 1).flatten(1))
