"""invmask from Python: load a victim, draw a budget, defend, look at the views, take the repaired model away.

    victim = invmask.load_victim("fashionmnist-cnn4-badnets")
    budget = invmask.draw_budget(victim, spc=10)
    defended = invmask.defend(victim, budget)
    print(defended.verdict, defended.measure())

These functions store no run. The dashboard and the commands show stored runs only (`invmask.runs`).
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from invmask import settings
from invmask.data.budget import clean_budget
from invmask.data.images import LabelledImages
from invmask.data.own_images import read_images
from invmask.defenses import registry
from invmask.defenses.base import Record, drive
from invmask.defenses.verdict import Verdict
from invmask.errors import UserError
from invmask.exports.model import write_onnx, write_weights
from invmask.exports.model_agreement import Agreement
from invmask.exports.source import MaskSource
from invmask.machine import Precision
from invmask.masks.fold import Folded, fold
from invmask.masks.repair import Network, Repair, network_of
from invmask.masks.state import View
from invmask.measure.metrics import Measures
from invmask.models import is_transformer
from invmask.runs.work.bench import Bench, bench_of, check_device, spec_with
from invmask.victims import victim as stored
from invmask.victims.bring_files import Request, bring_files
from invmask.victims.bring_module import bring_module
from invmask.victims.victim import Victim

WRITERS = {".safetensors": write_weights, ".onnx": write_onnx}


@dataclass(frozen=True)
class Defended:
    """A victim that a defence has been run on. The victim's own weights are unchanged.

    Attributes:
        records: one for each round, in order.
        because: why the defence ended, in a sentence.
        repair: what the defence made of the victim.
        verdict: the search's verdict on the victim; None where no search comparable with the zoo's was run.
    """

    records: tuple[Record, ...]
    because: str
    repair: Repair
    verdict: Verdict | None
    _bench: Bench

    @property
    def views(self) -> tuple[View, ...]:
        """The views of the repair: original, pruned and inverse; or original and repaired."""
        return self.repair.views

    def network(self, view: str | None = None) -> Network:
        """One view as a function from images, float32 [N, C, H, W] in [0, 1], to logits, float32 [N, K].

        Args:
            view: None for the one without the backdoor, pruned or repaired.

        Raises:
            UserError: the repair has no such view.
        """
        return network_of(self.repair, self._bench.subject.model, self._view(view))

    def measure(self) -> dict[View, Measures]:
        """ACC, ASR and RA of every view, in [0, 1], on all embedded test images. A clean victim has ACC only."""
        return self._bench.measure(self._bench.all_test_images(), self.repair, self.views)

    def fold(self, view: str | None = None) -> Folded:
        """A copy of the victim with the view's gates folded into its weights, as far as this is possible.

        Args:
            view: None for the one without the backdoor.

        Raises:
            UserError: the repair has no such view.
        """
        model, gates = self._source().parts(self._view(view))
        return fold(model, self._bench.layout, gates)

    def export(self, path: str | Path, view: str | None = None) -> Agreement:
        """Write a view to a file, and compare the file's outputs with the view's on all embedded test images.

        Args:
            path: `FILE.safetensors` for a state dict, `FILE.onnx` for the whole classifier.
            view: None for the one without the backdoor.

        Returns:
            How well the outputs of the file and of the view agree.

        Raises:
            UserError: the file name has another ending, or the repair has no such view.
            OSError: the file cannot be written.
        """
        file = Path(path)
        if file.suffix not in WRITERS:
            raise UserError(f"A model is written as one of {', '.join(WRITERS)}, not as '{file.name}'.")
        return WRITERS[file.suffix](file, self._source(), self._view(view))

    def _view(self, name: str | None) -> View:
        if name is None:
            return self.views[1]
        if name not in self.views:
            raise UserError(f"There is no view '{name}' of this repair; choose from: {', '.join(self.views)}.")
        return View(name)

    def _source(self) -> MaskSource:
        bench = self._bench
        return MaskSource(None, bench.spec, bench.victim, bench.layout, self.repair, len(self.records))


def victim_names() -> list[str]:
    """Names of the victims on this machine: those that come with invmask, and the user's own."""
    return sorted(stored.find_cards(settings.victim_folders()))


def load_victim(name: str) -> Victim:
    """Load a victim by name: its card, and its network in eval mode on the CPU, with gradients switched off.

    Raises:
        UserError: no victim of that name, or damaged files.
    """
    return stored.load_victim(name, settings.victim_folders())


