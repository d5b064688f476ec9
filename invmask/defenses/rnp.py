"""RNP, reconstructive neuron pruning: unlearn the clean task, recover it by a mask, and cut what the mask leaves out.

Y. Li, X. Lyu, X. Ma, N. Koren, L. Lyu, B. Li, Y.-G. Jiang, Reconstructive Neuron Pruning for Backdoor Defense, ICML
2023, arXiv 2305.14876. First all weights are moved so that the cross entropy on clean images rises, until hardly any
is answered right. What answers the trigger is left, for nothing in clean images speaks of it. Then a mask m in [0, 1]
on the channels of this network is learned by

    min over m of alpha L(m),

L being the cross entropy on clean images. It turns down the channels that still lead to the target. In the original
network those whose m is below a threshold are cut.

In the copy, the mask multiplies weight and bias of the BatchNorms, which use the statistics of each batch, as in the
authors' program. In the original network, a cut is a gate on the convolution's output, as in IMS and ANP. Both kinds of
cut were compared on the channels found in the embedded BadNets victim, and cost alike.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from invmask.defenses.base import Examples, Record, Subject
from invmask.defenses.cuts import as_masks, masked_weights
from invmask.defenses.entry import Capabilities, Stage, Term
from invmask.defenses.registry import register
from invmask.defenses.settings import setting
from invmask.defenses.thresholds import CUT, MaskState, ThresholdConfig, cut_more, hard
from invmask.defenses.tuning import (
    Means,
    TuningConfig,
    batches,
    logits_of,
    network_with,
    sgd,
    tensors_of,
    velocities_of,
)
from invmask.machine import autocast
from invmask.masks.repair import Gates

UNLEARN, RECOVER = "unlearn", "recover"
LARGEST_GRADIENT = 20.0
"""Norm to which the gradient is clipped while the network unlearns; the loss has no upper bound."""
_WEIGHT, _VELOCITY = "weight:", "velocity:"


@dataclass(frozen=True, kw_only=True)
class RNPConfig(ThresholdConfig):
    """The settings; the defaults are those of the field's usual benchmark."""

    rounds_unlearn: int = setting(
        200,
        (1, 2000, 1),
        "Rounds, unlearn",
        "At most so many passes to unlearn the clean images.",
        basic=True,
    )
    accuracy_unlearned: float = setting(
        0.2, (0.0, 1.0, 0.05), "Accuracy to unlearn to", "Unlearning ends at this accuracy on clean images.", basic=True
    )
    rounds_recover: int = setting(
        20, (1, 2000, 1), "Rounds, recover", "So many passes over the clean images to learn the mask.", basic=True
    )
    accuracy_kept: float = setting(
        0.98,
        (0.0, 1.0, 0.01),
        "Accuracy to keep",
        "The threshold is the largest one that keeps this share of the accuracy on the clean images.",
        basic=True,
    )
    weight_clean: float = setting(
        0.2, (0.01, 1.0, 0.05), "Weight of the loss", "What the mask's loss is multiplied by.", symbol="α"
    )
    unlearning_rate: float = setting(
        0.001, (1e-5, 1.0, 0.001), "Learning rate, unlearn", "How far each step moves the weights, by SGD."
    )
    learning_rate: float = setting(0.2, (0.001, 10.0, 0.01), "Learning rate, recover", "Of the mask, by SGD.")
    momentum: float = setting(0.9, (0.0, 0.999, 0.01), "Momentum", "Of the steps in both stages.")
    batch_size: int = setting(128, (2, 4096, 1), "Batch size", "Clean images a step.")

    def rounds(self, stage: str) -> int:
        return {UNLEARN: self.rounds_unlearn, RECOVER: self.rounds_recover}.get(stage, self.thresholds)

    def tuning(self) -> TuningConfig:
        """The settings with which weights are trained."""
        return TuningConfig(
            learning_rate=self.unlearning_rate, momentum=self.momentum, batch_size=self.batch_size, seed=self.seed
        )


