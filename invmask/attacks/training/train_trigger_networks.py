"""Training an attack's networks on clean images: Adam, cosine decay to zero, resumable after every epoch."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from invmask.attacks.base import EpochReport, Progress
from invmask.attacks.training import checkpoint
from invmask.augmentation import augment
from invmask.data.images import LabelledImages
from invmask.machine import InEitherPrecision, autocast


@dataclass(frozen=True)
class FitConfig(InEitherPrecision):
    """How the networks are trained. `of` holds everything else that identifies this training, for its checkpoint."""

    of: dict[str, Any]
    epochs: int
    rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    batch_size: int = 64
    crop_padding: int = 2
    seed: int = 0
    bfloat16: bool = False


def fit(
    networks: nn.Module,
    loss: Callable[[nn.Module, Tensor, torch.Generator], tuple[Tensor, Tensor]],
    images: LabelledImages,
    config: FitConfig,
    device: torch.device,
    progress: Progress,
    measure: str,
) -> nn.Module:
    """A trained copy of `networks`.

    Args:
        loss: a function of the networks, a batch (float [N, C, H, W] in [0, 1]) and a CPU generator. It returns the
            loss and the share in [0, 1] that `measure` names.
    """
    networks = copy.deepcopy(networks).to(device).train().requires_grad_(True)
    pixels = torch.from_numpy(images.pixels).permute(0, 3, 1, 2).contiguous().to(device)
    steps = -(-len(pixels) // config.batch_size)
    optimizer = torch.optim.Adam(networks.parameters(), config.rate, config.betas)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, config.epochs * steps))
    generator = torch.Generator().manual_seed(config.seed)
    first = 0
    parts = {"networks": networks, "optimizer": optimizer, "schedule": schedule}
    belongs = {"config": {**vars(config), "betas": list(config.betas)}, "of": dict(progress.of)}
    saved = checkpoint.read(progress.checkpoint, device, belongs)
    if saved is not None:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        generator.set_state(saved["generator"].cpu())
        first = saved["epoch"]
        progress.on_resume(first)
    for epoch in range(first, config.epochs):
        sums = torch.zeros(2, device=device)
        for step, drawn in enumerate(torch.randperm(len(pixels), generator=generator).split(config.batch_size)):
            batch = augment(pixels[drawn.to(device)], generator, config.crop_padding, flip=True).float().div(255)
            with autocast(config.precision, device.type):
                value, share = loss(networks, batch, generator)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            schedule.step()
            sums += len(drawn) * torch.stack([value.detach().float(), share.detach().float()])
            progress.on_step(step + 1, steps)
        state = {name: part.state_dict() for name, part in parts.items()}
        checkpoint.write(
            progress.checkpoint, {**belongs, **state, "epoch": epoch + 1, "generator": generator.get_state()}
        )
        mean_loss, mean_share = (sums / len(pixels)).tolist()
        progress.on_epoch(EpochReport(epoch + 1, mean_loss, mean_share, measure))
    return networks
