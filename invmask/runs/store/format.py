"""The sizes of a run's stored arrays, written once when work on it first begins, and the format of rows."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from invmask.masks.state import GATED, MaskedLayer, MaskLayout, View
from invmask.measure.metrics import Measures
from invmask.runs.store.records import StoredCandidates, StoredExamples

EXAMPLES = 8
PORTRAIT_SIDE = 64
"""The larger side of a stored portrait in pixels, at most."""
_NAME_BYTES = 16
_NONE = -1


@dataclass(frozen=True)
class Shapes:
    """The sizes of a run's stored arrays, and further facts about its victim and repair.

    Attributes:
        layers: name and channels of every masked layer, in order.
        image: C, H, W.
        classes: K.
        examples: E, the maximum number of examples per round.
        original: measures of the undefended victim on the run's probe; they do not change, so they are measured once.
        weights: digest of the victim (`staleness.weights_digest`); None in older runs, which did not store it.
        views: the views of the repair, in order.
        steepness: k of the masks, if the repair consists of gates.
        kept_every: for a repair of weights, the interval in rounds at which weights are kept; the latest are kept too.
        candidates: P, the maximum number of labels that a round of a search shows; 0 if the defence does not search.
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
    candidates: int = 0

    @property
    def gated(self) -> bool:
        """Whether the repair consists of gates."""
        return View.PRUNED in self.views

    @property
    def channels(self) -> int:
        return sum(channels for _, channels in self.layers)

    @property
    def mask_bytes(self) -> int:
        """Bytes of a round in the mask file: mask and selection, float32."""
        return 2 * self.channels * 4

    @property
    def row(self) -> np.dtype:
        """The dtype of a round in the example file. `count` is the number of examples, 0 for a round without any."""
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
        """Encode examples as a row. Only the first `examples` are stored."""
        row = np.zeros((), self.row)
        count = min(len(examples.indices), self.examples)
        row["count"] = count
        row["indices"][:count] = examples.indices[:count]
        row["perturbations"][:count] = examples.perturbations[:count]
        row["one_for_all"] = examples.one_for_all
        row["probabilities"][:, :count] = examples.probabilities[:, :count]
        return row.tobytes()

    def unpack_examples(self, content: bytes) -> StoredExamples | None:
        """Decode the examples of a row; None for a row without any, or one past the end of the file."""
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

    @property
    def portrait(self) -> tuple[int, int, int]:
        """h, w, C of a stored portrait: those of the images, scaled down if needed to fit `PORTRAIT_SIDE`."""
        channels, height, width = self.image
        larger = max(height, width, PORTRAIT_SIDE)
        return max(1, height * PORTRAIT_SIDE // larger), max(1, width * PORTRAIT_SIDE // larger), channels

    @property
    def candidate_row(self) -> np.dtype:
        """The dtype of a round in the file of candidates. `count` is their number, 0 for a round without a search."""
        return np.dtype(
            [
                ("count", "<i4"),
                ("standing_out", "<i4"),
                ("lead", "<f8"),
                ("family", f"S{_NAME_BYTES}"),
                ("labels", "<i4", (self.candidates,)),
                ("sizes", "<f4", (self.candidates,)),
                ("flips", "<f4", (self.candidates,)),
                ("searched", "?", (self.candidates,)),
                ("portraits", "u1", (self.candidates, *self.portrait)),
            ]
        )

    def pack_candidates(self, found: StoredCandidates) -> bytes:
        """Encode candidates as a row. Only the first `candidates` are stored."""
        row = np.zeros((), self.candidate_row)
        count = min(len(found.labels), self.candidates)
        row["count"] = count
        row["standing_out"] = _NONE if found.standing_out is None else found.standing_out
        row["lead"] = np.nan if found.lead is None else found.lead
        row["family"] = found.family.encode()
        for name in ("labels", "sizes", "flips", "searched", "portraits"):
            row[name][:count] = getattr(found, name)[:count]
        return row.tobytes()

    def unpack_candidates(self, content: bytes) -> StoredCandidates | None:
        """Decode the candidates of a row; None for a row without any.

        Raises:
            ValueError: the content is not a valid row.
        """
        row = np.frombuffer(content, self.candidate_row)[0]
        count, standing_out, lead = int(row["count"]), int(row["standing_out"]), float(row["lead"])
        if not 0 < count <= self.candidates:
            return None
        return StoredCandidates(
            family=row["family"].decode(),
            labels=row["labels"][:count],
            portraits=row["portraits"][:count],
            sizes=row["sizes"][:count],
            flips=row["flips"][:count],
            searched=row["searched"][:count],
            standing_out=None if standing_out == _NONE else standing_out,
            lead=None if np.isnan(lead) else lead,
        )

    def layout(self) -> MaskLayout:
        """The masked layers as a `MaskLayout`."""
        layers, offset = [], 0
        for name, channels in self.layers:
            layers.append(MaskedLayer(name, channels, offset))
            offset += channels
        return MaskLayout(tuple(layers))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Shapes":
        """Rebuild the sizes from `as_json`'s result. Raises TypeError or KeyError for any other values."""
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
            # Older runs, from before there was a search, have no candidates.
            candidates=int(values.get("candidates", 0)),
        )
