"""Bring in a model of one's own from files: weights that somebody has stored, and a folder of clean images."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from invmask.data.own_images import OwnImages, read_images
from invmask.errors import UserError
from invmask.measure.network_checks import check_network
from invmask.models import Classifier, build
from invmask.models.answers import Answering, Reading, adapt
from invmask.models.code_file import agree
from invmask.models.recognise import Candidate, recognise, recognise_as
from invmask.models.weight_files import WeightFile, read_weight_file
from invmask.victims.bring import Brought, Choices, Examined, Images, check_fit, examine, new_id, store
from invmask.victims.normalisation import Normalisation
from invmask.victims.normalisation import given as given_normalisation
from invmask.victims.own_names import keep_unused
from invmask.victims.victim import Victim

CODE = "code:"
SMALL_SIDE = 32
"""Size that is tried too if pictures are larger, since most networks for small images were trained with it."""
SMALL_NETWORKS = ("cifar:",)
MOST_LISTED = 4 << 20


@dataclass(frozen=True)
class Request:
    """What is brought in, and what the user has set; None where it shall be found out.

    Attributes:
        weights: path of the file of weights.
        images: path of the folder or archive of clean images.
        entry: which network's weights, if the file holds several.
        architecture: a name that `models.build` takes.
        code: `FILE.py:Class`, a class of one's own. The caller has said that this runs the file's code.
        outputs: number of outputs, with `architecture` or `code`; None for the number of the last layer's rows.
        mean, std: the normalisation.
        size: H, W to which images are brought.
        labels: path of a table of labels.
        listed: names of the outputs, in order.
        part: the part of what the network returns that are its logits.
        layers: names of the layers to mask.
        title: what the images are called; None for the folder's name.
        anyway: whether a network that hardly knows its images is taken all the same.
    """

    weights: str
    images: str
    entry: str | None = None
    architecture: str | None = None
    code: str | None = None
    outputs: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    labels: str | None = None
    listed: tuple[str, ...] | None = None
    part: str | None = None
    layers: tuple[str, ...] = ()
    title: str | None = None
    anyway: bool = False

    def as_json(self) -> dict[str, Any]:
        """All values, as JSON has them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Request":
        """Read what `as_json` made. Raises UserError if it is damaged."""
        known = {each.name for each in fields(cls)}
        if not isinstance(values, dict) or not {"weights", "images"} <= set(values) <= known:
            raise UserError("This is no request to bring in a model; start again.")
        given: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        return cls(**given)


def bring_files(request: Request, home: Path | None = None) -> Victim:
    """Read, recognise and check the model, and store it as a victim.

    Args:
        home: the home to store in; None for this machine's.

    Raises:
        EntryNeeded: the file holds several networks.
        UserError: anything does not fit; the message says what to do, and nothing is stored.
    """
    path = Path(request.weights).expanduser()
    file = read_weight_file(path, request.entry)
    best: tuple[Examined, Candidate, nn.Module, OwnImages, tuple[str, ...]] | None = None
    problem: UserError | None = None
    read: dict[tuple[int, tuple[int, int] | None], OwnImages] = {}
    for candidate in _candidates(request, file, path):
        for size in _sizes(request, candidate):
            key = candidate.channels, size
            try:
                if key not in read:
                    read[key] = _read_images(request, *key)
                found = _examined(request, file, candidate, read[key])
            except UserError as error:
                # Another architecture with the same tensors, or another size, may fit.
                problem = problem or error
                continue
            if best is None or found[0].trials[0].score > best[0].trials[0].score:
                best = (found[0], candidate, found[1], read[key], found[2])
    if best is None:
        raise problem or UserError(f"{path.name} could not be tried on the images.")
    examined, candidate, network, images, notes = best
    if not request.anyway:
        check_fit(examined)
    return _stored(request, file, examined, candidate, network, (*images.notes, *notes), home)


def _candidates(request: Request, file: WeightFile, path: Path) -> tuple[Candidate, ...]:
    """The architectures to try. Raises UserError if none fits."""
    if request.code is not None or request.architecture is not None:
        return (_named(request, file),)
    beside = path.with_name("config.json")
    config: dict[str, Any] = {}
    if beside.is_file() and beside.stat().st_size < MOST_LISTED:
        try:
            found = json.loads(beside.read_text())
            config = found if isinstance(found, dict) else {}
        except ValueError:
            config = {}
    candidates = recognise(file.tensors, config)
    exact = tuple(each for each in candidates if each.exact)
    if exact:
        return exact
    what = "Name the architecture, or give the Python file and class of your own network (FILE.py:Class)."
    if candidates:
        raise UserError(f"{candidates[0].sentence()} {what}")
    raise UserError(f"No architecture known here has tensors like those of {path.name}. {what}")


