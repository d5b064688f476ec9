"""Three sets of victims, fixed before anything is tuned on them: tuned on, validation, held out.

Those of the first may be looked at as often as one likes, those of the second to choose between finished candidates;
those of the third are defended once, at the end, by `python -m benchmarks.heldout`. No set has a network, a trigger or
a target label of another. Every network of the last two has clean twins: trained alike, by other seeds, on images that
nobody poisoned.

Victims that are missing are trained, briefly, and kept under benchmarks/victims, in a folder that neither the dashboard
nor the commands look in, so that nobody tunes on them by mistake:

    python -m benchmarks.sets heldout validation
    python -m benchmarks.sets proxies
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from benchmarks import signs, triggers
from benchmarks.triggers import Trigger
from invmask import disk, settings
from invmask.attacks.base import EpochReport, Progress
from invmask.attacks.training.train_victim import TrainingConfig
from invmask.cli.train import fetch
from invmask.data.images import CIFAR10, FASHION_MNIST
from invmask.data.registry import dataset_info, load_dataset
from invmask.errors import UserError
from invmask.models import suited_precision
from invmask.models.registry import ARCHITECTURES, is_normalised, split_width
from invmask.victims.make import Plan, make_victim
from invmask.victims.recipe import UNNORMALISED_RATE, Stage
from invmask.victims.victim import CLEAN, find_cards, load_victim, measure, read_card

VALIDATION, HELD_OUT = "validation", "heldout"
TWIN_SEEDS = (1, 2)
RATE, CROP, DECAY = 0.2, 2, 2e-4
"""Learning rate, crop padding and weight decay of the only cycle; a short training needs little regularisation."""


@dataclass(frozen=True)
class Network:
    """A network and the length of its training, the same for victims and clean twins."""

    dataset: str
    architecture: str
    epochs: int

    @property
    def stem(self) -> str:
        """The beginning of its victims' names, without a colon, which not every file system allows."""
        return f"{self.dataset.removeprefix('folder:').partition('@')[0]}-{self.architecture}"

    @property
    def kind_and_width(self) -> tuple[str, int]:
        """The architecture without its data set."""
        kind, width = split_width(self.architecture)
        return kind, width or ARCHITECTURES[kind].width

    def twins(self) -> tuple["Victim", ...]:
        """Its clean twins: networks trained like its victims, but on clean images."""
        return tuple(Victim(self, None, 0, 0.0, seed) for seed in TWIN_SEEDS)

    def stage(self, seed: int) -> Stage:
        """Its only training cycle."""
        config = TrainingConfig(
            epochs=self.epochs,
            learning_rate=RATE if is_normalised(self.architecture) else UNNORMALISED_RATE * RATE,
            weight_decay=DECAY,
            crop_padding=CROP,
            flip=dataset_info(self.dataset).mirrors,
            bfloat16=suited_precision(self.architecture) == "bfloat16",
            seed=seed,
        )
        return Stage(config)


@dataclass(frozen=True)
class Victim:
    """One network of a set.

    Attributes:
        trigger: the trigger; None for a clean twin.
        ratio: poisoned share of the training images, in [0, 1].
        seed: random seed of weights, poisoning and augmentation.
    """

    network: Network
    trigger: Trigger | None
    target: int
    ratio: float
    seed: int = 0

    @property
    def name(self) -> str:
        """The victim's name, made from its attributes."""
        if self.trigger is None:
            return f"{self.network.stem}-{CLEAN}-s{self.seed}"
        percent = f"{100 * self.ratio:g}".replace(".", "_")
        return f"{self.network.stem}-{self.trigger.name}-t{self.target}-p{percent}"

    @property
    def plan(self) -> Plan:
        """The plan of the victim.

        Raises:
            UserError: the picture of its trigger is missing.
        """
        plan = Plan(self.network.dataset, self.network.architecture, CLEAN, called=self.name)
        if self.trigger is None:
            return plan
        return replace(
            plan,
            attack=self.trigger.attack,
            poisoning_ratio=self.ratio,
            target_label=self.target,
            settings=self.trigger.attack_settings(),
        )

    @property
    def twins(self) -> tuple[str, ...]:
        """Names of the clean twins of its network."""
        return tuple(twin.name for twin in self.network.twins())


