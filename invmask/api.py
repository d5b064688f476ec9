"""invmask from Python: load a victim, draw a budget, defend, look at the views, take the repaired model away.

    victim = invmask.load_victim("fashionmnist-cnn4-badnets")
    budget = invmask.draw_budget(victim, spc=10)
    defended = invmask.defend(victim, budget)
    print(defended.verdict, defended.measure())

Nothing is stored: what the dashboard and the commands show are runs of their own (`invmask.runs`).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invmask import settings
from invmask.data.budget import clean_budget
from invmask.data.images import LabelledImages
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
from invmask.victims.victim import Victim

WRITERS = {".safetensors": write_weights, ".onnx": write_onnx}


@dataclass(frozen=True)
class Defended:
    """A victim that a defence has been run on. The victim's own weights are as they were.

    Attributes:
        records: of every round, in order.
        because: why the defence ended, in a sentence.
        repair: what the defence made of the victim.
        verdict: what its search says of the victim; None where there was no search like those of the zoo.
    """

    records: tuple[Record, ...]
    because: str
    repair: Repair
    verdict: Verdict | None
    _bench: Bench

    @property
    def views(self) -> tuple[View, ...]:
        """The views there are: original, pruned and inverse, or original and repaired."""
        return self.repair.views

    def network(self, view: str | None = None) -> Network:
        """One view as a function: logits, float32 [N, K], of images, float32 [N, C, H, W] in [0, 1].

        Args:
            view: None for the one without the backdoor, pruned or repaired.

        Raises:
            UserError: the repair has no such view.
        """
        return network_of(self.repair, self._bench.subject.model, self._view(view))

    def measure(self) -> dict[View, Measures]:
        """ACC, ASR and RA of every view, in [0, 1], on all embedded test images; of a clean victim ACC alone."""
        return self._bench.measure(self._bench.all_test_images(), self.repair, self.views)

    def fold(self, view: str | None = None) -> Folded:
        """A copy of the victim with the view inside its weights, as far as they can hold it.

        Args:
            view: None for the one without the backdoor.

        Raises:
            UserError: the repair has no such view.
        """
        model, gates = self._source().parts(self._view(view))
        return fold(model, self._bench.layout, gates)

    def export(self, path: str | Path, view: str | None = None) -> Agreement:
        """Write a view as a file, and hold it against the view itself on all embedded test images.

        Args:
            path: `FILE.safetensors` for a state dict, `FILE.onnx` for the whole classifier.
            view: None for the one without the backdoor.

        Returns:
            How far the file answers as the view does.

        Raises:
            UserError: another ending, or the repair has no such view.
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
    """Names of the victims on this machine: those that come with invmask, and one's own."""
    return sorted(stored.find_cards(settings.victim_folders()))


def load_victim(name: str) -> Victim:
    """A victim by name: its card, and its network in eval mode without gradients, on the CPU.

    Raises:
        UserError: no victim of that name, or damaged files.
    """
    return stored.load_victim(name, settings.victim_folders())


def draw_budget(victim: Victim | str, spc: int = 10, seed: int = 0) -> LabelledImages:
    """Clean images, `spc` a class, of the data set of a victim or of that name; never a test image.

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
        preset: settings to start from; None for the defence's first.
        defense: its name, one of `python -m invmask defenses`.
        seed: of the batches.
        precision: None for what suits the processor, the network and the preset.
        on_round: called with the record of each round.
        changes: settings unlike the preset's, by name.

    Raises:
        UserError: no such defence, preset or setting, one out of range, or a budget that does not fit.
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
    # A copy: the caller's stays where it is.
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
