"""Training a victim: a classifier, on a training set in which a share of the images carries the trigger.

The optimizer is SGD with Nesterov momentum, or AdamW for transformers. The learning rate follows one cycle; the
momentum follows the opposite cycle. Every image gets a random crop (4 pixels of zero padding) and a random horizontal
flip. Training can resume after every epoch. If the attacker controls the training, a `Session` makes each batch.
"""

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from invmask.attacks.base import EpochReport, Progress
from invmask.attacks.training import checkpoint
from invmask.attacks.training.poison_batches import Batch, Session
from invmask.attacks.training.poison_set import PoisonedSet
from invmask.augmentation import augment
from invmask.errors import UserError
from invmask.machine import InEitherPrecision, autocast


@dataclass(frozen=True)
class TrainingConfig(InEitherPrecision):
    """How a victim is trained. A learning rate applies to a step of `batch_size` images.

    Attributes:
        optimizer: "sgd", with Nesterov momentum, or "adamw" (Loshchilov and Hutter 2019, "Decoupled weight decay
            regularization").
        momentum: SGD's momentum at both ends of the cycle, where the learning rate is lowest; for AdamW, the constant
            beta 1.
        least_momentum: SGD's momentum where the learning rate is highest; AdamW ignores it.

    Raises:
        UserError: there is no such optimizer.
    """

    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 0.2
    momentum: float = 0.95
    least_momentum: float = 0.85
    weight_decay: float = 5e-4
    warmup_share: float = 0.2
    crop_padding: int = 4
    flip: bool = True
    bfloat16: bool = False
    seed: int = 0
    optimizer: Literal["sgd", "adamw"] = "sgd"

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adamw"):
            raise UserError(f"There is no optimizer '{self.optimizer}'; choose sgd or adamw.")


def train(
    model: nn.Module,
    training_set: PoisonedSet,
    config: TrainingConfig,
    device: torch.device,
    progress: Progress | None = None,
    session: Session | None = None,
) -> nn.Module:
    """Train `model` in place and return it in eval mode. The process's own random state is restored.

    Args:
        model: maps images [N, C, H, W] in [0, 1] to logits.
        training_set: its pixels are kept on `device` as uint8.
        progress: callbacks and the checkpoint.
        session: the attacker's part, if there is one; it is trained along and kept in the checkpoint.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        # The random state that dropout uses.
        torch.manual_seed(config.seed)
        return _train(model, training_set, config, device, progress or Progress(), session)


def _train(
    model: nn.Module,
    training_set: PoisonedSet,
    config: TrainingConfig,
    device: torch.device,
    progress: Progress,
    session: Session | None,
) -> nn.Module:
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.from_numpy(training_set.images.pixels).permute(0, 3, 1, 2).contiguous().to(device)
    labels = training_set.images.label_tensor().to(device)
    steps = _steps(len(pixels), config.batch_size)
    optimizer = _optimizer(model, config)
    total = config.epochs * steps + 1
    # OneCycleLR divides by the length of the warm-up, which a very small set would make zero.
    warmup = max(config.warmup_share, 2 / total)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.learning_rate,
        total,
        pct_start=warmup,
        cycle_momentum=config.optimizer == "sgd",
        base_momentum=config.least_momentum,
        max_momentum=config.momentum,
    )
    generator = torch.Generator().manual_seed(config.seed)
    first = 0
    belongs: dict[str, Any] = {"config": asdict(config), "of": dict(progress.of), "session": {}}
    if session is not None:
        belongs["session"] = {"attack": session.attack.name, "ratio": session.ratio, **session.attack.settings()}
    saved = checkpoint.read(progress.checkpoint, device, belongs)
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        generator.set_state(saved["generator"].cpu())
        checkpoint.set_random_state(saved["random"], device)
        first = saved["epoch"]
        if session is not None:
            session.load_state(saved["attacker"])
        progress.on_resume(first)
    for epoch in range(first, config.epochs):
        model.train()
        sums = torch.zeros(2, device=device)
        batches = _batches(pixels, labels, config, generator, session)
        for step, (batch, count) in enumerate(batches):
            with autocast(config.precision, device.type):
                logits = model(batch.images.contiguous(memory_format=torch.channels_last))
            own = F.cross_entropy(logits.float(), batch.labels)
            optimizer.zero_grad(set_to_none=True)
            if session is not None:
                session.zero_grad()
            (own if batch.loss is None else own + batch.loss).backward()
            if session is not None:
                session.step(float(schedule.get_last_lr()[0]) / config.learning_rate)
            optimizer.step()
            schedule.step()
            sums += torch.stack([own.detach() * count, (logits.argmax(1) == batch.labels).sum()])
            progress.on_step(step + 1, steps)
        progress.on_model(model, epoch + 1)
        state = {
            "epoch": epoch + 1,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": {key: value for key, value in schedule.state_dict().items() if not callable(value)},
            "generator": generator.get_state(),
            "random": checkpoint.random_state(device),
            "attacker": {} if session is None else session.state(),
        }
        checkpoint.write(progress.checkpoint, {**belongs, **state})
        loss, accuracy = (sums / len(pixels)).tolist()
        progress.on_epoch(EpochReport(epoch + 1, loss, accuracy))
    return model.eval()


def _optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), rate, (config.momentum, 0.999), weight_decay=decay)
    return torch.optim.SGD(model.parameters(), rate, config.momentum, weight_decay=decay, nesterov=True)


def _steps(images: int, batch_size: int) -> int:
    """Batches per epoch. A single image left over joins the last batch, because BatchNorm needs more than one."""
    left_over = images % batch_size
    return max(1, images // batch_size + (left_over > 1))


def _batches(
    pixels: Tensor, labels: Tensor, config: TrainingConfig, generator: torch.Generator, session: Session | None
) -> Iterator[tuple[Batch, int]]:
    """An epoch's batches, each with its size. `pixels` are uint8 [N, C, H, W]."""
    start, order = 0, torch.randperm(len(pixels), generator=generator)
    ends = range(config.batch_size, config.batch_size * _steps(len(pixels), config.batch_size), config.batch_size)
    for drawn in order.tensor_split(list(ends)):
        chosen = drawn.to(pixels.device)
        images = augment(pixels[chosen], generator, config.crop_padding, config.flip).float().div(255)
        if session is None:
            yield Batch(images, labels[chosen]), len(chosen)
        else:
            # Yield outside the block: the caller's work on the batch would run in this precision too.
            with autocast(config.precision, pixels.device.type):
                made = session.batch(images, labels[chosen], start, generator)
            yield made, len(chosen)
        start += len(chosen)


def average(
    model: nn.Module,
    other: dict[str, Tensor],
    training_set: PoisonedSet,
    config: TrainingConfig,
    session: Session | None = None,
    batches: int = 50,
) -> None:
    """Set the weights of `model` to the mean of its own and `other`'s, and estimate its BatchNorm statistics anew.

    Args:
        model: changed in place; in eval mode before and after.
        other: a state_dict of the same network.
        session: the attacker's part, as in `train`.
        batches: number of training batches, made as in training, on which the statistics are estimated.
    """
    own = model.state_dict()
    for name, tensor in own.items():
        if tensor.is_floating_point():
            tensor.lerp_(other[name].to(tensor.device), 0.5)
    device = next(model.parameters()).device
    pixels = torch.from_numpy(training_set.images.pixels).permute(0, 3, 1, 2)
    labels, generator = training_set.images.label_tensor(), torch.Generator().manual_seed(config.seed)
    made = _batches(pixels.to(device), labels.to(device), config, generator, session)
    update_bn((batch.images for batch, _ in itertools.islice(made, batches)), model)
