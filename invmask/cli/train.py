"""`train` and `data`: victims made anew, and the full data set that this takes."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Self

import torch
from tqdm import tqdm

from invmask import machine, settings
from invmask.attacks.make import make_victim
from invmask.attacks.recipe import Stage, default_recipe
from invmask.attacks.registry import make_attack
from invmask.attacks.training import EpochReport, TrainingConfig
from invmask.attacks.victims import CLEAN, VictimCard, find_cards, new_model, read_card, victim_name
from invmask.cli.tables import per_cent, print_json, print_table
from invmask.cli.victims import KEYS
from invmask.data.embedded import ASSETS, embedded_folder
from invmask.data.prepare import prepare
from invmask.data.registry import dataset_info, fetch_dataset
from invmask.errors import UserError

EMBEDDED = ("cifar10", "preactresnet18w16")
DEFAULT_RATIO = 0.1


def train(arguments: argparse.Namespace) -> int:
    """Train a victim. What is not said is as in the card of that name if there is one, else as in the recipe."""
    dataset, architecture, attack = parts(arguments.victim)
    name = victim_name(dataset, architecture, attack)
    device = arguments.device or settings.device()
    from invmask.runs.subject import check_device

    check_device(device)
    torch.set_num_threads(arguments.threads or settings.threads())
    folders = settings.victim_folders()
    cards = find_cards(folders)
    card = read_card(cards[name]) if name in cards else None
    info = dataset_info(dataset)
    classes = len(info.classes)
    target = arguments.target if arguments.target is not None else (card and card.target_label) or 0
    if target >= classes:
        raise UserError(f"The target label has to be between 0 and {classes - 1}, not {target}.")
    ratio = arguments.ratio or (card and card.poisoning_ratio) or DEFAULT_RATIO
    if ratio > 1 - 1 / classes:
        raise UserError(f"At most {1 - 1 / classes:g} of the images are of other classes than the target's.")
    out = Path(arguments.out).expanduser() if arguments.out else folders[-1]
    stages = stages_of(card, arguments.epochs, arguments.seed, arguments.precision or machine.choose_precision(device))
    if not info.mirrors:
        stages = tuple(replace(stage, config=replace(stage.config, flip=False)) for stage in stages)
    with _Bar(stages) as bar:
        made = make_victim(
            dataset, architecture, attack, ratio, target, stages, settings.data_folder(), out, device,
            on_epoch=bar.epoch, on_step=bar.step,
        )  # fmt: skip
    if arguments.json:
        print_json({key: value for key, value in asdict(made).items() if key in KEYS})
    else:
        row = [made.name, *map(per_cent, (made.acc, made.asr, made.ra)), str(made.n_test)]
        print_table(["victim", "ACC %", "ASR %", "RA %", "n"], [row])
    print(f"Stored in {out}.", file=sys.stderr)
    return 0


def parts(name: str) -> tuple[str, str, str]:
    """Data set, architecture and attack of a victim's name; an attack alone means the embedded victim.

    Raises:
        UserError: one of them does not exist.
    """
    given = name.split("-")
    if len(given) not in (1, 3):
        raise UserError(f"A victim is named <dataset>-<architecture>-<attack>, not '{name}'.")
    dataset, architecture, attack = given if len(given) == 3 else (*EMBEDDED, name)
    new_model(dataset, architecture)
    if attack != CLEAN:
        make_attack(attack)
    return dataset, architecture, attack


def stages_of(card: VictimCard | None, epochs: int | None, seed: int | None, precision: str) -> tuple[Stage, ...]:
    """The card's stages of training, or the recipe's, with what was asked for changed."""
    stages: Sequence[Stage] = default_recipe()
    recorded = card.training.get("stages") if card is not None else None
    if recorded:
        names = set(asdict(TrainingConfig()))
        stages = [
            Stage(
                TrainingConfig(**{key: stage[key] for key in names & set(stage)}),
                bool(stage.get("poisoned", True)),
                bool(stage.get("average", False)),
            )
            for stage in recorded
        ]
    total, left, changed = sum(stage.config.epochs for stage in stages), epochs, []
    for number, stage in enumerate(stages):
        of_stage = stage.config.epochs
        if left is not None and epochs is not None:
            last = number == len(stages) - 1
            of_stage = left if last else max(1, round(epochs * stage.config.epochs / total))
            left -= of_stage
        config = replace(
            stage.config,
            epochs=max(1, of_stage),
            seed=stage.config.seed if seed is None else seed + number,
            bfloat16=precision == "bfloat16",
        )
        changed.append(replace(stage, config=config))
    return tuple(changed)


def fetch(dataset: str) -> int:
    """Fetch a full data set, draw the images for defences where none come with invmask, print where the set lies."""
    root, info = settings.data_folder(), dataset_info(dataset)
    print(f"Fetching {info.title} unless it is there.", file=sys.stderr)
    folder = fetch_dataset(dataset, root)
    images = embedded_folder(dataset)
    if images.parent != ASSETS and not (images / "test.json").exists():
        print(f"Drawing images for defences into {images}.", file=sys.stderr)
        prepare(dataset, root, images)
    print(folder)
    return 0


class _Bar:
    """Steps of the epoch in hand on stderr; nothing before the first, for until then it may turn out a mistake."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.epochs = sum(stage.config.epochs for stage in stages)
        self.done = 0
        self.bar: tqdm | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def step(self, step: int, steps: int) -> None:
        """`step` of `steps` in this epoch."""
        if self.bar is None:
            self.bar = tqdm(unit="step", file=sys.stderr, dynamic_ncols=True, mininterval=0.5)
        if step == 1:
            self.bar.reset(total=steps)
        self.bar.update()

    def epoch(self, report: EpochReport) -> None:
        """An epoch is over."""
        self.done += 1
        if self.bar is not None:
            self.bar.set_description(f"epoch {self.done} of at most {self.epochs}", refresh=False)
            self.bar.set_postfix_str(f"loss {report.loss:.3f}, training ACC {100 * report.accuracy:.1f} %")
