"""The two losses of IMS, on softmax outputs (Dunnett et al. 2025), and ours in place of the first after a search."""

import torch
from torch import Tensor

EPSILON = 1e-8


def agree(p1: Tensor, p2: Tensor) -> Tensor:
    """-log(sum_c p1[c] p2[c] + eps), mean over the batch; p1, p2: [N, K] probabilities. In nats.

    Where the sum is far below eps there is no gradient: what is answered with more certainty than that against what is
    wanted is never unlearned.
    """
    return -torch.log((p1 * p2).sum(1) + EPSILON).mean()


def divergence(p1: Tensor, p2: Tensor) -> Tensor:
    """sum_c p2[c] log(p2[c] / p1[c]), mean over the batch; p1, p2: [N, K] probabilities. In nats.

    Kullback and Leibler's divergence: lowest where p1 is p2, as sure and as unsure, where `agree` is lowest where p1 is
    sure of p2's first label. Its floor is the smallest number there is. Ours, in place of `agree` after a search.
    """
    nearly = p1.clamp(min=torch.finfo(p1.dtype).tiny)
    return (torch.special.xlogy(p2, p2) - torch.special.xlogy(p2, nearly)).sum(1).mean()


def disagree(p1: Tensor, p2: Tensor) -> Tensor:
    """-log(1 - sum_c p1[c] p2[c] + eps), mean over the batch; p1, p2: [N, K] probabilities. In nats."""
    return -torch.log(1 - (p1 * p2).sum(1) + EPSILON).mean()
