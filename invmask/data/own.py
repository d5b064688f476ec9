"""Data sets of one's own, `own:ID`: the clean images that came with a model of one's own, in the home.

They are split once, by a fixed seed, into images for budgets and images to test on. Their folder holds both parts (see
`data.embedded`) and info.json, which describes them.
"""

import json
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from invmask import disk, settings
from invmask.data.images import DatasetInfo
from invmask.errors import UserError

OWN = "own:"
"""Prefix of the name of such a data set."""
INFO = "info.json"
SPLIT_SEED = 2027
MOST_OF_A_CLASS = 100
"""Most images of a class that go into the budget part: the largest SPC."""
MOST_TESTED = 2_000
MOST_CLASSES, MOST_SIDE = 100_000, 1_024
_MOST_BYTES = 8 << 20
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")


@dataclass(frozen=True)
class OwnInfo:
    """What info.json says.

    Attributes:
        title: what the data set is called on screen.
        classes: the names of the network's outputs.
        mean, std: what images are normalised by, one number a channel, in the units of [0, 1].
        shape: C, H, W of an image as the network sees it.
        mirrors: whether a mirrored image keeps its class.
        labelled: whether the images' true classes are known. If not, their labels are the network's own answers.
    """

    title: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shape: tuple[int, int, int]
    mirrors: bool
    labelled: bool

    @classmethod
    def from_json(cls, values: Any) -> "OwnInfo":
        """Check values that may come from anywhere. Raises ValueError, TypeError or KeyError."""
        info = cls(
            title=str(values["title"])[:200],
            classes=tuple(str(name)[:200] for name in values["classes"]),
            mean=tuple(map(float, values["mean"])),
            std=tuple(map(float, values["std"])),
            shape=_shape(values["shape"]),
            mirrors=values["mirrors"] is True,
            labelled=values["labelled"] is True,
        )
        if not 2 <= len(info.classes) <= MOST_CLASSES or not len(info.mean) == len(info.std) == info.shape[0]:
            raise ValueError("no such data set")
        if not np.isfinite([*info.mean, *info.std]).all() or min(info.std) <= 0:
            raise ValueError("no normalisation")
        return info


def is_own(dataset: str) -> bool:
    """Whether this is the name of a data set of one's own."""
    return dataset.startswith(OWN)


def own_folder(dataset: str) -> Path:
    """The folder of a data set of one's own, whether it exists or not.

    Raises:
        UserError: the name has another form.
    """
    name = dataset.removeprefix(OWN)
    if not is_own(dataset) or not _ID.fullmatch(name):
        raise UserError(f"A data set of one's own is named {OWN}ID in small letters, digits and hyphens.")
    return settings.own_folder() / name


def own_info(dataset: str) -> DatasetInfo:
    """The description of a data set of one's own.

    Raises:
        UserError: there is no such data set here, or it is damaged.
    """
    path = own_folder(dataset) / INFO
    try:
        found = path.stat()
        info = _read(path, found.st_mtime_ns, found.st_size)
    except FileNotFoundError as error:
        raise UserError(f"There is no data set '{dataset}' on this machine; bring the model in again.") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged; bring the model in again.") from error
    return DatasetInfo(
        name=dataset,
        title=info.title,
        classes=info.classes,
        mean=info.mean,
        std=info.std,
        shape=info.shape,
        mirrors=info.mirrors,
        balanced=False,
        labelled=info.labelled,
        source="images of one's own",
    )


def write_info(dataset: str, info: OwnInfo) -> None:
    """Write or replace the description of a data set of one's own."""
    folder = own_folder(dataset)
    folder.mkdir(parents=True, exist_ok=True)
    disk.write_bytes(folder / INFO, (json.dumps(asdict(info)) + "\n").encode())


def split(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide images into those for budgets and those to test on, class by class, by the fixed seed.

    Of each class, half go to either part; one left over goes to the budget part. A class with a single image has none
    to test on. The budget part gets at most 100 of a class, the test part about 2,000 in all; what is left over is not
    used.

    Args:
        labels: int64 [N].

    Returns:
        Indices of both parts, int64, in mixed order, so that the first few images are of several classes.
    """
    generator, budget, test = np.random.default_rng(SPLIT_SEED), [], []
    classes = np.unique(labels)
    most = max(1, MOST_TESTED // max(1, len(classes)))
    for label in classes:
        places = generator.permutation(np.flatnonzero(labels == label))
        half = (len(places) + 1) // 2
        budget.append(places[: min(half, MOST_OF_A_CLASS)])
        test.append(places[half:][:most])
    return generator.permutation(np.concatenate(budget)), generator.permutation(np.concatenate(test))


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int, size: int) -> OwnInfo:
    if size > _MOST_BYTES:
        raise ValueError("too large")
    return OwnInfo.from_json(json.loads(path.read_text()))


def _shape(values: Any) -> tuple[int, int, int]:
    channels, height, width = map(int, values)
    if channels not in (1, 3) or not all(1 <= side <= MOST_SIDE for side in (height, width)):
        raise ValueError("no shape of an image")
    return channels, height, width
