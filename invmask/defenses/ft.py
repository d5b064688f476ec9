"""FT, fine-tuning: train the whole network on the clean images for some epochs, so that it may forget the backdoor.

This is the simplest defence that changes weights, and the baseline for all others. It minimises the cross entropy by
SGD with momentum and weight decay. Every epoch uses each image once, shifted at random, and mirrored at random if that
keeps its class. BatchNorm's running statistics are updated.
"""

from torch.nn import functional as F

from invmask.defenses.base import Record, Subject
from invmask.defenses.entry import Capabilities, Stage, Term
from invmask.defenses.registry import register
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

TUNE = "fine-tune"


class FTConfig(TuningConfig):
    """The settings. The defaults are those of the field's usual benchmark."""


@register(
    name="ft",
    title="FT",
    family="fine-tuning",
    paper="the plain baseline of the field; settings as in BackdoorBench, B. Wu et al., NeurIPS 2022, arXiv 2206.12654",
    explanation="Trains the whole network on the clean images, so that it may forget the backdoor.",
    config=FTConfig,
    presets={"paper": FTConfig()},
    preset_words={"paper": "the settings that the field's benchmark runs it with."},
    stages=(
        Stage(
            TUNE,
            "Fine-tune",
            "Tune",
            "Train all weights on the clean images; nothing in it knows of a backdoor.",
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
class FT(Tuning):
    """The defence as a stepper; see `defenses.base.Defense`."""

    first_stage = TUNE

    def step(self, subject: Subject, state: TunedState) -> tuple[TunedState, Record]:
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
        loss, terms = means.of("loss"), {"cross entropy": means.of("loss")}
        return after_epoch(subject, state, network, optimizer, generator, config.epochs, terms, loss, means.accuracy)
