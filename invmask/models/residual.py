"""Residual networks of three stages for 32x32 images: WideResNets and ResNets of 6n + 2 layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.models.preactresnet import PreActBlock


class WideResNet(nn.Module):
    """A WideResNet (Zagoruyko and Komodakis 2016): three stages of pre-activation blocks; as it stands, WRN-16-1.

    Args:
        width: channels of the first stage, 16 times the widening factor: 16 is WRN-16-1, 160 WRN-16-10.
        blocks: blocks of each stage; the depth is 6 times as many, and 4.

    Maps [N, channels, H, W] (normalised) to logits [N, num_classes].
    """

    def __init__(self, num_classes: int = 10, width: int = 16, channels: int = 3, blocks: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        widths = [16, width, 2 * width, 4 * width]
        for stage in range(1, 4):
            made = [PreActBlock(widths[stage - 1], widths[stage], 1 if stage == 1 else 2)]
            made += [PreActBlock(widths[stage], widths[stage], 1) for _ in range(blocks - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(*made))
        self.bn = nn.BatchNorm2d(widths[3])
        self.linear = nn.Linear(widths[3], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        for stage in range(1, 4):
            out = getattr(self, f"layer{stage}")(out)
        out = F.relu(self.bn(out))
        return self.linear(torch.flatten(F.adaptive_avg_pool2d(out, 1), 1))


class PaddedShortcut(nn.Module):
    """A shortcut without weights (option A): every second position, and zeros for the additional channels."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))


class ThreeStageResNet(nn.Module):
    """A ResNet of 6n + 2 layers (He et al. 2016, "Deep Residual Learning", section 4.2); as it stands, ResNet-20.

    The activation comes after the addition.

    Args:
        width: channels of the first of three stages; 16 is the published network.
        bias: whether the convolutions have a bias, as in some implementations, although BatchNorm follows.
        blocks: n, the blocks of each stage.
        projected: whether the shortcuts between stages are convolutions (option B) instead of padding (option A).

    Maps [N, channels, H, W] (normalised) to logits [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        width: int = 16,
        channels: int = 3,
        bias: bool = False,
        blocks: int = 3,
        projected: bool = False,
    ) -> None:
        # Torchvision takes seconds to import, and most networks do not need it.
        from torchvision.models.resnet import BasicBlock

        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        before = width
        for stage in range(1, 4):
            after = width << (stage - 1)
            shortcut = None
            if stage > 1 and projected:
                projection = nn.Conv2d(before, after, 1, 2, bias=False)
                shortcut = nn.Sequential(projection, nn.BatchNorm2d(after))
            elif stage > 1:
                shortcut = PaddedShortcut(before)
            made = [BasicBlock(before, after, 1 if stage == 1 else 2, shortcut)]
            made += [BasicBlock(after, after) for _ in range(blocks - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(*made))
            before = after
        self.linear = nn.Linear(before, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if bias:
                    # Initialised as torch initialises the bias of a convolution.
                    bound = module.weight[0].numel() ** -0.5
                    module.bias = nn.Parameter(torch.empty(module.out_channels).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        for stage in range(1, 4):
            out = getattr(self, f"layer{stage}")(out)
        return self.linear(torch.flatten(F.adaptive_avg_pool2d(out, 1), 1))
