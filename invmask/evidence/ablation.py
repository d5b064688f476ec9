"""How ACC and ASR change when channels are cut: one channel alone, or a set of channels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invmask.machine import Precision
from invmask.masks.partial_passes import Resumable
from invmask.masks.state import MaskLayout
from invmask.measure.metrics import Flags, Measures, flags
from invmask.measure.target_labels import Targets


@dataclass(frozen=True)
class Probe:
    """Test images to measure on.

    Attributes:
        clean, labels: clean images, float32 [N, C, H, W] in [0, 1], and their true labels, int64 [N].
        triggered, triggered_labels: the M clean images that the backdoor attacks, in the same order, with the trigger,
            and their true labels; None for a network without a backdoor.
        targets: the backdoor's target for each class.
    """

    clean: Tensor
    labels: Tensor
    triggered: Tensor | None = None
    triggered_labels: Tensor | None = None
    targets: Targets | None = None

    @property
    def images(self) -> Tensor:
        """The clean images, then the triggered images: [N + M, C, H, W]."""
        return self.clean if self.triggered is None else torch.cat([self.clean, self.triggered])

    @property
    def attacked(self) -> Tensor:
        """Which clean images have a triggered version in `triggered`, bool [N]."""
        none = torch.zeros(len(self.labels), dtype=torch.bool, device=self.labels.device)
        return none if self.targets is None else self.targets.attacked(self.labels)

    def flags(self, answers: Tensor) -> Flags:
        """The flags of each image, from the answers (predicted labels) to `images`, int64 [N + M]."""
        count = len(self.labels)
        if self.triggered is None or self.triggered_labels is None or self.targets is None:
            return flags(answers[:count], self.labels)
        targets = self.targets.of(self.triggered_labels)
        return flags(answers[:count], self.labels, answers[count:], self.triggered_labels, targets)


class Ablation:
    """Measures a network under any gates. This is fast for gates that differ from known gates in late layers only.

    Args:
        model: in eval mode, on the device of the probe's images; left unchanged.
        gates: [channels] in [0, 1], the known gates; ones if not given.
    """

    def __init__(
        self,
        model: nn.Module,
        layout: MaskLayout,
        probe: Probe,
        gates: Tensor | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.layout, self.probe = layout, probe
        self._network = Resumable(model, layout, probe.images, gates, precision)

    def answers(self, gates: Tensor) -> Tensor:
        """Softmax probabilities for the probe's clean and triggered images, float32 [G, N + M, K] on the CPU.

        Args:
            gates: [G, channels] in [0, 1], on any device.
        """
        return self._network.logits(gates.to(self.probe.clean.device)).softmax(2).cpu()

    def measures(self, gates: Tensor) -> list[Measures]:
        """ACC, ASR and RA under each of the G gates [G, channels]."""
        return [self.measure_answers(said) for said in self.answers(gates).argmax(2)]

    def measure_answers(self, said: Tensor) -> Measures:
        """ACC, ASR and RA of the answers (predicted labels), int64 [N + M]."""
        return self.probe.flags(said).measures()

    def by_cost(self) -> list[int]:
        """All channels, ordered by the cost of a pass that cuts them; the cheapest (in the last layers) first."""
        return sorted(range(self.layout.channels), key=lambda channel: -self._network.first_block(channel))

    def cut(self, sets: Sequence[Sequence[int]]) -> list[Measures]:
        """ACC, ASR and RA for each set of channels: the set is cut, all other channels are those of the original."""
        return self.measures(cut_gates(self.layout, sets))


def cut_gates(layout: MaskLayout, sets: Sequence[Sequence[int]]) -> Tensor:
    """Gates float32 [len(sets), channels]: 0 for the channels of each set, 1 for all others."""
    gates = torch.ones(len(sets), layout.channels)
    for row, channels in enumerate(sets):
        gates[row, list(channels)] = 0
    return gates


def random_sets(layout: MaskLayout, like: Sequence[int], number: int, seed: int = 0) -> list[list[int]]:
    """`number` random sets of channels, each with as many channels of each layer as `like`."""
    generator = torch.Generator().manual_seed(seed)
    sets = []
    for _ in range(number):
        chosen: list[int] = []
        for layer in layout.layers:
            wanted = sum(layer.slice.start <= channel < layer.slice.stop for channel in like)
            picked = torch.randperm(layer.channels, generator=generator)[:wanted] + layer.offset
            chosen += picked.tolist()
        sets.append(chosen)
    return sets
