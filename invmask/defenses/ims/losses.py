"""The two losses of IMS, on softmax outputs (Dunnett et al. 2025), and outputs that are wanted."""

import torch
from torch import Tensor

EPSILON = 1e-8


def agree(p1: Tensor, p2: Tensor) -> Tensor:
    """-log(sum_c p1[c] p2[c] + eps), mean over the batch; p1, p2: [N, K] probabilities. In nats, >= 0 up to eps."""
    return -torch.log((p1 * p2).sum(1) + EPSILON).mean()


def disagree(p1: Tensor, p2: Tensor) -> Tensor:
    """-log(1 - sum_c p1[c] p2[c] + eps), mean over the batch; p1, p2: [N, K] probabilities. In nats."""
    return -torch.log(1 - (p1 * p2).sum(1) + EPSILON).mean()


def certain(label: int, like: Tensor) -> Tensor:
    """Probabilities in the shape of `like` [N, K], all of them 1 for `label`."""
    wanted = torch.zeros_like(like)
    wanted[:, label] = 1
    return wanted
