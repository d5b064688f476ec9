"""PreActResNets for 32x32 images (He et al. 2016, "Identity Mappings in Deep Residual Networks").

Parameter names follow the widely used CIFAR implementation (conv1, layer1.0.bn1, ..., linear), so that public
checkpoints of width 64 load unchanged. As in that implementation, no normalisation follows the last block; other
implementations have one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EXPANSION = 4
"""How many times as many channels a bottleneck's last convolution has as those before it."""


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after BatchNorm and ReLU, beside a shortcut.

    Maps [N, channels_in, H, W] to [N, channels_out, H / stride, W / stride].
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        pre = F.relu(self.bn1(x))
        shortcut = self.shortcut(pre) if hasattr(self, "shortcut") else x
        out = self.conv1(pre)
        out = self.conv2(F.relu(self.bn2(out)))
        return out + shortcut


class PreActBottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution, each after BatchNorm and ReLU, beside a shortcut.

    Maps [N, channels_in, H, W] to [N, EXPANSION * inside, H / stride, W / stride].
    """

    def __init__(self, channels_in: int, inside: int, stride: int) -> None:
        super().__init__()
        channels_out = EXPANSION * inside
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, inside, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(inside)
        self.conv3 = nn.Conv2d(inside, channels_out, 1, bias=False)
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        pre = F.relu(self.bn1(x))
        shortcut = self.shortcut(pre) if hasattr(self, "shortcut") else x
        out = self.conv2(F.relu(self.bn2(self.conv1(pre))))
        return self.conv3(F.relu(self.bn3(out))) + shortcut


class PreActResNet(nn.Module):
    """A network of four stages; as it stands, PreActResNet-18.

    Args:
        num_classes: number of logits K.
        width: channels of the first stage; 64 is the standard network, 16 a quarter of it.
        blocks: blocks of each stage.
        bottleneck: whether the blocks are `PreActBottleneck`, as from 50 layers.
        last_norm: whether BatchNorm and ReLU follow the last block, as in the paper and some implementations.

    Maps [N, channels, 32, 32] (normalised) to logits [N, K]. PreActResNet-18 has 20 convolutions, 75 * width channels
    in all.
    """

    def __init__(
        self,
        num_classes: int = 10,
        width: int = 64,
        channels: int = 3,
        blocks: tuple[int, ...] = (2, 2, 2, 2),
        bottleneck: bool = False,
        last_norm: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.stages = len(blocks)
        before = width
        for stage, count in enumerate(blocks, 1):
            inside = width << (stage - 1)
            made: list[nn.Module] = []
            for place in range(count):
                kind = PreActBottleneck if bottleneck else PreActBlock
                made.append(kind(before, inside, 2 if stage > 1 and not place else 1))
                before = inside * (EXPANSION if bottleneck else 1)
            setattr(self, f"layer{stage}", nn.Sequential(*made))
        if last_norm:
            self.bn = nn.BatchNorm2d(before)
        self.linear = nn.Linear(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        for stage in range(1, self.stages + 1):
            out = getattr(self, f"layer{stage}")(out)
        if hasattr(self, "bn"):
            out = F.relu(self.bn(out))
        out = F.adaptive_avg_pool2d(out, 1)
        return self.linear(torch.flatten(out, 1))
