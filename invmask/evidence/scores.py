"""The channel score: a run's suspicion of each channel, from its masks and clean images only.

If the channels that the pruned view cuts are amplified instead, with gates 1 + kappa (1 - m), they lead clean images to
one label: a backdoor's target. Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) over the gates, from
these to the pruned view's gates, attribute the fall of that label's log-probability to the channels. Neither the
trigger nor labels are needed.
"""

import torch
from torch import Tensor, nn

from invmask.machine import Precision, autocast
from invmask.masks.attach import gated_logits, sharing_copy
from invmask.masks.state import MaskLayout, Masks, View

SCORE_VERSION = 3
"""Increased with every change of the score's definition, so that stored results based on scores are recomputed."""
AMPLIFICATION = 2.0
STEPS = 8
IMAGES = 32


def channel_scores(
    model: nn.Module, layout: MaskLayout, masks: Masks, images: Tensor, precision: Precision = "float32"
) -> Tensor:
    """1 - exp(-r), with r the channel's attribution for the label, corrected for the width of its layer.

    The label is the one whose mean probability rises most under the gates 1 + kappa (1 - m). The attribution is that of
    its mean log-probability, in nats, between these gates and m. r is the attribution times the number of channels in
    the layer, over the layers' mean number of channels. The correction is needed because each channel of a narrow layer
    does more of everything, innocent work too. Mask and selection alone do not rank the channels, because training
    drives many of them to the ends of their range, where they tie.

    Args:
        model: in eval mode; left unchanged.
        images: clean images, float32 [N, C, H, W] in [0, 1]; at most `IMAGES` of them are used, evenly spaced.

    Returns:
        float32 [channels] in [0, 1); 0 for a channel that is not cut.
    """
    spread = torch.linspace(0, len(images) - 1, min(IMAGES, len(images))).long()
    images = images[spread.to(images.device)]
    private = sharing_copy(model).requires_grad_(False)
    ones = torch.ones_like(masks.mask)
    rise = AMPLIFICATION * (1 - masks.gate(View.PRUNED))

    def log_answers(gates: Tensor) -> Tensor:
        with autocast(precision, images.device.type):
            return gated_logits(private, layout, [(images, gates)])[0].log_softmax(1)

    with torch.no_grad():
        label = (log_answers(ones + rise).exp() - log_answers(ones).exp()).mean(0).argmax()
    start, end = ones + rise, masks.gate(View.PRUNED)
    attribution = torch.zeros_like(ones)
    for step in range(STEPS):
        gates = torch.lerp(start, end, (step + 0.5) / STEPS).requires_grad_()
        (gradient,) = torch.autograd.grad(log_answers(gates)[:, label].mean(), [gates])
        attribution += gradient * (start - end) / STEPS
    widths = torch.cat([torch.full_like(ones[layer.slice], layer.channels) for layer in layout.layers])
    relative = attribution * widths * len(layout.layers) / layout.channels
    return 1 - torch.exp(-relative.clamp(min=0))


def ranking(values: Tensor) -> Tensor:
    """Channels from the highest value to the lowest, int64 [channels]; equal channels in the network's order."""
    return values.sort(descending=True, stable=True).indices
