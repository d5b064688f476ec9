"""Make a victim from scratch: poison, train, measure on the full test set, and store it with its card."""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from invmask.attacks.base import Attack, Labels, Progress, TrainedAttack
from invmask.attacks.registry import make_attack
from invmask.attacks.training.poison_batches import LoopAttack
from invmask.attacks.training.poison_set import ALL_TO_ALL, ALL_TO_ONE, CLEAN_LABEL, PoisonedSet, poison
from invmask.attacks.training.train_victim import average, train
from invmask.data.images import LabelledImages
from invmask.data.registry import dataset_info, load_dataset
from invmask.errors import UserError
from invmask.machine import processor
from invmask.measure.target_labels import Targets
from invmask.victims.recipe import Stage
from invmask.victims.victim import (
    CLEAN,
    VictimCard,
    measure,
    new_model,
    save_victim,
    versions,
    victim_name,
)


@lru_cache(maxsize=256)
def check_network(dataset: str, architecture: str) -> None:
    """Raise UserError if the data set or the architecture does not exist, or the two do not fit.

    The result is cached, because a grid has many plans with the same network. The weights are not initialised, because
    that takes seconds for a large network.
    """
    try:
        with torch.device("meta"):
            model = new_model(dataset, architecture)
        # A pass on the meta device would make torch load its compiler, which is far slower than a real pass.
        model = model.to_empty(device="cpu")
        for buffer in model.buffers():
            # Some buffers hold indices, which must be valid.
            buffer.zero_()
    except RuntimeError:
        # Some networks cannot be built on the meta device.
        model = new_model(dataset, architecture)
    info = dataset_info(dataset)
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, *info.shape))
    except RuntimeError as error:
        size = "x".join(map(str, info.shape[1:]))
        raise UserError(
            f"Images of {size} pixels, as in {info.title}, are too small for the architecture '{architecture}'; "
            "choose one that halves the picture less often."
        ) from error


@dataclass(frozen=True)
class Sets:
    """The images that a victim is trained and measured on.

    Attributes:
        about: what the card says about them, as JSON values; part of its `training`.
    """

    train: LabelledImages
    test: LabelledImages
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The plan of a victim.

    Attributes:
        attack: an attack's name, or ``clean`` for a control trained on clean images only.
        poisoning_ratio: poisoned share in [0, 1] of the whole training set, or of the batches if the attack poisons
            batches.
        target_label: the target; not used for all-to-all.
        labels: how poisoned images are labelled, see `poison_set.LABELLINGS`.
        settings: settings of the attack that differ from the defaults.
        called: the victim's name; None for the name made from the plan (`victim_name`).
    """

    dataset: str
    architecture: str
    attack: str
    poisoning_ratio: float = 0.1
    target_label: int = 0
    labels: Labels = ALL_TO_ONE
    settings: dict[str, Any] = field(default_factory=dict)
    called: str | None = None

    @property
    def name(self) -> str:
        """The victim's name."""
        if self.called is not None:
            return self.called
        if self.attack == CLEAN:
            return victim_name(self.dataset, self.architecture, CLEAN)
        return victim_name(
            self.dataset, self.architecture, self.attack, self.poisoning_ratio, self.target_label, self.labels
        )

    @property
    def targets(self) -> Targets | None:
        """The backdoor's target for each class; None for a clean control."""
        if self.attack == CLEAN:
            return None
        classes = len(dataset_info(self.dataset).classes)
        return (
            Targets.all_to_all(classes) if self.labels == ALL_TO_ALL else Targets.all_to_one(self.target_label, classes)
        )

    def description(self) -> dict[str, Any]:
        """The plan as plain data, with every setting of the attack."""
        attack, targets = self.make_attack(), self.targets
        return {
            "dataset": self.dataset,
            "classes": list(dataset_info(self.dataset).classes),
            "architecture": self.architecture,
            "attack": self.attack,
            "settings": attack.settings() if attack is not None else {},
            "ratio": self.poisoning_ratio,
            "targets": list(targets.of_class) if targets is not None else [],
            "labels": self.labels,
        }

    def check(self) -> None:
        """Raise UserError if something in the plan does not exist, or if its parts do not fit together."""
        check_network(self.dataset, self.architecture)
        classes, ratio = len(dataset_info(self.dataset).classes), self.poisoning_ratio
        if self.target_label >= classes:
            raise UserError(f"The target label has to be between 0 and {classes - 1}, not {self.target_label}.")
        # For unbalanced data sets this is only known with all labels (`_check_share`).
        if dataset_info(self.dataset).balanced and self.attack != CLEAN:
            share = {CLEAN_LABEL: 1 / classes, ALL_TO_ONE: 1 - 1 / classes}.get(self.labels, 1.0)
            if ratio > share:
                of = "of the target's class" if self.labels == CLEAN_LABEL else "of other classes than the target's"
                raise UserError(f"At most {share:g} of the images are {of}: ask for a poisoning ratio of at most that.")
        self.make_attack()

    def make_attack(self) -> Attack | None:
        """The attack before its networks are trained; None for a clean control.

        Raises:
            UserError: there is no such attack, or it does not have these settings or this way to label.
        """
        if self.attack == CLEAN:
            return None
        attack = make_attack(self.attack, self.settings).suited_to(dataset_info(self.dataset).shape)
        if self.labels not in attack.labellings:
            raise UserError(f"{attack.title} can label what it poisons {' or '.join(attack.labellings)} only.")
        return attack


