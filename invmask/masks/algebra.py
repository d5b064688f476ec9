"""The mask algebra of invertible masks as pure functions (Dunnett et al. 2025; symbols as in the paper).

Every function works elementwise on tensors of any one shape. `mask` (a) says which side of the split a
channel belongs to; `selection` (s) is 1 for channels that both masks leave alone and 0 where `mask` decides.
"""

import torch
from torch import Tensor


def soft_step(mask: Tensor, steepness: float) -> Tensor:
    """q(a) = sigmoid(k (a - 0.5)), in (0, 1)."""
    return torch.sigmoid(steepness * (mask - 0.5))


def effective_mask(mask: Tensor, selection: Tensor, steepness: float) -> Tensor:
    """m = q(a) + s (1 - q(a)): what the pruned view multiplies each channel by.

    Args:
        mask, selection: in [0, 1], same shape.
        steepness: k > 0; the paper's value is 20.
    """
    kept = soft_step(mask, steepness)
    return kept + selection * (1 - kept)


def inverse_mask(mask: Tensor, selection: Tensor, steepness: float) -> Tensor:
    """m-bar = q(1 - a) + s (1 - q(1 - a)): what the inverse view multiplies each channel by.

    As q(1 - a) = 1 - q(a), m + m-bar = 1 + s; and inverting twice gives m back.
    """
    return effective_mask(1 - mask, selection, steepness)
