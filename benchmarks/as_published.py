"""A plain implementation of IMS as published: the baseline for the engine's speed.

It follows the paper's formulas (Dunnett et al. 2025, arXiv 2509.15497) directly, in float32, with the redundant passes
of the authors' schedule. The inner problem is solved in the first phase too, where its result is not used. Every inner
step runs the reference on the clean images again, and the pruned view on the perturbed images. Each view is a separate
pass. In favour of this baseline, the weights are frozen and unused passes build no graph. It shares no code with the
engine.
"""

import torch
from torch import Tensor, nn

STEEPNESS, LAMBDA, BOUND, EPSILON = 20.0, 10.0, 1.0, 1e-8
INNER_STEPS, INNER_RATE, OUTER_RATE, BATCH_SIZE = 20, 0.001, 0.02, 256


def agree(p: Tensor, q: Tensor) -> Tensor:
    """Mean of -log(sum_c p_c q_c + eps) over the batch."""
    return -torch.log((p * q).sum(1) + EPSILON).mean()


def disagree(p: Tensor, q: Tensor) -> Tensor:
    """Mean of -log(1 - sum_c p_c q_c + eps) over the batch."""
    return -torch.log(1 - (p * q).sum(1) + EPSILON).mean()


class AsPublished:
    """One network under IMS.

    Args:
        model: in eval mode with frozen weights; gets a hook on every convolution.
        images: the clean budget, float32 [N, C, H, W] in [0, 1].
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.model, self.images = model, images
        self.layers = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
        self.mask = [torch.ones(layer.out_channels, device=images.device).requires_grad_() for layer in self.layers]
        self.selection = [torch.ones_like(mask).requires_grad_() for mask in self.mask]
        self.gates: list[Tensor] | None = None
        for number, layer in enumerate(self.layers):
            layer.register_forward_hook(self._hook(number))
        self.begin_phase()

    def begin_phase(self) -> None:
        """Create a new optimiser for a phase."""
        self.optimizer = torch.optim.AdamW([*self.mask, *self.selection], lr=OUTER_RATE)

    def answers(self, view: str, images: Tensor) -> Tensor:
        """Softmax probabilities [N, K] of the `reference`, `pruned` or `inverse` view for images [N, C, H, W]."""
        if view == "reference":
            self.gates = None
        else:
            masks = self.mask if view == "pruned" else [1 - mask for mask in self.mask]
            q = [torch.sigmoid(STEEPNESS * (mask - 0.5)) for mask in masks]
            self.gates = [sigmoid + s * (1 - sigmoid) for sigmoid, s in zip(q, self.selection, strict=True)]
        return self.model(images).softmax(1)

    def round(self, phase: int) -> float:
        """Take one round of phase 1, 2 or 3; returns the outer loss before its step."""
        batch = self.images[torch.randperm(len(self.images))[:BATCH_SIZE]]
        perturbed = batch + self.perturbation(batch)
        with torch.no_grad():
            reference = self.answers("reference", batch)
        loss = agree(self.answers("pruned", batch), reference) + disagree(self.answers("inverse", batch), reference)
        if phase > 1:
            with torch.no_grad():
                fooled = self.answers("reference", perturbed)
            inverse = self.answers("inverse", perturbed)
            loss = loss + agree(self.answers("pruned", perturbed), reference)
            loss = loss + agree(inverse, fooled) + disagree(inverse, reference)
        if phase != 2:
            selection = torch.cat(self.selection)
            # The L1 norm's subgradient at s = 1 is 0.
            loss = loss + LAMBDA * torch.linalg.vector_norm(1 - selection, 1) / len(selection)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for vector in [*self.mask, *self.selection]:
                vector.clamp_(0, 1)
        return loss.item()

    def perturbation(self, batch: Tensor) -> Tensor:
        """Solve the inner problem: 20 AdamW steps on one perturbation per image."""
        for vector in [*self.mask, *self.selection]:
            vector.requires_grad_(False)
        d = torch.zeros_like(batch).requires_grad_()
        optimizer = torch.optim.AdamW([d], lr=INNER_RATE)
        for _ in range(INNER_STEPS):
            with torch.no_grad():
                reference = self.answers("reference", batch)
                self.answers("pruned", batch + d)
            fooled = self.answers("reference", batch + d)
            loss = agree(self.answers("inverse", batch + d), fooled) + disagree(fooled, reference)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                d.clamp_(-BOUND, BOUND)
        for vector in [*self.mask, *self.selection]:
            vector.requires_grad_()
        return d.detach()

    def _hook(self, number: int):  # noqa: ANN202
        def multiply(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return output if self.gates is None else output * self.gates[number].view(1, -1, 1, 1)

        return multiply