def bring(
    model: nn.Module | str | Path,
    images: LabelledImages | str | Path,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    layers: Sequence[str] | None = None,
    architecture: str | None = None,
) -> Victim:
    """Bring in a model of your own, of which no trigger is known, with clean images.

    Args:
        model: a network in memory, or a file of weights. The victim of a file is stored, and all pages show it.
        images: clean images, or a folder, .zip or .npz of them.
        classes: names of the outputs in order; None to match the images' classes by name or order.
        mean, std: the normalisation, one number a channel; None for the best of the usual ones.
        layers: names of the layers to mask; None for convolutions, or a transformer's blocks.
        architecture: with a file, a name that `python -m invmask models` lists; None to recognise it.

    Raises:
        UserError: anything does not fit; the message says what to do.
    """
    if not isinstance(model, nn.Module):
        if isinstance(images, LabelledImages):
            raise UserError("With a file of weights, give the folder or archive of images.")
        return bring_files(
            Request(
                str(Path(model).expanduser().absolute()),
                str(Path(images).expanduser().absolute()),
                architecture=architecture,
                mean=None if mean is None else tuple(mean),
                std=None if std is None else tuple(std),
                listed=None if classes is None else tuple(classes),
                layers=tuple(layers or ()),
            )
        )
    if isinstance(images, LabelledImages):
        return bring_module(model, images, classes or (), mean, std, layers or ())
    first = next((parameter for parameter in model.parameters() if parameter.ndim == 4), None)
    read = read_images(Path(images).expanduser(), int(first.shape[1]) if first is not None else 3, classes=classes)
    return bring_module(model, read.images, classes or read.class_names, mean, std, layers or ())


def draw_budget(victim: Victim | str, spc: int = 10, seed: int = 0) -> LabelledImages:
    """Draw a clean budget: `spc` training images of each class, never a test image.

    Args:
        victim: a victim, or the name of one; the images come from its data set.
        spc: clean images per class, 1 to 100.
        seed: decides which images are drawn.

    Raises:
        UserError: `spc` outside 1 to 100, a class with fewer images, or a data set that is not on this machine.
    """
    return clean_budget(victim if isinstance(victim, str) else victim.card.dataset, spc, seed)


def defend(
    victim: Victim,
    budget: LabelledImages,
    preset: str | None = None,
    defense: str = registry.DEFAULT,
    seed: int = 0,
    precision: Precision | None = None,
    on_round: Callable[[Record], None] | None = None,
    **changes: Any,
) -> Defended:
    """Run a defence to its end.

    Args:
        budget: clean images that the defender holds, of the victim's shape and labels.
        preset: name of the settings to start from; None for the defence's first preset.
        defense: name of the defence, as listed by `python -m invmask defenses`.
        seed: decides how batches are drawn.
        precision: None for the precision that suits the processor, the network and the preset.
        on_round: called with the record of each round.
        changes: settings that differ from the preset, by name.

    Raises:
        UserError: no such defence, preset or setting; a setting out of range; or a budget that does not fit the victim.
    """
    info = victim.card.dataset_info
    labels = set(budget.labels.tolist())
    if not labels or not labels <= set(range(len(info.classes))) or budget.tensor().shape[1:] != info.shape:
        raise UserError(
            f"The budget has to be images of shape {info.shape} with labels from 0 to {len(info.classes) - 1}, as "
            f"draw_budget('{victim.card.dataset}') gives them."
        )
    entry = registry.entry(defense)
    settable = [setting.name for setting in entry.config.settings()]
    if wrong := sorted(set(changes) - set(settable)):
        raise UserError(f"{entry.title} has no setting '{wrong[0]}'; choose from: {', '.join(settable)}.")
    card, name = victim.card, preset or entry.first_preset
    config = entry.preset(name, is_transformer(card.architecture), **{**changes, "seed": seed})
    spc = max(1, int(np.bincount(budget.labels, minlength=len(info.classes)).min()))
    spec = spec_with(card.name, card.architecture, name, spc, config, precision, defense)
    check_device(spec.device)
    # A copy, so that the caller's model stays on its device.
    model = copy.deepcopy(victim.model).to(spec.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    bench = bench_of(spec, replace(victim, model=model), budget)
    state, records = bench.defense.init(bench.subject), []
    for reached, record in drive(bench.defense, bench.subject, state):
        state = reached
        records.append(record)
        if on_round is not None:
            on_round(record)
    last = records[-1] if records else None
    verdict = entry.verdict(spec.config, bench.defense.stage(state), last.notes) if last else None
    return Defended(tuple(records), bench.defense.done(state) or "", bench.defense.repair(state), verdict, bench)
