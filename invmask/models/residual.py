"""Small residual networks for 32x32 images: WideResNet-16 and ResNet-20."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.models.preactresnet import PreActBlock


class WideResNet16(nn.Module):
    """WideResNet-16 (Zagoruyko and Komodakis 2016): three stages of two pre-activation blocks.

    Args:
        width: channels of the first stage, 16 times the widening factor: 16 is WRN-16-1, 160 WRN-16-10.

    Maps [N, channels, H, W] (normalised) to logits [N, num_classes].
    """

    def __init__(self, num_classes: int = 10, width: int = 16, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        widths = [16, width, 2 * width, 4 * width]
        for stage in range(1, 4):
            blocks = [
                PreActBlock(widths[stage - 1], widths[stage], 1 if stage == 1 else 2),
                PreActBlock(widths[stage], widths[stage], 1),
            ]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
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


class ResNet20(nn.Module):
    """ResNet-20 (He et al. 2016, "Deep Residual Learning", section 4.2): the activation comes after the addition.

    Args:
        width: channels of the first of three stages; 16 is the published network.
        bias: whether the convolutions have a bias, as in some implementations, although BatchNorm follows.

    Maps [N, channels, H, W] (normalised) to logits [N, num_classes].
    """

    def __init__(self, num_classes: int = 10, width: int = 16, channels: int = 3, bias: bool = False) -> None:
        # Torchvision takes seconds to import, and most networks do not need it.
        from torchvision.models.resnet import BasicBlock

        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        before = width
        for stage in range(1, 4):
            after = width << (stage - 1)
            first = BasicBlock(before, after, 1 if stage == 1 else 2, None if stage == 1 else PaddedShortcut(before))
            setattr(self, f"layer{stage}", nn.Sequential(first, BasicBlock(after, after), BasicBlock(after, after)))
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
