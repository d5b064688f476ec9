"""PreActResNet-18 for 32x32 images (He et al. 2016, "Identity Mappings in Deep Residual Networks").

Parameter names follow the widely used CIFAR implementation (conv1, layer1.0.bn1, ..., linear), so that public
checkpoints of width 64 load unchanged. As in that implementation, no normalisation follows the last block.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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


class PreActResNet18(nn.Module):
    """The 18-layer network of four stages with two blocks each.

    Args:
        num_classes: number of logits K.
        width: channels of the first stage; 64 is the standard network, 16 a quarter of it.

    Maps [N, 3, 32, 32] (normalised) to logits [N, K]. Has 20 convolutions, 75 * width channels in all.
    """

    def __init__(self, num_classes: int = 10, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        for stage in range(1, 5):
            stride = 1 if stage == 1 else 2
            blocks = [
                PreActBlock(widths[stage - 1], widths[stage], stride),
                PreActBlock(widths[stage], widths[stage], 1),
            ]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(widths[4], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        for stage in range(1, 5):
            out = getattr(self, f"layer{stage}")(out)
        out = F.adaptive_avg_pool2d(out, 1)
        return self.linear(torch.flatten(out, 1))