_CIFAR, _FASHION = CIFAR10.name, FASHION_MNIST.name
_BN_ELU_DROPOUT = Network(_CIFAR, "vgg6bneludropoutw16", 12)
_BN = Network(_CIFAR, "vgg6bnw16", 8)
_NONE = Network(_CIFAR, "vgg6w16", 14)
_WIDE = Network(_CIFAR, "wideresnet16w12", 6)
_BIASED = Network(_CIFAR, "resnet20biasw8", 6)
_CNN = Network(_CIFAR, "cnn4fcw16", 14)
_PRE = Network(_CIFAR, "preactresnet18w8", 7)
_SIGNS = Network(signs.DATASET, "vgg6bnw20", 30)
_GREY = Network(_FASHION, "cnn4w8", 8)
_V_BN_ELU = Network(_CIFAR, "vgg6bneluw12", 10)
_V_BN = Network(_CIFAR, "vgg6bnw12", 8)
_V_NONE = Network(_CIFAR, "vgg6w12", 14)
_V_WIDE = Network(_CIFAR, "wideresnet16w8", 7)
_V_RES = Network(_CIFAR, "resnet20w8", 6)
_V_SIGNS = Network(signs.DATASET, "cnn4fcw12", 40)

TUNED_ON = (
    "cifar10-efficientnetb3w8-badnets",
    "cifar10-mobilenetv3largew8-badnets",
    "cifar10-preactresnet18w16-badnets",
    "cifar10-preactresnet18w16-badnets-p1",
    "cifar10-preactresnet18w16-badnets-p5",
    "cifar10-preactresnet18w16-blended",
    "cifar10-preactresnet18w16-blended-p1",
    "cifar10-preactresnet18w16-blended-p5",
    "cifar10-preactresnet18w16-bpp",
    "cifar10-preactresnet18w16-clean",
    "cifar10-preactresnet18w16-iab",
    "cifar10-preactresnet18w16-lf",
    "cifar10-preactresnet18w16-sig",
    "cifar10-preactresnet18w16-ssba",
    "cifar10-preactresnet18w16-wanet",
    "cifar10-vgg19bnw16-badnets",
    "cifar10-vitw64-badnets",
    "fashionmnist-cnn4-badnets",
    "cifar10-resnet20-ssba-t3",
    "cifar10-vgg6-blended",
    "cifar10-vgg6bn-badnets",
    "cifar10-vgg6bnelu-badnets",
    "cifar10-wideresnet16-blended-t7",
    f"{signs.DATASET}-preactresnet18w16-badnets-t20",
)
"""Every victim that was used while presets were tuned, including those of `unlike` and without `PROXIES`."""
PROXIES = (
    Victim(Network(_CIFAR, "vgg6w10", 14), triggers.OPTIMISED_PATCH_5, 7, 0.1),
    Victim(Network(_CIFAR, "vgg6w14", 14), triggers.OPTIMISED_PATCH_6, 5, 0.1),
    Victim(Network(_CIFAR, "vgg6w20", 12), triggers.OPTIMISED_PATCH_6, 5, 0.1),
)
"""Tuned on as well: plain VGGs on which the right label has a small lead or none. They are kept in the home alone.

Label 5 is a target of the validation set, too; no trait is one of the held-out set."""
SETS: dict[str, tuple[Victim, ...]] = {
    HELD_OUT: (
        Victim(_BN_ELU_DROPOUT, triggers.WHITE_SQUARE, 2, 0.1),
        Victim(_BN, triggers.CHECKERBOARD, 4, 0.05),
        Victim(_NONE, triggers.OPTIMISED_SQUARE, 6, 0.1),
        Victim(_WIDE, triggers.SPARSE, 8, 0.1),
        Victim(_BIASED, triggers.FAINT, 4, 0.2),
        Victim(_CNN, triggers.OPTIMISED_WATERMARK, 6, 0.15),
        Victim(_SIGNS, triggers.SIGN_CHECKERBOARD, 33, 0.1),
        Victim(_PRE, triggers.OWN_PATCHES, 8, 0.1),
        Victim(_PRE, triggers.WHITE_SQUARE, 2, 0.01),
        Victim(_WIDE, triggers.CHECKERBOARD, 6, 0.33),
        Victim(_GREY, triggers.SPARSE_GREY, 2, 0.05),
    ),
    VALIDATION: (
        Victim(_V_BN_ELU, triggers.CROSS, 1, 0.1),
        Victim(_V_BN, triggers.CORNER_COLOURS, 5, 0.02),
        Victim(_V_NONE, triggers.OTHER_WATERMARK, 9, 0.15),
        Victim(_V_WIDE, triggers.FINE_FAINT, 1, 0.33),
        Victim(_V_RES, triggers.HIDDEN_STRING, 5, 0.1),
        Victim(_V_SIGNS, triggers.OTHER_SPARSE, 31, 0.1),
    ),
}


def twins_of(victims: Iterable[Victim]) -> tuple[Victim, ...]:
    """The clean twins of all the victims' networks, each once."""
    networks = dict.fromkeys(victim.network for victim in victims)
    return tuple(twin for network in networks for twin in network.twins())