def _named(request: Request, file: WeightFile) -> Candidate:
    """The architecture that the user has named, as a candidate. Raises UserError if the weights do not fit it."""
    name = request.architecture or ""
    if request.code is not None:
        place, colon, kind = request.code.rpartition(":")
        if not colon:
            raise UserError(f"A class of one's own is named FILE.py:Class, not '{request.code:.80}'.")
        python = Path(place).expanduser().resolve()
        agree(python)
        name = f"{CODE}{python}:{kind}"
    found = recognise_as(file.tensors, name, request.outputs, None if request.size is None else request.size[0])
    if not found.exact:
        raise UserError(f"These weights belong to another network than '{name}': {found.wrong}.")
    return found


def _sizes(request: Request, candidate: Candidate) -> list[tuple[int, int] | None]:
    """The sizes of images to try; None for that of the pictures themselves."""
    if request.size is not None:
        return [request.size]
    if candidate.size is not None:
        return [candidate.size]
    small = ":" not in candidate.architecture or candidate.architecture.startswith(SMALL_NETWORKS)
    return [None, (SMALL_SIDE, SMALL_SIDE)] if small else [None]


def _read_images(request: Request, channels: int, size: tuple[int, int] | None) -> OwnImages:
    labels = Path(request.labels).expanduser() if request.labels else None
    return read_images(Path(request.images).expanduser(), channels, size, labels)


def _examined(
    request: Request, file: WeightFile, candidate: Candidate, images: OwnImages
) -> tuple[Examined, nn.Module, tuple[str, ...]]:
    """The candidate's network on the images, itself without what reads its logits, and notes."""
    _, height, width, channels = images.images.pixels.shape
    raw = build(candidate.architecture, candidate.classes, candidate.shape(height, width))
    raw.load_state_dict(candidate.state(file.tensors, raw))
    raw.eval().requires_grad_(False)
    sample = images.images.take(np.linspace(0, len(images.images) - 1, min(4, len(images.images))).astype(int))
    if len(sample) < 2:
        raise UserError("There is only one image; give at least two of each class.")
    tensor = (sample.tensor() - 0.5) / 0.5
    with torch.random.fork_rng():
        network, notes = adapt(raw, tensor, candidate.classes, request.part)
    check = Classifier(network, (0.0,) * channels, (1.0,) * channels)
    if request.layers:
        check.masked_layers = _of_classifier(request.layers, network)  # type: ignore[assignment]
    check_network(check, tensor)
    normalisation = _normalisation(request, channels, candidate.normalisation(file.tensors))
    classes = images.class_names if images.labelled else ()
    choices = Choices(normalisation, request.listed, request.anyway)
    found = examine(network, Images(images.images, classes, _title(request)), choices)
    return found, raw, (*candidate.notes, *notes)


def _normalisation(
    request: Request, channels: int, inside: tuple[tuple[float, ...], tuple[float, ...]] | None
) -> Normalisation | None:
    """What the user gives, or else what the file holds `inside`; None to find it out."""
    if request.mean is None and request.std is None and inside is not None:
        return given_normalisation(*inside, channels)
    if (request.mean is None) != (request.std is None):
        raise UserError("Mean and std belong together: give both, or neither.")
    return None if request.mean is None else given_normalisation(request.mean, request.std or (), channels)


def _of_classifier(layers: tuple[str, ...], network: nn.Module) -> tuple[str, ...]:
    """Names of layers inside `Classifier`, from the names in the user's own network."""
    prefix = "network.network." if isinstance(network, Answering) else "network."
    return tuple(prefix + name for name in layers)


def _stored(
    request: Request,
    file: WeightFile,
    found: Examined,
    candidate: Candidate,
    raw: nn.Module,
    notes: tuple[str, ...],
    home: Path | None,
) -> Victim:
    reading = found.network.reading if isinstance(found.network, Answering) else Reading()
    outer = "network." if isinstance(found.network, Answering) else ""
    names = {f"{outer}{ours}": file.own_names[theirs] for theirs, ours in candidate.places(raw).items()}
    used = set(names.values())
    path = Path(request.weights)
    about = Brought(
        file=path.name,
        digest=file.digest,
        names=names,
        notes=(candidate.sentence(), *file.notes, *notes),
    )
    digest = hashlib.sha256(json.dumps([file.digest, replace(request, weights="").as_json()]).encode()).hexdigest()
    victim = store(
        found,
        new_id(path.stem, digest),
        candidate.architecture,
        _title(request),
        about,
        home,
        str(reading),
        _of_classifier(request.layers, found.network) if request.layers else (),
    )
    unused = {theirs: file.tensors[name] for name, theirs in file.own_names.items() if theirs not in used}
    keep_unused(victim.card.dataset, unused)
    return victim


def _title(request: Request) -> str:
    return (request.title or Path(request.images).expanduser().stem or "images")[:60]


def read_list(path: Path) -> tuple[str, ...]:
    """The names of outputs in a text file, a name a line, or in a JSON list.

    Raises:
        UserError: it cannot be read, or is no such file.
    """
    try:
        if path.stat().st_size > MOST_LISTED:
            raise ValueError("too large")
        text = path.read_text()
        found = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read; give a text file with a name a line.") from error
    names = tuple(str(name).strip() for name in found if str(name).strip())
    if not names:
        raise UserError(f"{path} holds no names; give a text file with a name a line.")
    return names
