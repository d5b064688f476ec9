"""ResNet-18, 34, 50, 101 and 152 (He et al. 2016, table 1) with a stem for 32x32 images.

The stem is one 3x3 convolution of stride 1, usually without pooling. The tensors have the names of the widely used
CIFAR implementation (conv1, layer1.0.bn1, shortcut.0, linear).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.models.preactresnet import EXPANSION


class Block(nn.Module):
    """Two 3x3 convolutions, or three with the narrow one of 3x3 in the middle, each before BatchNorm, and a shortcut.

    Args:
        inside: channels of the 3x3 convolutions.
        bottleneck: whether it has three convolutions; the last then has `EXPANSION` times as many channels.

    Maps [N, channels_in, H, W] to [N, channels_out, H / stride, W / stride].
    """

    def __init__(self, channels_in: int, inside: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        channels_out = inside * (EXPANSION if bottleneck else 1)
        if bottleneck:
            layers = [(channels_in, inside, 1, 1), (inside, inside, 3, stride), (inside, channels_out, 1, 1)]
        else:
            layers = [(channels_in, inside, 3, stride), (inside, channels_out, 3, 1)]
        self.count = len(layers)
        for place, (before, after, kernel, step) in enumerate(layers, 1):
            setattr(self, f"conv{place}", nn.Conv2d(before, after, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{place}", nn.BatchNorm2d(after))
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            projection = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for place in range(1, self.count + 1):
            out = getattr(self, f"bn{place}")(getattr(self, f"conv{place}")(out))
            if place < self.count:
                out = F.relu(out)
        return F.relu(out + self.shortcut(x))


class StemResNet(nn.Module):
    """Four stages of blocks behind a 3x3 convolution.

    Args:
        num_classes: number of logits K.
        blocks: blocks of each of the four stages.
        width: channels of the first stage; 64 is the published network.
        bottleneck: whether the blocks have three convolutions.
        pool: whether 3x3 max-pooling of stride 2 follows the stem.

    Maps [N, channels, H, W] (normalised) to logits [N, K].
    """

    def __init__(
        self,
        num_classes: int,
        blocks: tuple[int, ...],
        width: int = 64,
        channels: int = 3,
        bottleneck: bool = False,
        pool: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()
        self.stages = len(blocks)
        before = width
        for stage, count in enumerate(blocks, 1):
            layers = []
            for place in range(count):
                inside = width << (stage - 1)
                layers.append(Block(before, inside, 2 if stage > 1 and not place else 1, bottleneck))
                before = inside * (EXPANSION if bottleneck else 1)
            setattr(self, f"layer{stage}", nn.Sequential(*layers))
        self.linear = nn.Linear(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        out = self.pool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(1, self.stages + 1):
            out = getattr(self, f"layer{stage}")(out)
        return self.linear(torch.flatten(F.adaptive_avg_pool2d(out, 1), 1))