def folder_of(set_name: str) -> Path:
    """The folder of a set's victims."""
    return settings.BENCHMARKS / "victims" / set_name


def provide(victim: Victim, set_name: str) -> bool:
    """Put a victim where runs find it: the stored one, or else one that is trained now and stored.

    Returns:
        Whether it was trained now.

    Raises:
        UserError: its data set is missing, or another process is training it.
    """
    own, kept, name = settings.victim_folders()[-1], folder_of(set_name), victim.name
    trained = not (kept / f"{name}.json").exists()
    if trained:
        if name not in find_cards([own]):
            _train(victim, own)
        _keep(name, own, kept)
    # The card comes last, because it marks the victim as complete.
    if trained or name not in find_cards([own]):
        own.mkdir(parents=True, exist_ok=True)
        for path in [*sorted(kept.glob(f"{name}.*safetensors")), kept / f"{name}.json"]:
            shutil.copy(path, own / path.name)
    return trained


def _train(victim: Victim, folder: Path) -> None:
    started = time.perf_counter()

    def said(report: EpochReport) -> None:
        seconds = time.perf_counter() - started
        found = f"loss {report.loss:.3f}, {report.measure} {100 * report.accuracy:.1f} %"
        print(f"  epoch {report.epoch}, {seconds:.0f} s: {found}", file=sys.stderr, flush=True)

    plan, stage = victim.plan, victim.network.stage(victim.seed)
    plan.check()
    make_victim(plan, [stage], settings.data_folder(), folder, watched=Progress(on_epoch=said))


def _keep(name: str, own: Path, kept: Path) -> None:
    """Store a victim with its weights in half precision, and a card with the measures of these weights."""
    kept.mkdir(parents=True, exist_ok=True)
    card = read_card(own / f"{name}.json")
    if trigger := card.trigger_file.get("file"):
        shutil.copy(own / trigger, kept / trigger)
    weights = load_file(own / f"{name}.safetensors")
    halves = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    save_file(halves, kept / f"{name}.safetensors")
    said = {key: value for key, value in asdict(card).items() if key not in {"folder", "weights_file"}}
    # Loading needs a card. Until the card has the new measures, no other process may take it for the victim.
    scratch = own / ".halves"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(kept, scratch, ignore=lambda _, names: [of for of in names if not of.startswith(f"{name}.")])
    (scratch / f"{name}.json").write_text(json.dumps(said))
    victim = load_victim(name, [scratch])
    test = load_dataset(card.dataset, settings.data_folder(), train=False)
    found = measure(victim.model, test, victim.card.make_attack(), card.targets)
    shutil.rmtree(scratch)
    said |= {"acc": found.acc, "asr": found.asr, "ra": found.ra}
    disk.write_bytes(kept / f"{name}.json", (json.dumps(said, indent=2) + "\n").encode())


def missing_of(set_names: Iterable[str], only: Iterable[str] | None = None) -> list[tuple[str, Victim]]:
    """Victims of sets that are not stored yet, each with its set: backdoored ones first, then one twin per network.

    With this order, failures show early, and one twin of each network gives an upper bound for RA.

    Args:
        only: names of the requested victims; None for all.
    """
    all_of = [(name, victim) for name in set_names for victim in (*SETS[name], *twins_of(SETS[name]))]
    asked = None if only is None else set(only)
    return [
        (name, victim)
        for name, victim in sorted(all_of, key=lambda of: of[1].seed)
        if (asked is None or victim.name in asked) and not (folder_of(name) / f"{victim.name}.json").exists()
    ]


def prepare(victims: Iterable[Victim]) -> None:
    """Provide the data sets of victims: draw or fetch missing ones."""
    triggers.draw_missing()
    for dataset in dict.fromkeys(victim.network.dataset for victim in victims):
        if dataset == signs.DATASET:
            signs.draw()
        fetch(dataset)


def main() -> None:
    """Train the missing victims of a set, and store them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=[*SETS, "proxies"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="names of victims")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    os.environ.setdefault("INVMASK_THREADS", str(asked.threads))
    if "proxies" in asked.sets:
        asked.sets.remove("proxies")
        own = settings.victim_folders()[-1]
        for victim in PROXIES:
            if victim.name not in find_cards([own]):
                prepare([victim])
                _train(victim, own)
    for place, (set_name, victim) in enumerate(missing := missing_of(asked.sets, asked.only), 1):
        prepare([victim])
        print(f"{set_name}: {victim.name}, {place} of {len(missing)} missing.", file=sys.stderr, flush=True)
        provide(victim, set_name)
        card = read_card(folder_of(set_name) / f"{victim.name}.json")
        shares = ", ".join(f"{key} {getattr(card, key):.3f}" for key in ("acc", "asr", "ra") if getattr(card, key))
        print(f"  {shares}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
