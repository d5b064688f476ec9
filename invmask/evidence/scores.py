"""The channel score: what a run believes of each channel, from selection and both effective masks alone."""

import torch
from torch import Tensor

from invmask.masks.state import MaskLayout, Masks, View


def belief(masks: Masks) -> Tensor:
    """(1 - s) (1 - m) m-bar: how far a channel is selected, cut in the pruned view and kept in the inverse at once.

    Returns:
        float32 [channels] in [0, 1]. Near 1 only where all three hold; 0 for a channel that is left alone.
    """
    return (1 - masks.selection) * (1 - masks.gate(View.PRUNED)) * masks.gate(View.INVERSE)


def channel_scores(masks: Masks, layout: MaskLayout) -> Tensor:
    """The channel score: `belief`, times how far the channel stands out in its layer.

    A mask drives many channels to the very ends of their range, so that belief alone ties; and where it cuts half
    a layer, it says that the layer can be done without rather than which channel matters. So the score is
    belief * (1 - mean belief of the layer).

    Returns:
        float32 [channels] in [0, 1].
    """
    believed = belief(masks)
    return torch.cat([(1 - believed[layer.slice].mean()) * believed[layer.slice] for layer in layout.layers])


def ranking(values: Tensor) -> Tensor:
    """Channels from the highest value to the lowest, int64 [channels]; equal ones in the network's order."""
    return values.sort(descending=True, stable=True).indices
