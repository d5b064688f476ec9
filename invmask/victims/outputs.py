"""Which output of a network each class of images belongs to, and what the outputs are called."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from invmask.data.images import DATASETS
from invmask.errors import UserError

MOST_NAMED = 4
IN_ORDER = "Classes and outputs are matched in order."


@dataclass(frozen=True)
class Outputs:
    """The outputs of a network.

    Attributes:
        of_class: for each class of the images, its output.
        names: what each output is called; length K.
        how: how they were matched, in a sentence.
    """

    of_class: tuple[int, ...]
    names: tuple[str, ...]
    how: str


def match(classes: Sequence[str], outputs: int, listed: Sequence[str] | None = None) -> Outputs:
    """Match the classes of images to the outputs of a network: by a list of names, by number, or by order.

    Args:
        classes: names of the folders of images, or other names of classes, in order; empty without labels.
        outputs: number of outputs K.
        listed: the names of the outputs in order, if the user has given them.

    Raises:
        UserError: the classes do not fit the outputs; the message says what to give.
    """
    if listed is not None:
        return _by_list(classes, outputs, listed)
    if not classes:
        return Outputs((), _numbered(outputs), "The images have no classes, so outputs are named by their numbers.")
    if len(classes) > outputs:
        raise UserError(
            f"There are {len(classes):,} classes of images, but the network has only {outputs:,} outputs. Give images "
            "of the classes that it was trained on."
        )
    if _are_numbers(classes, outputs):
        places = tuple(int(name) for name in classes)
        return Outputs(places, _numbered(outputs), "Classes are named by the numbers of the outputs.")
    for info in DATASETS.values():
        if len(info.classes) == outputs and (places := _places(classes, info.classes)) is not None:
            return Outputs(places, info.classes, f"Classes are matched by the names of {info.title}.")
    if len(classes) == outputs:
        return Outputs(tuple(range(outputs)), tuple(classes), IN_ORDER)
    raise UserError(
        f"There are {len(classes):,} classes of images ({_few(classes)}) for {outputs:,} outputs. Give a file with the "
        "outputs' names in order, a name a line, or name the folders by the outputs' numbers, from 0."
    )


def in_another_order(outputs: Outputs, moved: dict[int, int], before: float, after: float) -> Outputs:
    """The outputs with classes moved as `another_order` found."""
    of_class = tuple(moved.get(output, output) for output in outputs.of_class)
    names = list(_numbered(len(outputs.names)))
    for old, new in moved.items():
        names[new] = outputs.names[old]
    how = (
        "Each class is matched to the output that most of its images get. In order, the network would get "
        f"{100 * before:.1f} % of the images right, so {100 * after:.1f} %."
    )
    return Outputs(of_class, tuple(names), how)


def another_order(answers: np.ndarray, labels: np.ndarray) -> tuple[dict[int, int], float] | None:
    """Where the classes would belong if each went to the output that most of its images are answered with.

    Args:
        answers: int64 [N], the network's answers.
        labels: int64 [N], the outputs that the images' classes are matched to now.

    Returns:
        The other output of each output, and the share of images that would then be answered right; None if two classes
        would go to one output.
    """
    moved = {int(label): int(np.bincount(answers[labels == label]).argmax()) for label in np.unique(labels)}
    if len(set(moved.values())) < len(moved):
        return None
    return moved, float(
        np.mean([moved[int(label)] == int(answer) for label, answer in zip(labels, answers, strict=True)])
    )


def _by_list(classes: Sequence[str], outputs: int, listed: Sequence[str]) -> Outputs:
    if len(listed) != outputs:
        raise UserError(f"The list names {len(listed):,} outputs, but the network has {outputs:,}.")
    places = _places(classes, listed)
    if places is None:
        known = {_plain(name) for name in listed}
        unknown = [name for name in classes if _plain(name) not in known]
        raise UserError(
            f"The list of outputs' names does not have {_few(unknown)}."
            if unknown
            else "The list of outputs' names has a name twice, so it does not say which output is meant."
        )
    return Outputs(places, tuple(listed), "Classes are matched by the names in the list.")


def _places(classes: Sequence[str], names: Sequence[str]) -> tuple[int, ...] | None:
    """Where each class is among the names; None if one is missing, or several are alike."""
    place: dict[str, int] = {}
    for number, name in enumerate(names):
        place[_plain(name)] = -1 if _plain(name) in place else number
    found = tuple(place.get(_plain(name), -1) for name in classes)
    return None if -1 in found or len(set(found)) < len(found) else found


def _are_numbers(classes: Sequence[str], outputs: int) -> bool:
    # int() would also take digits of other scripts.
    numbers = [int(name) for name in classes if re.fullmatch(r"[0-9]{1,6}", name)]
    return len(numbers) == len(classes) == len(set(numbers)) and max(numbers) < outputs


def _numbered(outputs: int) -> tuple[str, ...]:
    return tuple(f"output {number}" for number in range(outputs))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def _few(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(f"'{name:.40}'" for name in names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
