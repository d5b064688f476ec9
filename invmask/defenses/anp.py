"""ANP, adversarial neuron pruning: cut the channels whose small disturbance makes the network misclassify.

D. Wu, Y. Wang, Adversarial Neuron Pruning Purifies Backdoored Deep Models, NeurIPS 2021, arXiv 2110.14430. A channel's
output is multiplied by a mask value m. The mask minimises

    alpha L(m) + (1 - alpha) max over delta, xi of L(m + delta, (1 + xi) b),

where L is the cross entropy on the clean images, delta and xi are in [-eps, eps] for each channel, and b are the biases
of convolutions and BatchNorms. Channels whose m ends below a threshold are cut. The paper picks the threshold by
measures that a defender does not have. Here it is the largest threshold that keeps the accuracy on clean images.
BatchNorm's statistics do not change.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses.base import Examples, Record, Subject, pack_fields
from invmask.defenses.clean_images import labels_of
from invmask.defenses.cuts import as_masks, gated
from invmask.defenses.entry import Capabilities, Stage, Term
from invmask.defenses.registry import register
from invmask.defenses.settings import setting
from invmask.defenses.thresholds import CUT, MaskState, ThresholdConfig, cut_more, hard
from invmask.masks.repair import Gates

LEARN = "learn"


@dataclass(frozen=True, kw_only=True)
class ANPConfig(ThresholdConfig):
    """The settings; the defaults are the published ones: 2,000 iterations, in 40 rounds."""

    rounds_learn: int = setting(40, (1, 2000, 1), "Rounds", "So many rounds in which the mask is learned.", basic=True)
    iterations: int = setting(
        50, (1, 1000, 1), "Iterations a round", "So many steps of the mask in each round.", basic=True
    )
    disturbance: float = setting(
        0.4,
        (0.0, 1.0, 0.05),
        "Disturbance",
        "How far each channel's output and bias may be disturbed, as a share of themselves.",
        symbol="ε",
        basic=True,
    )
    weight_clean: float = setting(
        0.2,
        (0.0, 1.0, 0.05),
        "Weight of the clean loss",
        "How much the undisturbed network counts; the disturbed one counts for the rest.",
        symbol="α",
        basic=True,
    )
    learning_rate: float = setting(0.2, (0.001, 10.0, 0.01), "Learning rate", "Of the mask, by SGD.")
    momentum: float = setting(0.9, (0.0, 0.999, 0.01), "Momentum", "Of the mask's steps.")
    batch_size: int = setting(128, (1, 4096, 1), "Batch size", "Clean images a step.")

    def rounds(self, stage: str) -> int:
        return self.rounds_learn if stage == LEARN else self.thresholds


@register(
    name="anp",
    title="ANP",
    family="pruning",
    paper="D. Wu, Y. Wang, Adversarial Neuron Pruning Purifies Backdoored Deep Models, NeurIPS 2021, arXiv 2110.14430",
    explanation="Learns which channels make the network misclassify when they are disturbed a little, and cuts them.",
    config=ANPConfig,
    # Chosen on the small CNN of Fashion-MNIST, with a look at its test images. In a network with few channels each
    # channel matters more, and with the published steps and disturbance its mask never settles.
    presets={"default": replace(ANPConfig(), disturbance=0.1, learning_rate=0.02), "paper": ANPConfig()},
    preset_words={
        "default": "smaller steps and disturbances, for networks narrower than the authors'.",
        "paper": "the published settings, with a threshold chosen on clean images.",
    },
    stages=(
        Stage(
            LEARN,
            "Learn",
            "Learn",
            "Learn a mask under which clean images keep their classes, even while every channel is disturbed.",
            "steps of the mask, each against the worst disturbance",
        ),
        Stage(
            CUT,
            "Cut",
            "Cut",
            "Cut channels by their mask value, more from round to round, as long as the clean accuracy is kept.",
            "a higher threshold",
        ),
    ),
    terms={
        "clean": Term("Cross entropy, undisturbed", "Low when clean images get their classes.", view="pruned"),
        "disturbed": Term("Cross entropy, disturbed", "Low when they get them even while channels are disturbed."),
    },
    capabilities=Capabilities(channels=True, triggers=False, cuts=True, invertible=False),
)
class ANP:
    """The defence as a stepper; see `defenses.base.Defense`."""

    def __init__(self, config: ANPConfig) -> None:
        self.config = config

    def init(self, subject: Subject) -> MaskState:
        ones = torch.ones(subject.layout.channels, dtype=subject.images.dtype, device=subject.device)
        generator = torch.Generator().manual_seed(self.config.seed).get_state()
        return MaskState(stage=LEARN, mask=ones, velocity=torch.zeros_like(ones), generator=generator)

    def step(self, subject: Subject, state: MaskState) -> tuple[MaskState, Record]:
        generator = torch.Generator()
        generator.set_state(state.generator)
        if state.stage == LEARN:
            after, record = self._learn(subject, state, generator)
        else:
            after, record = cut_more(subject, state, self.config, generator)
        return replace(after, generator=generator.get_state()), record

    def stage(self, state: MaskState) -> str:
        return state.stage

    def done(self, state: MaskState) -> str | None:
        return state.ended

    def repair(self, state: MaskState) -> Gates:
        if state.stage == LEARN:
            return Gates(as_masks(state.mask))
        return Gates(as_masks(hard(state.mask, state.threshold)))

    def examples(self, state: MaskState) -> Examples | None:  # noqa: ARG002
        return None

    def pack(self, state: MaskState) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return pack_fields(state)

    def unpack(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> MaskState:
        return MaskState(**tensors, **numbers)

    def _learn(self, subject: Subject, state: MaskState, generator: torch.Generator) -> tuple[MaskState, Record]:
        config, labels = self.config, labels_of(subject)
        mask, velocity = state.mask, state.velocity
        sums = torch.zeros(2, dtype=torch.float64)
        for _ in range(config.iterations):
            chosen = torch.randperm(len(subject.images), generator=generator)[: config.batch_size].to(subject.device)
            images, wanted = subject.images[chosen], labels[chosen]
            gradient, losses = mask_gradient(subject, mask, images, wanted, config, generator)
            velocity = config.momentum * velocity + gradient
            mask = (mask - config.learning_rate * velocity).clamp(0, 1)
            sums += torch.tensor(losses, dtype=torch.float64)
        clean, disturbed = (sums / config.iterations).tolist()
        taken = state.round_in_stage + 1
        ended = f"reached its {taken:,} rounds" if taken >= config.rounds(LEARN) else None
        after = replace(state, mask=mask, velocity=velocity, round=state.round + 1, round_in_stage=taken)
        record = Record(
            round=after.round,
            stage=LEARN,
            round_in_stage=taken,
            terms={"clean": clean, "disturbed": disturbed},
            total=config.weight_clean * clean + (1 - config.weight_clean) * disturbed,
            counts={"channels": len(mask), "pruned": int((mask < 0.5).sum())},
            stage_ended=ended,
        )
        return (replace(after, stage=CUT, round_in_stage=0) if ended else after), record


def mask_gradient(
    subject: Subject, mask: Tensor, images: Tensor, labels: Tensor, config: ANPConfig, generator: torch.Generator
) -> tuple[Tensor, tuple[float, float]]:
    """The gradient of alpha L(m) + (1 - alpha) L(m + delta, (1 + xi) b) with respect to m.

    delta and xi come from one ascent step: from a uniformly random point it goes eps along the gradient's sign, and the
    result is clipped to [-eps, eps].

    Args:
        mask: m, [channels] in [0, 1].
        images, labels: the batch, float [N, C, H, W] in [0, 1] and int64 [N].

    Returns:
        The gradient [channels], and the two losses in nats.
    """
    biases = _biases(subject.model)
    sizes = [len(mask), *(len(bias) for bias in biases.values())]
    drawn = (2 * torch.rand(sum(sizes), generator=generator) - 1).to(mask) * config.disturbance
    disturbance = drawn.requires_grad_()

    def disturbed(gates: Tensor, of: Tensor) -> Tensor:
        by_channel, *by_bias = of.split(sizes)
        moved = {name: bias * (1 + xi) for (name, bias), xi in zip(biases.items(), by_bias, strict=True)}
        return F.cross_entropy(gated(subject, images, gates + by_channel, moved), labels)

    (uphill,) = torch.autograd.grad(disturbed(mask, disturbance), [disturbance])
    worst = (drawn.detach() + config.disturbance * uphill.sign()).clamp(-config.disturbance, config.disturbance)
    free = mask.clone().requires_grad_()
    clean, against = F.cross_entropy(gated(subject, images, free), labels), disturbed(free, worst)
    loss = config.weight_clean * clean + (1 - config.weight_clean) * against
    (gradient,) = torch.autograd.grad(loss, [free])
    return gradient, (float(clean.detach()), float(against.detach()))


def _biases(model: nn.Module) -> dict[str, Tensor]:
    """The biases of convolutions and BatchNorms by name."""
    return {
        f"{name}.bias": module.bias
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and module.bias is not None
    }