@dataclass(frozen=True)
class RNPState(MaskState):
    """A `MaskState`, and the unlearned network: every parameter and buffer, and SGD's momentum, by name."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    velocities: dict[str, Tensor] = field(default_factory=dict)


@register(
    name="rnp",
    title="RNP",
    family="pruning",
    paper="Y. Li et al., Reconstructive Neuron Pruning for Backdoor Defense, ICML 2023, arXiv 2305.14876",
    explanation="Makes a copy unlearn the clean images, and cuts the channels that hinder it from recovering them.",
    config=RNPConfig,
    # Chosen on the embedded BadNets victim, with a look at its test images. With the published rate so many mask values
    # end at 0 that the first threshold already costs too much. FP gives up as much clean accuracy.
    presets={"default": replace(RNPConfig(), accuracy_kept=0.9, learning_rate=0.1), "paper": RNPConfig()},
    preset_words={
        "default": "smaller steps of the mask and less accuracy to keep, for networks narrower than the authors'.",
        "paper": "the settings of the field's benchmark, with a threshold chosen on clean images.",
    },
    stages=(
        Stage(
            UNLEARN,
            "Unlearn",
            "Unlearn",
            "In a copy of the network, move the weights until hardly any clean image is answered right.",
            "one epoch in which a copy of the network unlearns clean images",
        ),
        Stage(
            RECOVER,
            "Recover",
            "Recover",
            "Learn a mask with which the unlearned copy answers clean images again.",
            "one epoch of the mask",
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
        "unlearned": Term("Cross entropy, unlearned copy", "Low as long as the copy still answers clean images right."),
        "recovered": Term(
            "Cross entropy, masked copy",
            "Low when the masked copy answers clean images right.",
            since="the second stage",
        ),
    },
    capabilities=Capabilities(channels=True, triggers=False, cuts=True, invertible=False),
)
class RNP:
    """The defence as a stepper; see `defenses.base.Defense`."""

    def __init__(self, config: RNPConfig) -> None:
        self.config = config

    def init(self, subject: Subject) -> RNPState:
        ones = torch.ones(subject.layout.channels, dtype=subject.images.dtype, device=subject.device)
        generator = torch.Generator().manual_seed(self.config.seed).get_state()
        return RNPState(ones, torch.zeros_like(ones), generator, UNLEARN, weights=tensors_of(subject.model))

    def step(self, subject: Subject, state: RNPState) -> tuple[RNPState, Record]:
        generator = torch.Generator()
        generator.set_state(state.generator)
        if state.stage == CUT:
            after, record = cut_more(subject, state, self.config, generator)
        else:
            taking = self._unlearn if state.stage == UNLEARN else self._recover
            after, record = taking(subject, state, generator)
        return replace(after, generator=generator.get_state()), record

    def stage(self, state: RNPState) -> str:
        return state.stage

    def done(self, state: RNPState) -> str | None:
        return state.ended

    def repair(self, state: RNPState) -> Gates:
        return Gates(as_masks(hard(state.mask, state.threshold) if state.stage == CUT else state.mask))

    def examples(self, state: RNPState) -> Examples | None:  # noqa: ARG002
        return None

    def pack(self, state: RNPState) -> tuple[dict[str, Tensor], dict[str, Any]]:
        values = {each.name: getattr(state, each.name) for each in fields(state)}
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        tensors |= {_WEIGHT + name: tensor for name, tensor in state.weights.items()}
        tensors |= {_VELOCITY + name: tensor for name, tensor in state.velocities.items()}
        return tensors, {n: value for n, value in values.items() if not isinstance(value, Tensor | dict)}

    def unpack(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> RNPState:
        def of(kind: str) -> dict[str, Tensor]:
            return {name.removeprefix(kind): tensor for name, tensor in tensors.items() if name.startswith(kind)}

        own = {name: tensor for name, tensor in tensors.items() if ":" not in name}
        return RNPState(**own, **numbers, weights=of(_WEIGHT), velocities=of(_VELOCITY))

    def _unlearn(self, subject: Subject, state: RNPState, generator: torch.Generator) -> tuple[RNPState, Record]:
        config, tuning, means = self.config, self.config.tuning(), Means()
        network = network_with(subject, state.weights)
        optimizer = sgd(network, tuning, state.velocities)
        for images, labels in batches(subject, tuning, generator):
            logits = logits_of(subject, network, images)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            (-loss).backward()
            nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            means.add(logits, labels, loss=loss)
        taken, ended = state.round_in_stage + 1, None
        if means.accuracy <= config.accuracy_unlearned:
            ended = f"unlearned all but {100 * means.accuracy:.0f} % of the clean images"
        elif taken >= config.rounds(UNLEARN):
            ended = f"reached its {taken:,} rounds"
        after = replace(
            state,
            weights=tensors_of(network),
            velocities={} if ended else velocities_of(network, optimizer),
        )
        return self._recorded(after, {"unlearned": means.of("loss")}, -means.of("loss"), means.accuracy, ended, RECOVER)

    def _recover(self, subject: Subject, state: RNPState, generator: torch.Generator) -> tuple[RNPState, Record]:
        config, means = self.config, Means()
        mask, velocity = state.mask, state.velocity
        copy = network_with(subject, state.weights).requires_grad_(False)
        for images, labels in batches(subject, config.tuning(), generator):
            free = mask.clone().requires_grad_()
            logits = masked_logits(subject, copy, state.weights, images, free)
            loss = F.cross_entropy(logits, labels)
            (gradient,) = torch.autograd.grad(config.weight_clean * loss, [free])
            velocity = config.momentum * velocity + gradient
            mask = (mask - config.learning_rate * velocity).clamp(0, 1)
            means.add(logits, labels, loss=loss)
        taken = state.round_in_stage + 1
        ended = f"reached its {taken:,} rounds" if taken >= config.rounds(RECOVER) else None
        after = replace(state, mask=mask, velocity=velocity, weights={} if ended else state.weights)
        total = config.weight_clean * means.of("loss")
        return self._recorded(after, {"recovered": means.of("loss")}, total, means.accuracy, ended, CUT)

    def _recorded(
        self, state: RNPState, terms: dict[str, float], total: float, accuracy: float, ended: str | None, then: str
    ) -> tuple[RNPState, Record]:
        """The state counted one round on, in stage `then` if its stage has ended, and the record of the round."""
        after = replace(state, round=state.round + 1, round_in_stage=state.round_in_stage + 1)
        record = Record(
            round=after.round,
            stage=state.stage,
            round_in_stage=after.round_in_stage,
            terms=terms,
            total=total,
            counts={"channels": len(state.mask), "pruned": int((state.mask < 0.5).sum())},
            notes={"accuracy of the copy on clean images": accuracy},
            stage_ended=ended,
        )
        return (replace(after, stage=then, round_in_stage=0) if ended else after), record


def masked_logits(
    subject: Subject, copy: nn.Module, weights: dict[str, Tensor], images: Tensor, mask: Tensor
) -> Tensor:
    """Logits [N, K] of a copy in training mode under a mask [channels] in [0, 1], with a gradient for the mask.

    BatchNorms use the batch's statistics. Their running statistics, which are in `weights`, do not change.
    """
    # Clones, for a BatchNorm in training mode writes into the statistics that it is given.
    tensors = {name: tensor.clone() for name, tensor in weights.items()} | masked_weights(subject, weights, mask)
    with autocast(subject.precision, subject.device.type):
        logits = functional_call(copy, tensors, (images,))
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
