"""Recognise an architecture from the names and shapes of the tensors in a file of weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from invmask.errors import UserError
from invmask.models import proposals
from invmask.models.enlarged import inner
from invmask.models.proposals import FileTable, Proposal, own_table
from invmask.models.tensor_match import Difference, difference, pair
from invmask.models.tensor_table import is_derived, is_statistic, split

MOST_TENSORS = 20_000
MOST_CANDIDATES = 8
_SHOWN = 3


@dataclass(frozen=True)
class Candidate:
    """An architecture that a file's tensors fit, or nearly fit.

    Attributes:
        architecture: a name that `models.build` takes.
        classes: number of logits.
        channels: channels of the images.
        names: names in the network by names in the file. Without the prefix of `Enlarged`, which `state` adds.
        exact: whether every tensor that the answers need has its place, with its shape.
        missing: names in the network that the file lacks.
        left_over: names in the file that the network lacks.
        other_shape: names in both whose shapes differ, with both shapes.
        unused: names in the file that the answers do not need, such as second heads for training.
        statistics: names of the mean and standard deviation with which the file normalises images itself, if it
            has them. They are no part of the architecture, which takes images normalised so. See `normalisation`.
        size: height and width of the only images that these weights take; None if they take others, too.
        notes: sentences about what was assumed.
    """

    architecture: str
    classes: int
    channels: int
    names: dict[str, str]
    exact: bool
    missing: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()
    other_shape: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    statistics: tuple[str, str] | None = None
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def renamed(self) -> bool:
        """Whether tensors have other names in the network than in the file."""
        return any(theirs != ours for theirs, ours in self.names.items())

    def shape(self, height: int = 32, width: int = 32) -> tuple[int, int, int]:
        """The shape with which to build the network: its own size, or that of the images."""
        return (self.channels, *(self.size or (height, width)))

    def state(self, tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
        """The file's tensors under the names of `network`, which `models.build` made for this candidate.

        Buffers that are counts or follow from the architecture stay as in the network if the file lacks them.
        """
        own = network.state_dict()
        return own | {place: tensors[name] for name, place in self.places(network).items() if name in tensors}

    def places(self, network: nn.Module) -> dict[str, str]:
        """Names in `network`'s state_dict by names in the file."""
        _, prefix = inner(network)
        return {name: f"{prefix}{place}" for name, place in self.names.items()}

    def normalisation(self, tensors: Mapping[str, Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and standard deviation of each channel that the file holds; None if it holds none."""
        if self.statistics is None:
            return None
        mean, std = (tuple(tensors[name].flatten().tolist()) for name in self.statistics)
        # A single number is for all channels.
        return tuple(some * self.channels if len(some) == 1 else some for some in (mean, std))  # type: ignore[return-value]

    def sentence(self) -> str:
        """One sentence for the user: what was recognised, or what keeps the weights from fitting."""
        if self.exact:
            other = " Its tensors have other names there." if self.renamed else ""
            return f"These weights are those of {self.architecture} with {self.classes} classes.{other}"
        return f"These weights are nearest to {self.architecture}, but {self.wrong}."

    @property
    def wrong(self) -> str:
        """What keeps the weights from fitting, by some of the names: `fc.bias is missing; extra is left over`."""
        names = {"missing": self.missing, "left over": self.left_over, "of another shape": self.other_shape}
        said = [f"{_few(some)} {'is' if len(some) == 1 else 'are'} {what}" for what, some in names.items() if some]
        return "; ".join(said)


def _few(names: tuple[str, ...]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def recognise(tensors: Mapping[str, Tensor], config: Mapping[str, Any] | None = None) -> tuple[Candidate, ...]:
    """The architectures that the tensors of a file fit, best first; if none fits, those that nearly do.

    Several may fit, because architectures with equal tensors may compute different things (activations, padding,
    pooling). Which one it is, only clean images tell: the one with the highest accuracy.

    Args:
        tensors: of a state_dict by name, in the file's order, without prefixes of wrappers.
        config: of the ``config.json`` beside the file, for networks of Hugging Face.

    Returns:
        At most `MOST_CANDIDATES`; empty if nothing known is near.

    Raises:
        UserError: the file has no tensors, or too many.
    """
    if not tensors or len(tensors) > MOST_TENSORS:
        raise UserError(f"A network has 1 to {MOST_TENSORS:,} tensors, and this file has {len(tensors):,}.")
    file = FileTable.of(tensors)
    found: dict[str, Candidate] = {}
    for proposal in proposals.every(file, config or {}):
        if proposal.architecture not in found and len(found) < 3 * MOST_CANDIDATES:
            candidate = _compared(file, proposal)
            if candidate is not None and candidate.exact:
                found.setdefault(candidate.architecture, candidate)
    if any(one.size and "@" not in name for name, one in found.items()):
        # Networks that are made for another size are the same networks once they are resized.
        found = {name: one for name, one in found.items() if "@" not in name}
    if not found:
        nearest = [_compared(file, proposal, near=True) for proposal in proposals.nearly(file)]
        # Fewer tensors in common are a coincidence.
        found = {one.architecture: one for one in nearest if one and 2 * len(one.names) >= len(file.table)}
    said = str((config or {}).get("architecture", ""))
    order = sorted(
        found.values(),
        key=lambda one: (
            one.renamed,
            bool(said) and not one.architecture.endswith(f":{said}"),
            len(one.missing) + len(one.left_over) + len(one.other_shape),
        ),
    )
    return tuple(order[:MOST_CANDIDATES])


def recognise_as(
    tensors: Mapping[str, Tensor], architecture: str, classes: int | None = None, side: int | None = None
) -> Candidate:
    """Compare a file's tensors with an architecture that the user has named, by name or by order and shape.

    Args:
        architecture: as `models.build` takes it; a class of one's own needs `code_file.agree` first.
        classes: number of logits; the likeliest in the file if not given.
        side: pixels of the sides of the images, for an architecture that depends on it.

    Raises:
        UserError: there is no such architecture.
    """
    file = FileTable.of(tensors)
    found = [_compared(file, one, near=True) for one in proposals.named(file, architecture, classes, side)]
    best = min(
        (one for one in found if one is not None),
        key=lambda one: (not one.exact, len(one.missing) + len(one.left_over) + len(one.other_shape)),
        default=None,
    )
    if best is None:
        # Says why the architecture cannot be built.
        own_table(proposals.named(file, architecture, classes, side)[0])
        raise UserError(f"'{architecture}' cannot be built for these weights.")
    return best


def _compared(file: FileTable, proposal: Proposal, near: bool = False) -> Candidate | None:
    """The candidate for a proposal; None if the tensors do not fit, unless `near` asks for what is wrong."""
    try:
        own = own_table(proposal)
    except UserError:
        return None
    if (sized := proposals.resized(file.table, own, proposal)) is not None:
        proposal = sized
        own = own_table(proposal)
    if {file.first_names[name]: shape for name, shape in file.table.items()} == own.table:
        paired: dict[str, str] | None = dict(file.first_names)
    else:
        paired = pair(file.table, own.table, file.ordered)
    if paired is None and not near:
        return None
    wrong = difference(file.table, own.table)
    if paired is not None:
        wrong, names = Difference(), paired
    else:
        names = {name: name for name in file.table if own.table.get(name) == file.table[name]}
    names = {file.first_names[name]: place for name, place in names.items()}
    buffers = {name: name for name in file.others if own.others.get(name) == file.others[name]}
    statistics = None if own.statistics else _statistics(file.others, proposal.channels)
    notes = proposal.notes
    if statistics is not None:
        notes = *notes, f"The file holds a normalisation of its own, in {statistics[0]} and {statistics[1]}."
    modules = {split(theirs)[0]: split(ours)[0] for theirs, ours in names.items()}
    for name, shape in file.others.items():
        module, leaf = split(name)
        place = f"{modules[module]}.{leaf}" if module in modules else name
        if own.others.get(place) == shape:
            buffers[name] = place
    return Candidate(
        architecture=proposal.architecture,
        classes=proposal.classes,
        channels=proposal.channels,
        names=names | buffers,
        exact=paired is not None,
        missing=wrong.missing,
        left_over=tuple(file.first_names[name] for name in wrong.left_over),
        other_shape=tuple(
            f"{file.first_names[name]} ({_sides(file.table[name])} instead of {_sides(own.table[name])})"
            for name in wrong.other_shape
        ),
        unused=tuple(name for name in file.others if name not in buffers and not is_derived(name)),
        statistics=statistics,
        size=None if own.side is None else (own.side, own.side),
        notes=notes,
    )


def _statistics(others: Mapping[str, tuple[int, ...]], channels: int) -> tuple[str, str] | None:
    """The names of one mean and one standard deviation among tensors that are no part of the architecture."""
    found = [name for name, shape in others.items() if is_statistic(name, shape) and math.prod(shape) in (1, channels)]
    means = [name for name in found if split(name)[1].strip("_") in ("mean", "mu")]
    stds = [name for name in found if name not in means]
    return (means[0], stds[0]) if len(means) == len(stds) == 1 else None


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"
