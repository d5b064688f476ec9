"""One step of AdamW with PyTorch's defaults, by PyTorch's own function.

`torch.optim.AdamW` imports PyTorch's compiler when the first one is made, which takes a second and is of no use here.
"""

import torch
from torch import Tensor
from torch.optim.adamw import adamw

BETAS, EPSILON, WEIGHT_DECAY = (0.9, 0.999), 1e-8, 0.01


@torch.no_grad()
def adamw_step(
    vectors: list[Tensor],
    gradients: list[Tensor],
    moments: list[tuple[Tensor, Tensor]],
    steps_before: int,
    learning_rate: float,
) -> None:
    """Move `vectors`, and their first and second moments, in place.

    Args:
        moments: of each vector; zeros before the first step.
        steps_before: taken so far.
    """
    adamw(
        vectors,
        gradients,
        [mean for mean, _ in moments],
        [square for _, square in moments],
        [],
        [torch.tensor(float(steps_before)) for _ in vectors],
        amsgrad=False,
        beta1=BETAS[0],
        beta2=BETAS[1],
        lr=learning_rate,
        weight_decay=WEIGHT_DECAY,
        eps=EPSILON,
        maximize=False,
    )
