"""`train` and `data`: train victims, and fetch the full data set that training needs."""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import torch
from tqdm import tqdm

from invmask import settings
from invmask.attacks.base import EpochReport, Progress, TrainedAttack
from invmask.attacks.registry import ATTACKS, make_attack
from invmask.attacks.training.poison_set import CLEAN_LABEL, LABELLINGS
from invmask.attacks.training.train_victim import TrainingConfig
from invmask.attacks.triggers.picture import PictureTrigger, picture_settings
from invmask.cli.tables import per_cent, print_json, print_table
from invmask.cli.values import changes
from invmask.data.embedded import ASSETS, embedded_folder, is_embedded
from invmask.data.prepare import prepare
from invmask.data.registry import dataset_info, fetch_dataset
from invmask.errors import UserError
from invmask.models import suited_precision
from invmask.victims.card_values import NEEDED
from invmask.victims.make import Plan, check_network, make_victim
from invmask.victims.recipe import Stage, recipe_of
from invmask.victims.victim import CLEAN, USUAL, VictimCard, find_cards, read_card

# The largest share of the target class; with more, the victim would forget the clean images of that class.
CLEAN_LABEL_SHARE = 0.5


def train(arguments: argparse.Namespace) -> int:
    """Train a victim. Settings not given come from the card of that name if there is one, else from the recipe."""
    torch.set_num_threads(arguments.threads or settings.threads())
    out = Path(arguments.out).expanduser() if arguments.out else settings.victim_folders()[-1]
    plan, like = plan_of(arguments)
    _check_name(plan, out)
    made = carry_out(plan, out, arguments.epochs, arguments.seed, arguments.precision, arguments.device, like)
    if arguments.json:
        print_json({key: value for key, value in asdict(made).items() if key in NEEDED})
    else:
        row = [made.name, *map(per_cent, (made.acc, made.asr, made.ra)), str(made.n_test)]
        print_table(["victim", "ACC %", "ASR %", "RA %", "n"], [row])
    print(f"Stored in {out}.", file=sys.stderr)
    return 0


def _check_name(plan: Plan, out: Path) -> None:
    """Raise UserError if the victim could not be found by its name, or would replace a different victim."""
    card = _card_of(plan, [out])
    known = card or _card_of(plan, settings.victim_folders())
    usual = known.attack_settings if known is not None else {}
    asked, expected = (of.make_attack() for of in (_completed(plan, known), replace(plan, settings=usual)))
    if plan.called is None and asked != expected:
        raise UserError("Settings are not part of a victim's name: give this one a name of its own with --name.")
    if card is not None and asked != expected:
        raise UserError(
            f"{out} has '{plan.name}' with other settings; choose another --name, or delete that victim's files."
        )
    if (out / f"{plan.name}.json").exists() and card is None:
        raise UserError(f"{out} has another victim '{plan.name}'; choose another --name, or delete that one's files.")
    folders = settings.victim_folders()
    found = find_cards(folders).get(plan.name)
    if out in folders and found is not None and found.parent != out:
        raise UserError(
            f"'{plan.name}' is in {found.parent} already, which is looked in first; give yours another name with "
            "--name, or put it elsewhere with --out."
        )


def _card_of(plan: Plan, folders: list[Path]) -> VictimCard | None:
    """The existing card with the victim's name, if it describes the same kind of victim; else None."""
    path = find_cards(folders).get(plan.name)
    card = read_card(path) if path is not None else None
    if card is None:
        return None
    ratio = 0.0 if plan.attack == CLEAN else plan.poisoning_ratio
    kind = (plan.dataset, plan.architecture, plan.attack, plan.labels, plan.targets)
    of_card = (card.dataset, card.architecture, card.attack, card.labels, card.targets)
    return card if kind == of_card and math.isclose(ratio, card.poisoning_ratio or 0.0) else None


def _completed(plan: Plan, card: VictimCard | None) -> Plan:
    """The plan, with the attack's settings from the card if the plan has none."""
    return plan if card is None else replace(plan, settings={**card.attack_settings, **plan.settings})


