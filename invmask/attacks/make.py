"""Make a victim from scratch: poison, train, measure on the full test set, store with its card."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from invmask.attacks.poison import PoisonedSet, poison
from invmask.attacks.recipe import Stage
from invmask.attacks.registry import make_attack
from invmask.attacks.training import EpochReport, average, train
from invmask.attacks.victims import (
    CLEAN,
    VictimCard,
    measure,
    new_model,
    save_victim,
    versions,
    victim_name,
)
from invmask.data.registry import load_dataset
from invmask.machine import processor


def make_victim(
    dataset: str,
    architecture: str,
    attack_name: str,
    poisoning_ratio: float,
    target_label: int,
    stages: Sequence[Stage],
    data_root: Path,
    folder: Path,
    device: str = "cpu",
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
) -> VictimCard:
    """Train a victim and store it in `folder`; goes on from the last finished epoch if it was interrupted.

    Args:
        attack_name: an attack's name, or ``clean`` for a control trained on the untouched set.
        stages: trained one after the other; the first one's seed also draws the weights and the poisoned images.
        data_root: where the full data set lies (see `data.registry.load_dataset`).

    Raises:
        UserError: unknown names, or a data set that is not there.
    """
    attack = None if attack_name == CLEAN else make_attack(attack_name)
    name = victim_name(dataset, architecture, attack_name)
    seed = stages[0].config.seed
    torch.manual_seed(seed)
    model = new_model(dataset, architecture)
    training_set, test_set = (load_dataset(dataset, data_root, train) for train in (True, False))
    ratio = poisoning_ratio if attack is not None else 0.0
    poisoned = poison(training_set, attack or make_attack("badnets"), ratio, target_label, seed)
    untouched = PoisonedSet(training_set, np.zeros(len(training_set), dtype=bool))
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints, record = [], []
    for number, stage in enumerate(stages):
        checkpoint = folder / f"{name}.stage{number}.checkpoint"
        checkpoints.append(checkpoint)
        started = time.perf_counter()
        images = poisoned if stage.poisoned else untouched
        before = copy.deepcopy(model.state_dict())
        train(model, images, stage.config, torch.device(device), checkpoint, on_epoch, on_step)
        if stage.average:
            average(model, before, images, stage.config)
        seconds = round(time.perf_counter() - started, 1)
        how = {"poisoned": stage.poisoned, "average": stage.average}
        record.append({**asdict(stage.config), **how, "seconds": seconds})
    target = target_label if attack is not None else None
    measures = measure(model, test_set, attack, target, device)

    card = VictimCard(
        name=name,
        dataset=dataset,
        architecture=architecture,
        attack=attack_name,
        poisoning_ratio=ratio,
        target_label=target,
        acc=measures.acc,
        asr=measures.asr,
        ra=measures.ra,
        n_test=len(test_set),
        attack_settings=attack.settings() if attack is not None else {},
        training={"device": device, "stages": record},
        versions=versions(),
        machine=processor(device),
    )
    save_victim(folder, card, model.cpu())
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
    return card
