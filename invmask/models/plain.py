"""Small plain networks: convolutions, optional BatchNorm, activations and pooling.

They differ from the residual networks on which the defences here are mostly run, and they train quickly.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn


class Plain(nn.Module):
    """3x3 convolutions in stages with 2x2 pooling between the stages, global average pooling, and one linear layer.

    Args:
        num_classes: number of logits K.
        stages: channels of each convolution, stage by stage.
        channels: channels of the images.
        activation: a module class without arguments; each convolution has its own instance.
        batchnorm: whether BatchNorm follows each convolution, which then has no bias.
        dropout: dropout probability between the stages and before the linear layer.

    Maps [N, channels, H, W] (normalised; sides of at least 2 ** (stages - 1) pixels) to logits [N, K].
    """

    def __init__(
        self,
        num_classes: int,
        stages: tuple[tuple[int, ...], ...],
        channels: int = 3,
        activation: type[nn.Module] = nn.ReLU,
        batchnorm: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        before = channels
        for number, stage in enumerate(stages):
            if number:
                layers[f"pool{number}"] = nn.MaxPool2d(2)
            for place, after in enumerate(stage):
                name = f"{number + 1}_{place + 1}"
                layers[f"conv{name}"] = nn.Conv2d(before, after, 3, padding=1, bias=not batchnorm)
                if batchnorm:
                    layers[f"bn{name}"] = nn.BatchNorm2d(after)
                layers[f"act{name}"] = activation()
                before = after
            if dropout:
                layers[f"drop{number + 1}"] = nn.Dropout(dropout)
        self.features = nn.Sequential(layers)
        self.linear = nn.Linear(before, num_classes)
        if not batchnorm:
            keep_signal(self.features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.flatten(self.features(x).mean((2, 3)), 1))


class PlainCNN(nn.Module):
    """Four 3x3 convolutions with biases and ReLU, 2x2 pooling before the second, third and fourth, two linear layers.

    It has no normalisation. Average pooling to 2x2 places connects the convolutions with the linear layers.

    Args:
        width: channels of the first convolution; the others have 2, 4 and 4 times as many.

    Maps [N, channels, H, W] (normalised; sides of at least 8 pixels) to logits [N, num_classes].
    """

    def __init__(self, num_classes: int, width: int, channels: int = 3) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        before = channels
        for number, after in enumerate((width, 2 * width, 4 * width, 4 * width), 1):
            if number > 1:
                layers[f"pool{number}"] = nn.MaxPool2d(2)
            layers[f"conv{number}"] = nn.Conv2d(before, after, 3, padding=1)
            layers[f"act{number}"] = nn.ReLU()
            before = after
        self.features = nn.Sequential(layers)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.hidden = nn.Linear(4 * before, 8 * width)
        self.linear = nn.Linear(8 * width, num_classes)
        keep_signal(self.features)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.flatten(self.pool(self.features(x)), 1)
        return self.linear(torch.relu(self.hidden(pooled)))


def keep_signal(features: nn.Sequential) -> None:
    """He initialisation (He et al. 2015) for convolutions without normalisation; the default lets the signal fade."""
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def vgg6(
    num_classes: int,
    width: int,
    channels: int,
    activation: type[nn.Module] = nn.ReLU,
    batchnorm: bool = True,
    dropout: float = 0.0,
) -> Plain:
    """Six convolutions in three stages of `width`, 2 and 4 times `width` channels (after Simonyan, Zisserman 2015)."""
    stages = tuple((width << stage,) * 2 for stage in range(3))
    return Plain(num_classes, stages, channels, activation, batchnorm, dropout)


def cnn4(num_classes: int, width: int, channels: int) -> Plain:
    """Four convolutions of `width`, 2, 4 and 4 times `width` channels in three stages; made for 28x28 grey images.

    Only one convolution runs at full resolution, because that is the most expensive.
    """
    return Plain(num_classes, ((width,), (2 * width,), (4 * width, 4 * width)), channels)