def carry_out(
    plan: Plan,
    out: Path,
    epochs: int | None = None,
    seed: int | None = None,
    precision: str | None = None,
    device: str | None = None,
    like: VictimCard | None = None,
) -> VictimCard:
    """Train the planned victim. An argument that is None comes from the card of that name, or else from the recipe.

    Args:
        like: the card to take training settings from if there is no card with the victim's own name.

    Raises:
        UserError: no such device, or the data set is missing.
    """
    device = device or settings.device()
    from invmask.runs.work.bench import check_device

    check_device(device)
    card = _card_of(plan, settings.victim_folders()) or like
    plan = _completed(plan, card)
    attack = plan.make_attack()
    stages = stages_of(card or plan, epochs, seed, precision or suited_precision(plan.architecture, device))
    if not dataset_info(plan.dataset).mirrors:
        stages = tuple(replace(stage, config=replace(stage.config, flip=False)) for stage in stages)
    total = sum(stage.config.epochs for stage in stages)
    if (out / f"{plan.name}.json").exists():
        print(f"{plan.name} is in {out} already; the new one will take its place.", file=sys.stderr)
    with _Bar(total + (attack.prepare_epochs if isinstance(attack, TrainedAttack) else 0)) as bar:
        watched = Progress(on_resume=bar.resume, on_epoch=bar.epoch, on_step=bar.step)
        return make_victim(plan, stages, settings.data_folder(), out, device, watched)


def plan_of(arguments: argparse.Namespace) -> tuple[Plan, VictimCard | None]:
    """The plan that the arguments describe, and the card of the victim named as a model for it.

    Raises:
        UserError: something named in the arguments does not exist, or the arguments contradict each other.
    """
    if (arguments.victim is None) == (arguments.attack is None):
        raise UserError("Say what to train either as a victim's name or by --attack; see 'train --help'.")
    path = find_cards(settings.victim_folders()).get(arguments.victim or "")
    like = read_card(path) if path is not None else None
    plan = _again(like) if like is not None else named(arguments.victim or arguments.attack)
    plan = replace(plan, dataset=arguments.dataset or plan.dataset)
    plan = replace(plan, architecture=arguments.architecture or plan.architecture)
    check_network(plan.dataset, plan.architecture)
    labels = arguments.labels or plan.labels
    if labels not in LABELLINGS:
        raise UserError(f"Labels can be {' or '.join(LABELLINGS)}, not '{labels}'.")
    if labels == CLEAN_LABEL != plan.labels:
        plan = replace(plan, poisoning_ratio=round(CLEAN_LABEL_SHARE / len(dataset_info(plan.dataset).classes), 4))
    if plan.attack == CLEAN and any(
        given is not None for given in (arguments.ratio, arguments.target, arguments.labels)
    ):
        raise UserError("A clean control has no backdoor: leave out --ratio, --target and --labels.")
    plan = replace(plan, labels=labels, poisoning_ratio=arguments.ratio or plan.poisoning_ratio)
    plan = replace(plan, target_label=plan.target_label if arguments.target is None else arguments.target)
    if arguments.name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,79}", arguments.name):
        raise UserError("A victim's name has small letters, digits, - and _, at most 80 of them.")
    plan = replace(plan, called=arguments.name or plan.called)
    plan = replace(plan, settings={**plan.settings, **_settings(plan.attack, arguments)})
    plan.check()
    # A different network, such as a transformer, is trained differently.
    return plan, like if like is not None and like.architecture == plan.architecture else None


def _again(card: VictimCard) -> Plan:
    """The plan of an existing victim, whatever its name."""
    if card.is_unknown:
        raise UserError(f"{card.name} is a model of your own; how it was trained is not known here.")
    plan = Plan(card.dataset, card.architecture, card.attack, labels=card.labels, settings=dict(card.attack_settings))
    if card.attack != CLEAN:
        plan = replace(plan, poisoning_ratio=card.poisoning_ratio, target_label=card.target_label or 0)
    return plan if plan.name == card.name else replace(plan, called=card.name)


def _settings(attack: str, arguments: argparse.Namespace) -> dict[str, Any]:
    own: dict[str, Any] = {} if attack == CLEAN else make_attack(attack).settings()
    given = changes(arguments.set, {name: type(value) for name, value in own.items()}, f"The attack '{attack}'")
    if arguments.picture is None:
        return given
    if attack != PictureTrigger.name:
        raise UserError(f"--picture is for the attack '{PictureTrigger.name}', not for '{attack}'.")
    return {**given, **picture_settings(Path(arguments.picture).expanduser())}


