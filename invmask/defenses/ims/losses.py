"""The two losses of IMS, on softmax outputs (Dunnett et al. 2025)."""

import torch
from torch import Tensor

EPSILON = 1e-8


def agree(p1: Tensor, p2: Tensor, floor: float = EPSILON) -> Tensor:
    """-log(sum_c p1[c] p2[c] + floor), mean over the batch; p1, p2: [N, K] probabilities. In nats.

    Where the sum is far below the floor there is no gradient: what is answered with more certainty than that against
    what is wanted is never unlearned.
    """
    return -torch.log((p1 * p2).sum(1) + floor).mean()


def disagree(p1: Tensor, p2: Tensor) -> Tensor:
    """-log(1 - sum_c p1[c] p2[c] + eps), mean over the batch; p1, p2: [N, K] probabilities. In nats."""
    return -torch.log(1 - (p1 * p2).sum(1) + EPSILON).mean()
