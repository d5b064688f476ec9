"""Training a victim: a classifier on a training set of which a share carries the trigger.

SGD with Nesterov momentum and a one-cycle learning rate; a random crop (4 pixels of zero padding)
and a random horizontal flip for every image. Resumable after every epoch.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from invmask.attacks.poison import PoisonedSet
from invmask.augmentation import augment


@dataclass(frozen=True)
class TrainingConfig:
    """How a victim is trained. Learning rates per step of `batch_size` images."""

    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_share: float = 0.2
    crop_padding: int = 4
    flip: bool = True
    bfloat16: bool = False
    seed: int = 0


@dataclass(frozen=True)
class EpochReport:
    """One epoch's mean training loss (nats) and training accuracy in [0, 1] (labels as poisoned)."""

    epoch: int
    loss: float
    accuracy: float


def train(
    model: nn.Module,
    training_set: PoisonedSet,
    config: TrainingConfig,
    device: torch.device,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
) -> nn.Module:
    """Train `model` in place and return it in eval mode.

    Args:
        model: maps images [N, C, H, W] in [0, 1] to logits.
        training_set: held on `device` as bytes.
        checkpoint: file to write after each epoch, and to go on from where it exists.
        on_epoch, on_step: called with progress; `on_step` gets (step within the epoch, steps an epoch).
    """
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.from_numpy(training_set.images.pixels).permute(0, 3, 1, 2).contiguous().to(device)
    labels = training_set.images.label_tensor().to(device)
    steps = -(-len(pixels) // config.batch_size)
    optimizer = torch.optim.SGD(
        model.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay, nesterov=True
    )
    total = config.epochs * steps + 1
    # OneCycleLR divides by the length of the warm-up, which a very small set would make nothing.
    warmup = max(config.warmup_share, 2 / total)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total, pct_start=warmup)
    generator = torch.Generator().manual_seed(config.seed)
    first = 0
    if checkpoint is not None and checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        if saved["config"] == asdict(config):
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
            generator.set_state(saved["generator"].cpu())
            first = saved["epoch"]
    for epoch in range(first, config.epochs):
        model.train()
        loss_sum = torch.zeros((), device=device)
        correct = torch.zeros((), device=device)
        order = torch.randperm(len(pixels), generator=generator)
        for step, drawn in enumerate(order.split(config.batch_size)):
            chosen = drawn.to(device)
            batch = augment(pixels[chosen], generator, config.crop_padding, config.flip).float().div(255)
            batch = batch.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
                logits = model(batch)
            loss = F.cross_entropy(logits.float(), labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            loss_sum += loss.detach() * len(chosen)
            correct += (logits.argmax(1) == labels[chosen]).sum()
            on_step(step + 1, steps)
        if checkpoint is not None:
            _save(checkpoint, model, optimizer, schedule, generator, epoch + 1, config)
        on_epoch(EpochReport(epoch + 1, float(loss_sum) / len(pixels), float(correct) / len(pixels)))
    return model.eval()


def average(
    model: nn.Module, other: dict[str, Tensor], training_set: PoisonedSet, config: TrainingConfig, batches: int = 50
) -> None:
    """Give `model` the mean of its weights and of `other`'s, and BatchNorm statistics to match.

    Args:
        model: in eval mode, before and after.
        other: a state_dict of the same network.
        batches: of the training set, augmented as in training, that the statistics are estimated on.
    """
    own = model.state_dict()
    for name, tensor in own.items():
        if tensor.is_floating_point():
            tensor.lerp_(other[name].to(tensor.device), 0.5)
    generator = torch.Generator().manual_seed(config.seed)
    pixels = torch.from_numpy(training_set.images.pixels).permute(0, 3, 1, 2)
    drawn = torch.randperm(len(pixels), generator=generator)[: batches * config.batch_size].split(config.batch_size)
    device = next(model.parameters()).device
    images = (
        augment(pixels[chosen], generator, config.crop_padding, config.flip).to(device).float().div(255)
        for chosen in drawn
    )
    update_bn(images, model)


def _save(
    checkpoint: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
    epoch: int,
    config: TrainingConfig,
) -> None:
    state = {
        "config": asdict(config),
        "epoch": epoch,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": {key: value for key, value in schedule.state_dict().items() if not callable(value)},
        "generator": generator.get_state(),
    }
    partial = checkpoint.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(checkpoint)
