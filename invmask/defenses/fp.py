"""FP, fine-pruning: cut the channels that are least active on clean images, then fine-tune what is left.

K. Liu, B. Dolan-Gavitt, S. Garg, Fine-Pruning: Defending Against Backdooring Attacks on Deep Neural Networks, RAID
2018, arXiv 1805.12185. Channels that clean images hardly excite may be those that answer the trigger. In the last
convolution they are cut one per cent after another, in the order of their mean activation on clean images, for as
long as the clean accuracy is kept. Fine-tuning then repairs what the cut has cost, and removes what it has missed.

A channel's activation is the positive part of what its BatchNorm returns, or its convolution if it has none. What is
cut stays 0 during fine-tuning.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses.base import PASS_SIZE, Record, Subject
from invmask.defenses.clean_images import crops, judge, least_accuracy
from invmask.defenses.cuts import cut_weights, factors, units_of
from invmask.defenses.entry import Capabilities, Stage, Term
from invmask.defenses.registry import register
from invmask.defenses.settings import setting
from invmask.defenses.tuning import (
    Means,
    TunedState,
    Tuning,
    TuningConfig,
    after_epoch,
    after_round,
    batches,
    generator_of,
    logits_of,
    moved,
    network_with,
    sgd,
    tensors_of,
)
from invmask.masks.constant import norms_behind_convolutions
from invmask.masks.repair import Weights, network_of
from invmask.masks.state import View

PRUNE, TUNE = "prune", "fine-tune"
_ACTIVATIONS, _GATES = "activations", "gates"


@dataclass(frozen=True, kw_only=True)
class FPConfig(TuningConfig):
    """The settings; the defaults are those of the field's usual benchmark."""

    rounds_prune: int = setting(
        99, (1, 99, 1), "Rounds, prune", "At most so many rounds, each of which cuts one per cent more.", basic=True
    )
    accuracy_kept: float = setting(
        0.9,
        (0.0, 1.0, 0.01),
        "Accuracy to keep",
        "Channels are cut for as long as this share of the accuracy on the clean images is kept.",
        basic=True,
    )

    def rounds(self, stage: str) -> int:
        return self.rounds_prune if stage == PRUNE else self.epochs


@register(
    name="fp",
    title="FP",
    family="pruning",
    paper="K. Liu, B. Dolan-Gavitt, S. Garg, Fine-Pruning, RAID 2018, arXiv 1805.12185",
    explanation="Cuts those channels of the last convolution that clean images excite least, then fine-tunes.",
    config=FPConfig,
    presets={"paper": FPConfig()},
    preset_words={"paper": "the settings that the field's benchmark runs it with."},
    stages=(
        Stage(
            PRUNE,
            "Prune",
            "Prune",
            "Cut the least active channels of the last convolution while the clean accuracy is kept.",
            "one per cent more of the last convolution",
        ),
        Stage(
            TUNE,
            "Fine-tune",
            "Tune",
            "Train all weights that are left on the clean images.",
            "one epoch over the clean images",
        ),
    ),
    terms={
        "cross entropy": Term(
            "Cross entropy, clean images", "Low when the network says their classes.", view="repaired"
        )
    },
    capabilities=Capabilities(channels=False, triggers=False, cuts=False, invertible=False),
)
class FP(Tuning):
    """The defence as a stepper; see `defenses.base.Defense`."""

    first_stage = PRUNE

    def step(self, subject: Subject, state: TunedState) -> tuple[TunedState, Record]:
        return (self._prune if state.stage == PRUNE else self._tune)(subject, state)

    def _prune(self, subject: Subject, state: TunedState) -> tuple[TunedState, Record]:
        config, taken = self.config, state.round_in_stage + 1
        # The same crops in every round, so that rounds can be compared.
        images, labels = crops(subject, torch.Generator().manual_seed(config.seed))
        activations = state.kept.get(_ACTIVATIONS)
        if activations is None:
            activations = last_activations(subject)
        whole = state.numbers.get("accuracy")
        if whole is None:
            whole = judge(subject, subject.reference, images, labels).accuracy
        gates = least_active_cut(subject, activations, taken / 100)
        changed, count = cut_weights(subject, gates)
        judged = judge(subject, network_of(Weights(changed), subject.model, View.REPAIRED), images, labels)
        kept = judged.accuracy >= least_accuracy(whole, config.accuracy_kept, subject.num_classes)
        ended = None
        if not kept:
            share = 100 * judged.accuracy / max(whole, 1e-9)
            ended = f"found that cutting {count:,} channels would keep {share:.0f} % of the accuracy"
        elif taken >= config.rounds(PRUNE):
            ended = f"reached its {taken:,} rounds"
        before = state.kept.get(_GATES, torch.ones_like(gates))
        weights = {**tensors_of(subject.model), **changed} if kept else state.weights
        after = after_round(
            state,
            generator_of(state),
            weights=weights,
            kept={_ACTIVATIONS: activations, _GATES: gates if kept else before},
            numbers={"accuracy": whole, "cut": count if kept else state.numbers.get("cut", 0)},
        )
        record = Record(
            round=after.round,
            stage=PRUNE,
            round_in_stage=taken,
            terms={"cross entropy": judged.cross_entropy},
            total=judged.cross_entropy,
            counts={"cut": after.numbers["cut"]},
            notes={"accuracy on clean images": judged.accuracy, "weights moved": moved(subject.model, weights)},
            stage_ended=ended,
        )
        return (after.in_stage(TUNE) if ended else after), record

    def _tune(self, subject: Subject, state: TunedState) -> tuple[TunedState, Record]:
        config, generator, means = self.config, generator_of(state), Means()
        network = network_with(subject, state.weights)
        optimizer = sgd(network, config, state.velocities)
        by, _ = factors(subject, state.kept[_GATES])
        for images, labels in batches(subject, config, generator):
            logits = logits_of(subject, network, images)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for name, factor in by.items():
                    network.get_parameter(name).mul_(factor)
            means.add(logits, labels, loss=loss)
        loss, terms = means.of("loss"), {"cross entropy": means.of("loss")}
        return after_epoch(subject, state, network, optimizer, generator, config.epochs, terms, loss, means.accuracy)


def least_active_cut(subject: Subject, activations: Tensor, share: float) -> Tensor:
    """Gates [channels of the network]: 0 for that share of the last layer's channels, the least active, rounded up."""
    gates = torch.ones(subject.layout.channels, dtype=activations.dtype, device=activations.device)
    # Of a count such as 0.07 * 100 = 7.000000000000001, the 7.
    count = -int(-(share * len(activations) - 1e-6) // 1)
    gates[subject.layout.layers[-1].slice][activations.topk(count, largest=False).indices] = 0
    return gates


@torch.no_grad()
def last_activations(subject: Subject) -> Tensor:
    """The mean activation of each channel of the last convolution, over the clean images and positions, [channels]."""
    unit = units_of(subject)[-1]
    behind = dict(norms_behind_convolutions(subject.model)).get(unit.layer.name)
    sums: list[Tensor] = []

    def add(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        sums.append(output.double().relu().mean((2, 3)).sum(0))

    hook = subject.model.get_submodule(behind or unit.layer.name).register_forward_hook(add)
    try:
        for images in subject.images.split(PASS_SIZE):
            subject.model(images)
    finally:
        hook.remove()
    return (torch.stack(sums).sum(0) / len(subject.images)).to(subject.images.dtype)
