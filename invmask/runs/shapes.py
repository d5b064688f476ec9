"""The sizes of what a run stores, and what it is of: written once when it is first taken up; and example rows."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from invmask.masks.state import GATED, MaskedLayer, MaskLayout, View
from invmask.metrics import Measures
from invmask.runs.entries import StoredExamples

EXAMPLES = 8


@dataclass(frozen=True)
class Shapes:
    """Sizes.

    Attributes:
        layers: name and channels of every masked layer, in order.
        image: C, H, W.
        classes: K.
        examples: E, the most examples a round.
        original: the undefended victim on the run's probe; it does not change, so it is measured once.
        weights: what the victim was (`keys.weights_digest`); None in runs of before that was kept.
        views: the views of the repair, in order.
        steepness: k of the masks, where the repair is one of gates.
        kept_every: of a repair of other weights, those after every so many rounds are kept, and the latest.
    """

    layers: tuple[tuple[str, int], ...]
    image: tuple[int, int, int]
    classes: int
    examples: int
    original: Measures
    weights: str | None = None
    views: tuple[View, ...] = GATED
    steepness: float = 20.0
    kept_every: int = 1

    @property
    def gated(self) -> bool:
        """Whether the repair is one of gates."""
        return View.PRUNED in self.views

    @property
    def channels(self) -> int:
        return sum(channels for _, channels in self.layers)

    @property
    def mask_bytes(self) -> int:
        """A round in the mask file: mask and selection, float32."""
        return 2 * self.channels * 4

    @property
    def row(self) -> np.dtype:
        """A round in the example file; `count` says how many places are taken, 0 for a round without examples."""
        return np.dtype(
            [
                ("count", "<i4"),
                ("indices", "<i4", (self.examples,)),
                ("perturbations", "<f2", (self.examples, *self.image)),
                ("one_for_all", "?"),
                ("probabilities", "<f4", (len(self.views), self.examples, self.classes)),
            ]
        )

    @property
    def example_bytes(self) -> int:
        return self.row.itemsize

    def pack_examples(self, examples: StoredExamples) -> bytes:
        """A row; examples beyond the first `examples` are left out."""
        row = np.zeros((), self.row)
        count = min(len(examples.indices), self.examples)
        row["count"] = count
        row["indices"][:count] = examples.indices[:count]
        row["perturbations"][:count] = examples.perturbations[:count]
        row["one_for_all"] = examples.one_for_all
        row["probabilities"][:, :count] = examples.probabilities[:, :count]
        return row.tobytes()

    def unpack_examples(self, content: bytes) -> StoredExamples | None:
        """The examples of a row; None for a row without any, or one past the end of the file."""
        if len(content) < self.example_bytes:
            return None
        row = np.frombuffer(content, self.row)[0]
        count = int(row["count"])
        if not 0 < count <= self.examples:
            return None
        return StoredExamples(
            row["indices"][:count],
            row["perturbations"][:count],
            row["probabilities"][:, :count],
            one_for_all=bool(row["one_for_all"]),
        )

    def layout(self) -> MaskLayout:
        """The masked layers as the engine knows them."""
        layers, offset = [], 0
        for name, channels in self.layers:
            layers.append(MaskedLayer(name, channels, offset))
            offset += channels
        return MaskLayout(tuple(layers))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Shapes":
        """Raises TypeError or KeyError for anything else than what `as_json` gave."""
        channels, height, width = values["image"]
        return cls(
            layers=tuple((str(name), int(count)) for name, count in values["layers"]),
            image=(channels, height, width),
            classes=int(values["classes"]),
            examples=int(values["examples"]),
            original=Measures(**values["original"]),
            weights=values.get("weights"),
            views=tuple(View(name) for name in values["views"]),
            steepness=float(values["steepness"]),
            kept_every=int(values["kept_every"]),
        )
