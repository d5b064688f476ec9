"""Every data set by name: its description, how its files are read, and how they are fetched."""

from pathlib import Path

from invmask import settings
from invmask.data import cifar10, folders, own, torchvision_sets
from invmask.data.images import CIFAR10, DATASETS, TINY_IMAGENET, DatasetInfo, LabelledImages
from invmask.errors import UserError


def dataset_info(dataset: str) -> DatasetInfo:
    """The description of a data set.

    Args:
        dataset: a name in `DATASETS`, a user's folder in the data folder (see `data.folders.folder_info`), or images
            that came with a model of one's own (see `data.own`).

    Raises:
        UserError: there is no such data set.
    """
    if folders.is_folder(dataset):
        return folders.folder_info(dataset, settings.data_folder())
    if own.is_own(dataset):
        return own.own_info(dataset)
    if dataset not in DATASETS:
        known = f"{', '.join(sorted(DATASETS))}, or {folders.FOLDER}NAME"
        raise UserError(f"There is no data set '{dataset}'; choose one of: {known}.")
    return DATASETS[dataset]


def load_dataset(dataset: str, root: Path, train: bool) -> LabelledImages:
    """All training or test images of a data set, in the order of its files.

    Args:
        root: the data folder.

    Raises:
        UserError: no such data set, its files are missing, or they differ from the published data set.
    """
    info = dataset_info(dataset)
    _check_full(dataset)
    if info is CIFAR10:
        return cifar10.load_cifar10(root, train)
    images = read(info, root, train)
    expected = info.train if train else info.test
    if expected and len(images) != expected:
        raise UserError(f"This is not {info.title}: {len(images)} images instead of {expected}.")
    return images


def read(info: DatasetInfo, root: Path, train: bool) -> LabelledImages:
    """Read a data set's files without checking the number of images; see `load_dataset`. Not for CIFAR-10."""
    if folders.is_folder(info.name):
        return folders.read_folder(info, train)
    if info is TINY_IMAGENET:
        return folders.read_tiny_imagenet(root, train)
    return torchvision_sets.read(info, root, train)


def is_fetched(dataset: str, root: Path) -> bool:
    """Whether the full data set is in `root`. This is always true for images that a user has put here.

    Raises:
        UserError: there is no such data set.
    """
    info = dataset_info(dataset)
    if folders.is_folder(dataset) or own.is_own(dataset):
        return True
    places = {
        **{name: (folder,) for name, folder in torchvision_sets.FOLDERS.items()},
        CIFAR10.name: (cifar10.TORCHVISION_FOLDER, cifar10.SPRITES_FOLDER),
        TINY_IMAGENET.name: (folders.TINY_FOLDER,),
    }
    return any((root / folder).is_dir() for folder in places[info.name])


def fetch_dataset(dataset: str, root: Path) -> Path:
    """Fetch a data set into `root` if it is missing. A user's folder stays where it is.

    Returns:
        The folder that holds it.

    Raises:
        UserError: no such data set, or it cannot be reached; the message says which files to put where.
    """
    info = dataset_info(dataset)
    _check_full(dataset)
    if folders.is_folder(dataset):
        return Path(info.source)
    if info is CIFAR10:
        return cifar10.fetch_cifar10(root)
    if info is TINY_IMAGENET:
        return folders.fetch_tiny_imagenet(root)
    return torchvision_sets.fetch(info, root)


def _check_full(dataset: str) -> None:
    """Raise UserError if the data set has no full set: of images of one's own, what is kept is all there is."""
    if own.is_own(dataset):
        raise UserError("Images that came with a model of one's own are no training set; choose another data set.")
