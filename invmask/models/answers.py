"""What a network returns: where its logits are, whatever is beside them, and whether they are probabilities."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from invmask.errors import UserError, in_brief

_NAMES = ("logits", "logit", "output", "outputs", "out", "pred", "preds", "prediction", "predictions", "scores", "y")
_DEEPEST = 4
_TOLERANCE = 1e-3
_LEAST = 1e-37
"""Taken for probabilities below it; a number that float32 and bfloat16 have."""
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Reading:
    """How logits are read from what a network returns.

    Attributes:
        path: keys and numbers of the parts to take, from the outside in; empty if the answer itself are the logits.
        probabilities: whether the network ends in a softmax, so that the logarithm is taken.
    """

    path: Path = ()
    probabilities: bool = False

    def __str__(self) -> str:
        """Plain text from which `parse` makes the same reading: ``logits``, ``0``, ``0.logits|log``, or nothing."""
        return ".".join(map(str, self.path)) + ("|log" if self.probabilities else "")

    @classmethod
    def parse(cls, text: str) -> "Reading":
        """The reading with this text.

        Raises:
            UserError: the text is none.
        """
        match = re.fullmatch(r"((?:[A-Za-z0-9_]+\.)*[A-Za-z0-9_]+)?(\|log)?", text)
        if match is None:
            raise UserError(f"'{text}' names no part of what a network returns; write a key or a number.")
        parts = (match[1] or "").split(".") if match[1] else []
        return cls(tuple(int(part) if part.isdigit() else part for part in parts), match[2] is not None)

    def read(self, answer: Any) -> Tensor:
        """The logits [N, K] in an answer.

        Raises:
            UserError: the answer has no such part.
        """
        part = answer
        for key in self.path:
            try:
                part = part[key] if isinstance(key, int) or isinstance(part, Mapping) else getattr(part, key)
            except (LookupError, AttributeError, TypeError) as error:
                raise UserError(f"The network returns no part '{'.'.join(map(str, self.path))}'.") from error
        if not self.probabilities:
            return part
        return part.clamp_min(_LEAST).log()


class Answering(nn.Module):
    """A network whose answer are its logits [N, K], read from whatever it returns."""

    def __init__(self, network: nn.Module, reading: Reading) -> None:
        super().__init__()
        self.network = network
        self.reading = reading

    def forward(self, x: Tensor) -> Tensor:
        return self.reading.read(self.network(x))


def adapted(network: nn.Module, reading: Reading) -> nn.Module:
    """The network in `Answering`, or as it is if there is nothing to read."""
    return network if reading == Reading() else Answering(network, reading)


@torch.no_grad()
def adapt(
    network: nn.Module, sample: Tensor, classes: int | None = None, part: str | None = None
) -> tuple[nn.Module, tuple[str, ...]]:
    """Find the logits in what a network returns.

    Args:
        network: in eval mode; left unchanged.
        sample: normalised images [N, C, H, W], at least 2, on the network's device.
        classes: number of logits, if known; it decides between several parts.
        part: the part to take, as `Reading` writes it; found if not given.

    Returns:
        A network that returns logits [N, K], and sentences about what was taken. If anything had to be taken, it is
        `Answering`, whose `reading` can be kept as text; otherwise it is `network` itself.

    Raises:
        UserError: there are no logits, or it has to be said which part they are.
    """
    try:
        answer = network(sample)
    except Exception as error:  # the forward is anybody's code
        size = "x".join(map(str, sample.shape[1:]))
        raise UserError(f"The network fails on images of {size}, so check their size: {in_brief(error)}") from error
    reading, notes = (_found(answer, len(sample), classes), []) if part is None else (Reading.parse(part), [])
    logits = Reading(reading.path).read(answer)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(sample):
        raise UserError(f"The network returns {_words(logits)}, not one row of logits for each image.")
    if reading.path:
        notes.append(f"The network returns several things; its part '{Reading(reading.path)}' was taken as the logits.")
    if reading.probabilities or are_probabilities(logits):
        reading = Reading(reading.path, True)
        notes.append("The network ends in a softmax; the logarithm of its probabilities was taken as the logits.")
    return adapted(network, reading), tuple(notes)


def are_probabilities(logits: Tensor) -> bool:
    """Whether each row [K], K at least 2, is a distribution: no number below 0, and a sum of 1."""
    values = logits.float()
    if values.shape[1] < 2 or not bool(torch.isfinite(values).all()):
        return False
    return bool((values >= 0).all()) and bool(((values.sum(1) - 1).abs() < _TOLERANCE).all())


def _found(answer: Any, images: int, classes: int | None) -> Reading:
    """The only part that can be the logits."""
    if isinstance(answer, Tensor):
        return Reading()
    parts = {path: part for path, part in _parts(answer) if part.ndim == 2 and len(part) == images}
    if not parts:
        raise UserError(f"The network returns {_words(answer)}, and no part of it is one row of logits for each image.")
    named = [path for path in parts if str(path[-1]).lower() in _NAMES]
    sized = [path for path, part in parts.items() if part.shape[1] == classes]
    for some in ([path for path in named if path in sized], sized, named, list(parts)):
        if len(some) == 1 and (classes is None or parts[some[0]].shape[1] == classes):
            return Reading(some[0])
    said = "; ".join(f"'{Reading(path)}' with {part.shape[1]} numbers" for path, part in parts.items())
    raise UserError(f"The network returns several things that may be its logits; say which part to take: {said}.")


def _parts(answer: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """All tensors in an answer with their paths."""
    if isinstance(answer, Tensor):
        yield path, answer
    elif len(path) < _DEEPEST:
        if isinstance(answer, Mapping):
            inside = [(str(key), part) for key, part in answer.items()]
        elif isinstance(answer, list | tuple):
            fields = getattr(answer, "_fields", None)
            inside = list(enumerate(answer)) if fields is None else list(zip(fields, answer, strict=True))
        else:
            inside = list(vars(answer).items()) if hasattr(answer, "__dict__") else []
        for key, part in inside:
            yield from _parts(part, (*path, key))


def _words(answer: Any) -> str:
    if isinstance(answer, Tensor):
        return f"a tensor of {'x'.join(map(str, answer.shape)) or 'one number'}"
    return f"a {type(answer).__name__}"