def named(name: str) -> Plan:
    """Parse a victim's name (see `victims.victim_name`). One that begins with an attack means an embedded victim.

    Raises:
        UserError: it is not a victim's name, or a part of it does not exist.
    """
    given = name.split("-")
    if len(given) == 1 or given[0] in (*ATTACKS, CLEAN):
        given = [*USUAL, *given]
    complaint = (
        "A victim is named <dataset>-<architecture>-<attack>, and after it whatever is unusual: a ratio (p5), "
        f"a target (t3), labels (all_to_all); not '{name}'."
    )
    if len(given) < 3:
        raise UserError(complaint)
    dataset, architecture, attack, *unusual = given
    check_network(dataset, architecture)
    if attack != CLEAN:
        make_attack(attack)
    plan = Plan(dataset, architecture, attack)
    for word in unusual:
        labels = next((labels for labels in LABELLINGS if labels.replace("-", "_") == word), None)
        if labels is not None:
            plan = replace(plan, labels=labels)
        elif re.fullmatch(r"p\d{1,3}(\.\d{1,4})?", word) and 0 < float(word[1:]) <= 100:
            plan = replace(plan, poisoning_ratio=round(float(word[1:]) / 100, 6))
        elif re.fullmatch(r"t\d{1,6}", word):
            plan = replace(plan, target_label=int(word[1:]))
        else:
            raise UserError(complaint)
    return plan


def stages_of(of: VictimCard | Plan, epochs: int | None, seed: int | None, precision: str) -> tuple[Stage, ...]:
    """The stages of training from the card, or from the recipe for a plan, with the given arguments changed."""
    stages: Sequence[Stage] = recipe_of(of.attack, of.architecture)
    recorded = of.training.get("stages") if isinstance(of, VictimCard) else None
    if recorded:
        stages = [
            Stage(_config(stage), bool(stage.get("poisoned", True)), bool(stage.get("average", False)))
            for stage in recorded
        ]
    stages = stages[:epochs]
    total, left, changed = sum(stage.config.epochs for stage in stages), epochs, []
    for number, stage in enumerate(stages):
        of_stage = stage.config.epochs
        if left is not None and epochs is not None:
            after = len(stages) - number - 1
            share = max(1, round(epochs * stage.config.epochs / total))
            of_stage = min(share, left - after) if after else left
            left -= of_stage
        config = replace(
            stage.config,
            epochs=of_stage,
            seed=stage.config.seed if seed is None else seed + number,
            bfloat16=precision == "bfloat16",
        )
        changed.append(replace(stage, config=config))
    return tuple(changed)


def _config(stage: dict[str, Any]) -> TrainingConfig:
    config = TrainingConfig(**{key: stage[key] for key in set(asdict(TrainingConfig())) & set(stage)})
    if "least_momentum" in stage:
        return config
    if config.optimizer == "adamw":
        return replace(config, least_momentum=config.momentum)
    # Older cards, from before `least_momentum`, name a value that SGD never used.
    usual = TrainingConfig()
    return replace(config, momentum=usual.momentum, least_momentum=usual.least_momentum)


def fetch(dataset: str) -> int:
    """Fetch a full data set, draw images for defences if none come with invmask, and print where the set is."""
    root, info = settings.data_folder(), dataset_info(dataset)
    print(f"Fetching {info.title} unless it is there.", file=sys.stderr)
    folder = fetch_dataset(dataset, root)
    images = embedded_folder(dataset)
    if images.parent != ASSETS and not is_embedded(dataset):
        print(f"Drawing images for defences into {images}.", file=sys.stderr)
        prepare(dataset, root, images)
    print(folder)
    return 0


class _Bar:
    """A progress bar of the current epoch on stderr. It appears with the first step, after possible error messages."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.done = 0
        self.bar: tqdm | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def step(self, step: int, steps: int) -> None:
        """Show step `step` of `steps` in this epoch."""
        if self.bar is None:
            self.bar = tqdm(unit="step", file=sys.stderr, dynamic_ncols=True, mininterval=0.5)
        if step == 1:
            self.bar.reset(total=steps)
            self.bar.set_description(f"epoch {self.done + 1} of {self.epochs}", refresh=False)
        self.bar.update()

    def resume(self, epochs: int) -> None:
        """Note that `epochs` epochs were done before."""
        self.done += epochs

    def epoch(self, report: EpochReport) -> None:
        """Show the report of a finished epoch."""
        self.done += 1
        if self.bar is not None:
            measured = f"{report.measure} {100 * report.accuracy:.1f} %"
            self.bar.set_postfix_str(f"after epoch {self.done}: loss {report.loss:.3f}, {measured}")
