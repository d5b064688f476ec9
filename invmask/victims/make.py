"""Make a victim from scratch: poison, train, measure on the full test set, store with its card."""

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
    """Raises UserError where the data set or the architecture does not exist, or one is not for the other.

    A grid has many plans with the same network, and a large one takes seconds to draw: its weights may be anything.
    """
    try:
        with torch.device("meta"):
            model = new_model(dataset, architecture)
        # A pass without memory would make torch load its compiler, which takes far longer than one with some.
        model = model.to_empty(device="cpu")
        for buffer in model.buffers():
            # Some hold places in a table.
            buffer.zero_()
    except RuntimeError:
        # Some networks cannot be built without memory.
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
class Plan:
    """What a victim is to be.

    Attributes:
        attack: an attack's name, or ``clean`` for a control trained on the untouched set.
        poisoning_ratio: share of the whole training set, or of each batch where the attack acts there.
        target_label: of no meaning for all-to-all.
        labels: see `poison_set.LABELLINGS`.
        settings: of the attack, where they are not the defaults.
        called: the victim's name; None for the one that says what it is (`victim_name`).
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
        """What the backdoor shall answer; None for a clean control."""
        if self.attack == CLEAN:
            return None
        classes = len(dataset_info(self.dataset).classes)
        return (
            Targets.all_to_all(classes) if self.labels == ALL_TO_ALL else Targets.all_to_one(self.target_label, classes)
        )

    def description(self) -> dict[str, Any]:
        """All of it as plain data, with every setting of the attack."""
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
        """Raises UserError where something of it does not exist, or does not go together."""
        check_network(self.dataset, self.architecture)
        classes, ratio = len(dataset_info(self.dataset).classes), self.poisoning_ratio
        if self.target_label >= classes:
            raise UserError(f"The target label has to be between 0 and {classes - 1}, not {self.target_label}.")
        # What there is in others is only known with all their labels (`_check_share`).
        if dataset_info(self.dataset).balanced and self.attack != CLEAN:
            share = {CLEAN_LABEL: 1 / classes, ALL_TO_ONE: 1 - 1 / classes}.get(self.labels, 1.0)
            if ratio > share:
                of = "of the target's class" if self.labels == CLEAN_LABEL else "of other classes than the target's"
                raise UserError(f"At most {share:g} of the images are {of}: ask for a poisoning ratio of at most that.")
        self.make_attack()

    def make_attack(self) -> Attack | None:
        """The attack before anything of it is trained; None for a clean control.

        Raises:
            UserError: there is no such attack, or it has no such settings or labels.
        """
        if self.attack == CLEAN:
            return None
        attack = make_attack(self.attack, self.settings).suited_to(dataset_info(self.dataset).shape)
        if self.labels not in attack.labellings:
            raise UserError(f"{attack.title} can label what it poisons {' or '.join(attack.labellings)} only.")
        return attack


def _check_share(plan: Plan, targets: Targets, images: LabelledImages) -> None:
    """Raises UserError where fewer images can be poisoned than are to be, or not one is."""
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
) -> VictimCard:
    """Train a victim and store it in `folder`; goes on from the last finished epoch if it was interrupted.

    Args:
        stages: trained one after the other; the first one's seed also draws the weights and the poisoned images.
        data_root: where the full data set lies (see `data.registry.load_dataset`).
        watched: who is told of every part of the work; its checkpoints lie in `folder`.

    Raises:
        UserError: unknown names, a data set that is not there, one with too few images to poison that share, or a
            victim that another process is training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # The file stays: who waits for one that was removed holds a lock that nobody else sees.
        with FileLock(folder / f".{plan.name}.lock").acquire(timeout=0):
            return _make(plan, stages, data_root, folder, device, watched)
    except Timeout as error:
        raise UserError(f"Another process is training {plan.name} in {folder}; wait for its end.") from error


def _make(
    plan: Plan, stages: Sequence[Stage], data_root: Path, folder: Path, device: str, watched: Progress | None
) -> VictimCard:
    attack, targets, name = plan.make_attack(), plan.targets, plan.name
    seed, where = stages[0].config.seed, torch.device(device)
    torch.manual_seed(seed)
    model = new_model(plan.dataset, plan.architecture)
    training_set, test_set = (load_dataset(plan.dataset, data_root, train) for train in (True, False))
    if attack is not None and targets is not None:
        _check_share(plan, targets, training_set)
    untouched = poisoned = PoisonedSet.untouched(training_set)
    checkpoints, record, prepared = [], [], {}

    def progress(part: str, trained: Sequence[Stage]) -> Progress:
        checkpoints.append(folder / f"{name}.{part}.checkpoint")
        of = {**plan.description(), "images": len(training_set), "stages": [asdict(stage) for stage in trained]}
        return replace(watched or Progress(), checkpoint=checkpoints[-1], of=of)

    if isinstance(attack, TrainedAttack):
        started = time.perf_counter()
        told = progress("trigger", [])
        whole = not checkpoints[-1].exists()
        attack = attack.prepare(training_set, where, stages[0].config.bfloat16, told)
        # How long an earlier process took, which was interrupted, is not known.
        seconds = round(time.perf_counter() - started, 1) if whole else None
        prepared = {"epochs": attack.prepare_epochs, "seconds": seconds}
    if attack is not None and targets is not None and not isinstance(attack, LoopAttack):
        poisoned = poison(training_set, attack, plan.poisoning_ratio, targets, seed, plan.labels)
    for number, stage in enumerate(stages):
        started = time.perf_counter()
        images, session = poisoned if stage.poisoned else untouched, None
        if isinstance(attack, LoopAttack) and targets is not None and stage.poisoned:
            session = attack.session(targets, plan.poisoning_ratio, where)
        before, told = copy.deepcopy(model.state_dict()), progress(f"stage{number}", stages[: number + 1])
        whole = not checkpoints[-1].exists()
        train(model, images, stage.config, where, told, session)
        if stage.average:
            average(model, before, images, stage.config, session)
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
        training={"device": device, "stages": record} | ({"trigger": prepared} if prepared else {}),
        versions=versions(),
        machine=processor(device),
        labels=plan.labels,
    )
    card = save_victim(folder, card, model.cpu(), attack)
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
    return card
