"""NAD, neural attention distillation: a fine-tuned teacher shows the network where to look.

Y. Li, X. Lyu, N. Koren, L. Lyu, B. Li, X. Ma, Neural Attention Distillation: Erasing Backdoor Triggers from Deep
Neural Networks, ICLR 2021, arXiv 2101.05930. A copy of the victim is fine-tuned on the clean images: the teacher. The
victim is then trained on them with

    L + sum over layers of beta mean((A_T / ||A_T|| - A_S / ||A_S||)^2),   A = mean over channels of F^2,

L being the cross entropy, F a layer's output, and A its attention map, of teacher T and student S; the mean is over
images and positions. The layers are the last masked ones of the last three resolutions. The first of three has half
the weight of the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    sgd,
    tensors_of,
)
from invmask.masks.outputs import channels_first

TEACH, DISTIL = "teach", "distil"
POINTS = 3
"""Number of layers whose attention is compared, at most."""
SMALLEST = 1e-12


@dataclass(frozen=True, kw_only=True)
class NADConfig(TuningConfig):
    """The settings; the defaults are those of the field's usual benchmark."""

    epochs_teacher: int = setting(
        10, (1, 2000, 1), "Epochs, teacher", "So many passes to fine-tune the teacher.", basic=True
    )
    weight_attention: float = setting(
        1000.0,
        (0.0, 100_000.0, 100.0),
        "Weight of the attention",
        "How much it counts that the student looks where the teacher looks; half as much in the first layer.",
        symbol="β",
        basic=True,
    )

    def rounds(self, stage: str) -> int:
        return self.epochs_teacher if stage == TEACH else self.epochs


@register(
    name="nad",
    title="NAD",
    family="fine-tuning",
    paper="Y. Li et al., Neural Attention Distillation, ICLR 2021, arXiv 2101.05930",
    explanation="Fine-tunes a teacher, then trains the network to look where the teacher looks.",
    config=NADConfig,
    presets={"paper": NADConfig()},
    preset_words={"paper": "the settings that the field's benchmark runs it with."},
    stages=(
        Stage(TEACH, "Teach", "Teach", "Fine-tune a copy of the network: the teacher.", "one epoch of the teacher"),
        Stage(
            DISTIL,
            "Distil",
            "Distil",
            "Train the network on the clean images, and to look where the teacher looks.",
            "one epoch of the student",
        ),
    ),
    terms={
        "teacher": Term("Cross entropy, teacher", "Low when the teacher says the clean images' classes."),
        "cross entropy": Term(
            "Cross entropy, clean images",
            "Low when the network says their classes.",
            view="repaired",
            since="the second stage",
        ),
        "attention": Term(
            "Distance of the attention",
            "Low when the student looks where the teacher looks.",
            since="the second stage",
            unit="",
        ),
    },
    capabilities=Capabilities(channels=False, triggers=False, cuts=False, invertible=False),
)
class NAD(Tuning):
    """The defence as a stepper; see `defenses.base.Defense`. In the first stage, the weights are the teacher's."""

    first_stage = TEACH

    def step(self, subject: Subject, state: TunedState) -> tuple[TunedState, Record]:
        return (self._teach if state.stage == TEACH else self._distil)(subject, state)

    def _teach(self, subject: Subject, state: TunedState) -> tuple[TunedState, Record]:
        config, generator, means = self.config, generator_of(state), Means()
        network = network_with(subject, state.weights)
        optimizer = sgd(network, config, state.velocities)
        for images, labels in batches(subject, config, generator):
            logits = logits_of(subject, network, images)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            means.add(logits, labels, loss=loss)
        loss, terms = means.of("loss"), {"teacher": means.of("loss")}
        after, record = after_epoch(
            subject, state, network, optimizer, generator, config.epochs_teacher, terms, loss, means.accuracy, DISTIL
        )
        if after.stage == DISTIL:
            # The student begins as the victim.
            after = after.in_stage(DISTIL, kept=after.weights, weights=tensors_of(subject.model))
        return after, record

    def _distil(self, subject: Subject, state: TunedState) -> tuple[TunedState, Record]:
        config, generator, means = self.config, generator_of(state), Means()
        student = network_with(subject, state.weights)
        teacher = network_with(subject, state.kept).requires_grad_(False).eval()
        optimizer, layers = sgd(student, config, state.velocities), points(subject)
        for images, labels in batches(subject, config, generator):
            logits, seen = with_outputs(subject, student, images, layers)
            _, shown = with_outputs(subject, teacher, images, layers)
            loss, distance = F.cross_entropy(logits, labels), attention_distance(seen, shown)
            optimizer.zero_grad()
            (loss + config.weight_attention * distance).backward()
            optimizer.step()
            means.add(logits, labels, loss=loss, attention=distance)
        terms = {"cross entropy": means.of("loss"), "attention": means.of("attention")}
        total = terms["cross entropy"] + config.weight_attention * terms["attention"]
        return after_epoch(subject, state, student, optimizer, generator, config.epochs, terms, total, means.accuracy)


def attention(outputs: Tensor) -> Tensor:
    """The attention map of each image, of length 1: [N, C, positions] to [N, positions]."""
    # A map does not depend on the size of the outputs, whose squares could overflow.
    largest = outputs.detach().abs().amax((1, 2), keepdim=True).clamp(min=SMALLEST)
    return F.normalize((outputs / largest).square().mean(1), dim=1)


def attention_distance(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """The weighted sum over layers of the mean square distance of attention maps, of outputs [N, C, positions]."""
    shares = (0.5, 1.0, 1.0)[-len(student) :]
    apart = [F.mse_loss(attention(f), attention(g)) for f, g in zip(student, teacher, strict=True)]
    return torch.stack([share * each for share, each in zip(shares, apart, strict=True)]).sum()


def points(subject: Subject) -> list[str]:
    """Names of the layers whose attention is compared: the last masked one of each of the last resolutions."""
    names = [layer.name for layer in subject.layout.layers]
    with torch.no_grad():
        _, outputs = with_outputs(subject, subject.model, subject.images[:1], names)
    last = {output.shape[2]: name for name, output in zip(names, outputs, strict=True)}
    return [name for name in names if name in last.values()][-POINTS:]


def with_outputs(
    subject: Subject, network: nn.Module, images: Tensor, layers: list[str]
) -> tuple[Tensor, list[Tensor]]:
    """Logits [N, K] of images [N, C, H, W], and the outputs of these masked layers, [N, channels, positions]."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, _inputs: Any, output: Tensor) -> None:
            found[name] = channels_first(module, output).to(torch.promote_types(output.dtype, torch.float32))

        return hook

    hooks = [network.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        logits = logits_of(subject, network, images)
    finally:
        for hook in hooks:
            hook.remove()
    return logits, [found[name] for name in layers]
