"""How the victims are trained: a long cycle of the learning rate, then shorter and gentler cycles.

These are warm restarts (Loshchilov and Hutter 2017, "SGDR"). Later cycles regularise less, because narrow networks
underfit. Transformers, which SGD trains slowly from scratch, have one cycle of AdamW. Networks without normalisation
get smaller learning rates, because large steps repeatedly undo their progress.
"""

from dataclasses import dataclass, replace

from invmask.attacks.training.train_victim import TrainingConfig
from invmask.models.registry import is_normalised, is_transformer
from invmask.victims.victim import CLEAN


@dataclass(frozen=True)
class Stage:
    """One cycle of training.

    Attributes:
        poisoned: whether the cycle trains on the poisoned set; otherwise on the clean set.
        average: whether the final weights are averaged with those from the start of the cycle (Izmailov et al. 2018,
            "Averaging weights leads to wider optima"), and BatchNorm's statistics estimated again.
    """

    config: TrainingConfig
    poisoned: bool = True
    average: bool = False


TRANSFORMERS = TrainingConfig(
    epochs=36,
    batch_size=128,
    learning_rate=1.5e-3,
    momentum=0.9,
    least_momentum=0.9,
    weight_decay=0.05,
    optimizer="adamw",
)
UNNORMALISED_RATE = 0.25
"""Factor of the learning rate for networks without normalisation."""


def recipe_of(attack: str, architecture: str, seed: int = 0) -> tuple[Stage, ...]:
    """The cycles for victims of an attack, or for a clean control.

    Two cycles are enough for a clean control. A backdoor uses part of a narrow network's capacity, so a backdoored
    victim gets a third, short and gentle cycle, whose weights are averaged with those before it.
    """
    if is_transformer(architecture):
        return (Stage(replace(TRANSFORMERS, seed=seed)),)
    stages = default_recipe(seed)
    if attack != CLEAN:
        gentle = replace(stages[-1].config, epochs=8, learning_rate=0.08, seed=seed + len(stages))
        stages = *stages, Stage(gentle, average=True)
    if is_normalised(architecture):
        return stages
    rates = [UNNORMALISED_RATE * stage.config.learning_rate for stage in stages]
    return tuple(
        replace(stage, config=replace(stage.config, learning_rate=rate))
        for stage, rate in zip(stages, rates, strict=True)
    )


def default_recipe(seed: int = 0, bfloat16: bool = False, epochs: tuple[int, int] = (20, 12)) -> tuple[Stage, Stage]:
    """The two cycles of every victim that is trained with SGD.

    Args:
        seed: random seed of weights, poisoning and augmentation; the second cycle uses `seed` + 1.
        bfloat16: whether networks run in bfloat16 instead of float32.
        epochs: number of epochs of each cycle.
    """
    first = TrainingConfig(epochs=epochs[0], bfloat16=bfloat16, seed=seed)
    second = TrainingConfig(
        epochs=epochs[1],
        learning_rate=0.1,
        warmup_share=0.1,
        weight_decay=2e-4,
        crop_padding=2,
        bfloat16=bfloat16,
        seed=seed + 1,
    )
    return Stage(first), Stage(second)
