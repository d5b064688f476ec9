"""FT-SAM: fine-tune so that the loss is low in a whole neighbourhood of the weights.

M. Zhu, S. Wei, L. Shen, Y. Fan, B. Wu, Enhancing Fine-Tuning Based Backdoor Defense with Sharpness-Aware
Minimization, ICCV 2023, arXiv 2304.11823. Plain fine-tuning hardly moves the weights of channels that carry a
backdoor, for their gradient on clean images is small. Here every step descends the loss at w + e instead of at w,
with

    e = rho T^2 g / ||T g||,   T = diag(|w|),

g being the gradient at w: the worst change of the weights relative to their size. Large weights are moved most. The
loss is the cross entropy with smoothed labels. The steps are those of `pytorch_optimizer.SAM`. BatchNorm's running
statistics are updated at w only.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses.base import Record, Subject
from invmask.defenses.entry import Capabilities, Stage, Term
from invmask.defenses.registry import register
from invmask.defenses.settings import setting
from invmask.defenses.tuning import (
    Means,
    TunedState,
    Tuning,
    TuningConfig,
    after_epoch,
    batches,
    generator_of,
    logits_of,
    network_with,
)

if TYPE_CHECKING:
    from pytorch_optimizer import SAM

TUNE = "fine-tune"


@dataclass(frozen=True, kw_only=True)
class FTSAMConfig(TuningConfig):
    """The settings; the defaults are those of the field's usual benchmark."""

    radius: float = setting(
        2.0,
        (0.0, 10.0, 0.1),
        "Radius",
        "How far the weights are moved, relative to their size, before each gradient. 0 is plain fine-tuning.",
        symbol="ρ",
        basic=True,
    )
    label_smoothing: float = setting(
        0.1, (0.0, 0.9, 0.05), "Label smoothing", "Share of each label that is spread over all classes.", basic=True
    )


@register(
    name="ft-sam",
    title="FT-SAM",
    family="fine-tuning",
    paper="M. Zhu et al., Enhancing Fine-Tuning Based Backdoor Defense with Sharpness-Aware Minimization, ICCV 2023, "
    "arXiv 2304.11823",
    explanation="Fine-tunes so that the loss is low in a whole neighbourhood of the weights, which moves them further.",
    config=FTSAMConfig,
    presets={"paper": FTSAMConfig()},
    preset_words={"paper": "the settings that the field's benchmark runs it with."},
    stages=(
        Stage(
            TUNE,
            "Fine-tune",
            "Tune",
            "Train all weights on the clean images, each step by the gradient at the worst weights near by.",
            "one epoch over the clean images",
        ),
    ),
    terms={
        "cross entropy": Term(
            "Cross entropy, clean images", "Low when the network says their classes.", view="repaired"
        ),
        "worst": Term("Cross entropy, worst weights", "Low when it says them with the worst weights near by, too."),
    },
    capabilities=Capabilities(channels=False, triggers=False, cuts=False, invertible=False),
)
class FTSAM(Tuning):
    """The defence as a stepper; see `defenses.base.Defense`."""

    first_stage = TUNE

    def step(self, subject: Subject, state: TunedState) -> tuple[TunedState, Record]:
        config, generator, means = self.config, generator_of(state), Means()
        network = network_with(subject, state.weights)
        optimizer = sharpness_aware(network, config, state.velocities)
        for images, labels in batches(subject, config, generator):

            def descend(images: Tensor = images, labels: Tensor = labels) -> tuple[Tensor, Tensor]:
                logits = logits_of(subject, network, images)
                loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
                optimizer.zero_grad()
                loss.backward()
                return logits, loss

            logits, loss = descend()
            optimizer.first_step()
            track_statistics(network, False)
            _, worst = descend()
            track_statistics(network, True)
            optimizer.second_step()
            means.add(logits, labels, loss=loss, worst=worst)
        terms = {"cross entropy": means.of("loss"), "worst": means.of("worst")}
        return after_epoch(
            subject, state, network, optimizer, generator, config.epochs, terms, terms["worst"], means.accuracy
        )


def sharpness_aware(network: nn.Module, config: FTSAMConfig, velocities: dict[str, Tensor]) -> "SAM":
    """SAM over SGD with its earlier momentum; without momentum if `velocities` is empty."""
    from pytorch_optimizer import SAM

    optimizer = SAM(
        network.parameters(),
        torch.optim.SGD,
        rho=config.radius,
        adaptive=True,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )
    for name, parameter in network.named_parameters():
        if name in velocities:
            optimizer.state[parameter]["momentum_buffer"] = velocities[name].clone()
    return optimizer


def track_statistics(network: nn.Module, track: bool) -> None:
    """Whether BatchNorms in training mode update their running statistics. They use the batch's own in either case."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None:
            module.track_running_stats = track
