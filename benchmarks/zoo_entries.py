"""The networks of the zoo and how each is trained. Only data, the same at every call."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks import signs
from benchmarks.sets import Network
from invmask.data.images import CIFAR10, FASHION_MNIST
from invmask.models.registry import is_normalised
from invmask.victims.make import Plan
from invmask.victims.recipe import Stage
from invmask.victims.victim import CLEAN

PAIRS = 72
"""Backdoored networks, and as many clean ones: each attack with each kind once, and then with half of them again."""
BATCH, FIRST_SEED = 128, 1_000
CLASSES = {
    CIFAR10.name: len(CIFAR10.classes),
    FASHION_MNIST.name: len(FASHION_MNIST.classes),
    signs.DATASET: sum(len(symbols) for _, symbols in signs.PLATES),
}
EPOCHS = {CIFAR10.name: 20, FASHION_MNIST.name: 14, signs.DATASET: 24}
UNNORMALISED_EPOCHS = 1.5
"""Times as many for networks without BatchNorm, whose steps are smaller."""
WIDTHS = {
    "cnn4": (5, 6),
    "vgg6bn": (5, 8),
    "vgg6": (6, 8),
    "preactresnet18": (4, 6),
    "resnet20": (6, 7),
    "cnn4fc": (6, 8),
}
"""By kind; no network of `benchmarks.sets` is among them, for on those a verdict may be tried that was learned here."""
ATTACKS = ("badnets", "blended", "sig", "lf", "ssba", "iab", "wanet", "bpp")
RATIOS, RATIOS_IN_LOOP = (0.05, 0.1, 0.15, 0.2), (0.15, 0.2, 0.3)
"""What the attacker poisons; more where he poisons batches, or hides what he does in each image in another way."""


@dataclass(frozen=True)
class Entry:
    """One network of the zoo.

    Attributes:
        place: in the zoo, from 0; fixes every seed.
        attack: `CLEAN` for a clean network.
        beside: the attack of the backdoored network that this one is left out with: its own, or of the network that
            it is the clean one to.
        target, ratio, settings: of no meaning for a clean network.
    """

    place: int
    network: Network
    attack: str
    beside: str
    target: int = 0
    ratio: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Says where and what it is."""
        return f"{self.place:03}-{self.network.stem}-{self.attack}"

    @property
    def seed(self) -> int:
        """Of images, weights, poisoning and augmentation."""
        return FIRST_SEED + self.place

    @property
    def plan(self) -> Plan:
        """What is to be made."""
        plan = Plan(self.network.dataset, self.network.architecture, self.attack, called=self.name)
        if self.attack == CLEAN:
            return plan
        return replace(plan, poisoning_ratio=self.ratio, target_label=self.target, settings=self.settings)

    @property
    def stage(self) -> Stage:
        """How it is trained: as the networks of `benchmarks.sets`, in smaller batches and so in smaller steps."""
        stage = self.network.stage(self.seed)
        config = replace(stage.config, batch_size=BATCH, learning_rate=stage.config.learning_rate / 2)
        return replace(stage, config=config)


def zoo(pairs: int = PAIRS) -> list[Entry]:
    """Backdoored and clean networks in turn, each two of one network, the attacks in turn as well.

    Six rows of the attacks have every attack with every kind once, and on every data set twice; what comes after has
    them on other data sets.
    """
    entries, kinds, datasets = [], list(WIDTHS), list(CLASSES)
    for pair in range(pairs):
        row, column = divmod(pair, len(ATTACKS))
        attack, random = ATTACKS[column], np.random.default_rng((FIRST_SEED, pair))
        kind, again = kinds[(column + row) % len(kinds)], row // len(kinds)
        dataset = datasets[(row - column + again) % len(datasets)]
        architecture = f"{kind}w{random.choice(WIDTHS[kind])}"
        epochs = EPOCHS[dataset] * (1 if is_normalised(architecture) else UNNORMALISED_EPOCHS)
        network = Network(dataset, architecture, round(epochs))
        loop = attack in {"ssba", "iab", "wanet", "bpp"}
        target = int(random.integers(CLASSES[dataset]))
        ratio = float(random.choice(RATIOS_IN_LOOP if loop else RATIOS))
        drawn = drawn_settings(attack, random, FIRST_SEED + pair)
        entries.append(Entry(2 * pair, network, attack, attack, target, ratio, drawn))
        entries.append(Entry(2 * pair + 1, network, CLEAN, attack))
    return entries


def drawn_settings(attack: str, random: np.random.Generator, seed: int) -> dict[str, Any]:
    """A trigger of an attack, unlike the default one and strong enough for a narrow network and a short training."""

    def one_of(*values: float) -> float:
        return float(random.choice(values))

    if attack == "badnets":
        return {"size": int(one_of(3, 4, 5)), "value": one_of(0.9, 0.95)}
    if attack == "blended":
        return {"alpha": one_of(0.15, 0.25, 0.3), "patches": int(one_of(4, 6, 8)), "seed": seed}
    if attack == "sig":
        return {"delta": one_of(30, 50, 60) / 255, "frequency": one_of(4, 5, 7, 8)}
    if attack == "lf":
        return {"amplitude": one_of(36, 48, 60) / 255, "cutoff": int(one_of(3, 4, 6)), "seed": seed}
    if attack == "ssba":
        return {"strength": one_of(12, 16, 20) / 255, "width": 8, "prepare_epochs": 4, "seed": seed}
    if attack == "iab":
        return {"density": one_of(0.035, 0.05, 0.07), "width": 8, "seed": seed}
    if attack == "wanet":
        return {"grid": int(one_of(4, 6)), "strength": one_of(0.75, 1.0, 1.25), "noise_ratio": 1.0, "seed": seed}
    return {"levels": int(one_of(4, 5, 6)), "negative_ratio": 0.05}
