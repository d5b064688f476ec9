"""FST, feature shift tuning: draw a new classifier and train away from the old one, so that the features shift.

R. Min, Z. Qin, L. Shen, M. Cheng, Towards Stable Backdoor Purification through Feature Shift Tuning, NeurIPS 2023,
arXiv 2310.01875. In plain fine-tuning the features of triggered and clean images stay mixed, since the classifier
hardly moves. Here the last linear layer is drawn anew, and the whole network is trained with

    L + alpha <w, w_0>   subject to ||w|| = ||w_0||,

L being the cross entropy on clean images, w the classifier's weights and w_0 those of the victim. The inner product
drives the classifier away from the old one, so that the features have to move, too. After every step w is scaled to
the norm of w_0.
"""

from dataclasses import dataclass

import torch
from torch import nn
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
)
from invmask.errors import UserError

TUNE = "fine-tune"


@dataclass(frozen=True, kw_only=True)
class FSTConfig(TuningConfig):
    """The settings; the defaults are those of the field's usual benchmark."""

    epochs: int = setting(10, (1, 2000, 1), "Epochs", "So many passes over the clean images, one a round.", basic=True)
    weight_shift: float = setting(
        0.2,
        (0.0, 10.0, 0.05),
        "Weight of the shift",
        "How strongly the classifier is driven away from the victim's.",
        symbol="α",
        basic=True,
    )
    batch_size: int = setting(128, (2, 4096, 1), "Batch size", "Clean images a step.")


@register(
    name="fst",
    title="FST",
    family="fine-tuning",
    paper="R. Min et al., Towards Stable Backdoor Purification through Feature Shift Tuning, NeurIPS 2023, "
    "arXiv 2310.01875",
    explanation="Draws a new classifier and trains away from the old one, so that the features have to shift.",
    config=FSTConfig,
    presets={"paper": FSTConfig()},
    preset_words={"paper": "the settings that the field's benchmark runs it with."},
    stages=(
        Stage(
            TUNE,
            "Fine-tune",
            "Tune",
            "Train all weights on the clean images, with a new classifier that is driven away from the old one.",
            "one epoch over the clean images",
        ),
    ),
    terms={
        "cross entropy": Term(
            "Cross entropy, clean images", "Low when the network says their classes.", view="repaired"
        ),
        "likeness": Term(
            "Inner product with the old classifier", "Low when the new classifier is unlike the old one.", unit=""
        ),
    },
    capabilities=Capabilities(channels=False, triggers=False, cuts=False, invertible=False),
)
class FST(Tuning):
    """The defence as a stepper; see `defenses.base.Defense`."""

    first_stage = TUNE

    def step(self, subject: Subject, state: TunedState) -> tuple[TunedState, Record]:
        config, generator, means = self.config, generator_of(state), Means()
        network, name = network_with(subject, state.weights), classifier_of(subject.model)
        classifier = network.get_submodule(name)
        assert isinstance(classifier, nn.Linear)
        old = subject.model.get_parameter(f"{name}.weight")
        if not state.round:
            draw(classifier, generator)
        optimizer = sgd(network, config, state.velocities)
        for images, labels in batches(subject, config, generator):
            logits = logits_of(subject, network, images)
            loss, likeness = F.cross_entropy(logits, labels), (classifier.weight * old).sum()
            optimizer.zero_grad()
            (loss + config.weight_shift * likeness).backward()
            optimizer.step()
            with torch.no_grad():
                classifier.weight.mul_(old.norm() / classifier.weight.norm())
            means.add(logits, labels, loss=loss, likeness=likeness)
        terms = {"cross entropy": means.of("loss"), "likeness": means.of("likeness")}
        total = terms["cross entropy"] + config.weight_shift * terms["likeness"]
        return after_epoch(subject, state, network, optimizer, generator, config.epochs, terms, total, means.accuracy)


def classifier_of(model: nn.Module) -> str:
    """The name of the network's last linear layer.

    Raises:
        UserError: it has none.
    """
    found = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not found:
        raise UserError("FST draws the last linear layer anew, and this network has none. Choose another defence.")
    return found[-1]


@torch.no_grad()
def draw(classifier: nn.Linear, generator: torch.Generator) -> None:
    """Draw weights and bias anew, uniformly in +-1 / sqrt(inputs), as PyTorch begins a linear layer."""
    bound = classifier.in_features**-0.5
    for parameter in classifier.parameters(recurse=False):
        drawn = torch.rand(parameter.shape, generator=generator)
        parameter.copy_(bound * (2 * drawn - 1))