def _check_share(plan: Plan, targets: Targets, images: LabelledImages) -> None:
    """Raise UserError if fewer images can be poisoned than planned, or if no image would be poisoned."""
    if round(plan.poisoning_ratio * len(images)) < 1:
        raise UserError(
            f"A poisoning ratio of {plan.poisoning_ratio:g} poisons none of {len(images):,} images; ask for at least "
            f"{math.ceil(1e6 / len(images)) / 1e6:g}."
        )
    attacked = targets.attacked(images.label_tensor())
    possible = int((~attacked if plan.labels == CLEAN_LABEL else attacked).sum())
    if round(plan.poisoning_ratio * len(images)) > possible:
        of = "are of the target's class" if plan.labels == CLEAN_LABEL else "are of other classes than their target's"
        raise UserError(
            f"Of the {len(images):,} training images of {dataset_info(plan.dataset).title} only {possible:,} {of}: "
            f"ask for a poisoning ratio of at most {math.floor(1e4 * possible / len(images)) / 1e4:g}."
        )


def make_victim(
    plan: Plan,
    stages: Sequence[Stage],
    data_root: Path,
    folder: Path,
    device: str = "cpu",
    watched: Progress | None = None,
    images: Sets | None = None,
) -> VictimCard:
    """Train a victim and store it in `folder`. An interrupted training resumes after its last finished epoch.

    Args:
        plan: the victim to make.
        stages: stages of training, in order; the first one's seed also decides the initial weights and the poisoned
            images.
        data_root: the folder of full data sets (see `data.registry.load_dataset`).
        folder: the folder of the victim's files and of the checkpoints.
        watched: callbacks for every part of the training.
        images: the images to train and to measure on; None for the full data set.

    Raises:
        UserError: a name is unknown; the data set is missing or has too few images to poison this share; or another
            process is training this victim.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # Keep the lock file: a process that waits for a deleted file would hold a lock that no other process sees.
        with FileLock(folder / f".{plan.name}.lock").acquire(timeout=0):
            return _make(plan, stages, data_root, folder, device, watched, images)
    except Timeout as error:
        raise UserError(f"Another process is training {plan.name} in {folder}; wait for its end.") from error


def _make(
    plan: Plan,
    stages: Sequence[Stage],
    data_root: Path,
    folder: Path,
    device: str,
    watched: Progress | None,
    images: Sets | None,
) -> VictimCard:
    attack, targets, name = plan.make_attack(), plan.targets, plan.name
    seed, where = stages[0].config.seed, torch.device(device)
    torch.manual_seed(seed)
    model = new_model(plan.dataset, plan.architecture)
    given = images or Sets(load_dataset(plan.dataset, data_root, True), load_dataset(plan.dataset, data_root, False))
    training_set, test_set = given.train, given.test
    if attack is not None and targets is not None:
        _check_share(plan, targets, training_set)
    untouched = poisoned = PoisonedSet.untouched(training_set)
    checkpoints, record, prepared = [], [], {}

    def progress(part: str, trained: Sequence[Stage]) -> Progress:
        checkpoints.append(folder / f"{name}.{part}.checkpoint")
        of = {**plan.description(), "images": len(training_set), "stages": [asdict(stage) for stage in trained]}
        of |= given.about
        return replace(watched or Progress(), checkpoint=checkpoints[-1], of=of)

    if isinstance(attack, TrainedAttack):
        started = time.perf_counter()
        told = progress("trigger", [])
        whole = not checkpoints[-1].exists()
        attack = attack.prepare(training_set, where, stages[0].config.bfloat16, told)
        # The time of an earlier, interrupted process is not known.
        seconds = round(time.perf_counter() - started, 1) if whole else None
        prepared = {"epochs": attack.prepare_epochs, "seconds": seconds}
    if attack is not None and targets is not None and not isinstance(attack, LoopAttack):
        poisoned = poison(training_set, attack, plan.poisoning_ratio, targets, seed, plan.labels)
    for number, stage in enumerate(stages):
        started = time.perf_counter()
        chosen, session = poisoned if stage.poisoned else untouched, None
        if isinstance(attack, LoopAttack) and targets is not None and stage.poisoned:
            session = attack.session(targets, plan.poisoning_ratio, where)
        before, told = copy.deepcopy(model.state_dict()), progress(f"stage{number}", stages[: number + 1])
        whole = not checkpoints[-1].exists()
        train(model, chosen, stage.config, where, told, session)
        if stage.average:
            average(model, before, chosen, stage.config, session)
        if session is not None:
            attack = session.trained()
        seconds = round(time.perf_counter() - started, 1) if whole else None
        how = {"poisoned": stage.poisoned, "average": stage.average}
        record.append({**asdict(stage.config), **how, "seconds": seconds})
    measures = measure(model, test_set, attack, targets, device)

    card = VictimCard(
        name=name,
        dataset=plan.dataset,
        architecture=plan.architecture,
        attack=plan.attack,
        poisoning_ratio=plan.poisoning_ratio if attack is not None else 0.0,
        target_label=targets.label if targets is not None else None,
        acc=measures.acc,
        asr=measures.asr,
        ra=measures.ra,
        n_test=len(test_set),
        n_triggered=measures.n_triggered or None,
        attack_settings=attack.settings() if attack is not None else {},
        training={"device": device, "stages": record, **({"trigger": prepared} if prepared else {}), **given.about},
        versions=versions(),
        machine=processor(device),
        labels=plan.labels,
    )
    card = save_victim(folder, card, model.cpu(), attack)
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
    return card
