"""The mask algebra of invertible masks as pure functions (Dunnett et al. 2025; symbols as in the paper).

Every function works elementwise on tensors of one common shape. `mask` (a) says on which side of the split a channel
is. `selection` (s) is 1 for channels that neither the mask nor the inverse mask changes, and 0 for channels that `mask`
decides.
"""

import torch
from torch import Tensor


def soft_step(mask: Tensor, steepness: float) -> Tensor:
    """q(a) = sigmoid(k (a - 0.5)), in (0, 1), for a in [0, 1] and steepness k > 0."""
    return torch.sigmoid(steepness * (mask - 0.5))


def effective_mask(mask: Tensor, selection: Tensor, steepness: float) -> Tensor:
    """m = q(a) + s (1 - q(a)): the factor of each channel in the pruned view, in (0, 1].

    Args:
        mask, selection: in [0, 1], same shape.
        steepness: k > 0; the paper's value is 20.
    """
    kept = soft_step(mask, steepness)
    return kept + selection * (1 - kept)


def inverse_mask(mask: Tensor, selection: Tensor, steepness: float) -> Tensor:
    """m-bar = q(1 - a) + s (1 - q(1 - a)): the factor of each channel in the inverse view, in (0, 1].

    Since q(1 - a) = 1 - q(a), m + m-bar = 1 + s, and inverting twice gives m again. Arguments as in `effective_mask`.
    """
    return effective_mask(1 - mask, selection, steepness)
