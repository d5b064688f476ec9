"""The repair of a run that is exported, and the description of it that goes into the exported files."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from torch import Tensor, nn

from invmask import settings
from invmask.errors import UserError
from invmask.masks.repair import Gates, Repair
from invmask.masks.state import MaskLayout, Masks, View
from invmask.runs.store import named_masks
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.runs.store.staleness import check_victim
from invmask.victims.victim import Victim, load_victim, versions

METADATA_KEY = "invmask"
"""Key of the JSON object in the metadata of exported files."""


@dataclass(frozen=True)
class MaskSource:
    """A repair of a run, with its origin.

    Attributes:
        run: the run; None if the run is not stored.
        victim: the victim that it repairs; shared, so it must not be changed.
        layout: the victim's masked layers.
        round: the round of the repair; None for masks made by hand, which belong to no round.
        name: the name of masks made by hand; None for the run's own repair.
    """

    run: Run | None
    spec: RunSpec
    victim: Victim
    layout: MaskLayout
    repair: Repair
    round: int | None
    name: str | None = None

    @property
    def masks(self) -> Masks:
        """The masks of the repair.

        Raises:
            UserError: the repair changes weights.
        """
        if not isinstance(self.repair, Gates):
            raise UserError(f"This run has no masks: its defence, {self.spec.entry.title}, changes weights.")
        return self.repair.masks

    def parts(self, view: View) -> tuple[nn.Module, Tensor]:
        """The network and the gates [channels] that make a view; see `Repair.parts`.

        Raises:
            UserError: the repair has no such view.
        """
        if view not in self.repair.views:
            raise UserError(f"This run has no {view} view; choose from: {', '.join(self.repair.views)}.")
        return self.repair.parts(self.victim.model, view)

    @property
    def words(self) -> str:
        """`round 76`, or `mask 'by hand'`."""
        return f"mask '{self.name}'" if self.name is not None else f"round {self.round}"

    def about(self, view: View | None = None) -> dict[str, Any]:
        """Victim, run, view, round, settings, seed and versions, as JSON values."""
        card, info = self.victim.card, self.victim.card.dataset_info
        return {
            "victim": card.name,
            "dataset": card.dataset,
            "architecture": card.architecture,
            **({"reading": card.reading} if card.reading else {}),
            **({"masked_layers": list(card.masked_layers)} if card.masked_layers else {}),
            "classes": list(info.classes),
            "input": {"range": [0, 1], "shape": list(info.shape), "mean": list(info.mean), "std": list(info.std)},
            "run": self.run.id if self.run is not None else None,
            "round": self.round,
            "mask": self.name or named_masks.LEARNED,
            "view": None if view is None else view.value,
            "defense": self.spec.defense,
            "preset": self.spec.preset,
            "spc": self.spec.spc,
            "seed": self.spec.seed,
            "settings": self.spec.config.as_json(),
            "precision": self.spec.precision,
            "layers": [[layer.name, layer.channels] for layer in self.layout.layers],
            "versions": {"run": self.spec.versions, "export": versions()},
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def metadata(self, view: View | None = None, **more: Any) -> dict[str, str]:
        """`about` as pairs of strings, as safetensors and ONNX store metadata."""
        return {METADATA_KEY: json.dumps({**self.about(view), **more})}


def take_masks(run: Run, round_taken: int | None = None, name: str | None = None) -> MaskSource:
    """The repair of a run after a round (None: the latest), or the masks made by hand with that name.

    Raises:
        UserError: no such round or name; no round yet; or the victim is missing or has been replaced.
    """
    committed = run.committed()
    if committed is None or committed.round == 0:
        raise UserError(f"Run {run.id} has no rounds yet; take a step first.")
    if name is not None and round_taken is not None:
        raise UserError("A mask made by hand belongs to no round; leave out either its name or the round.")
    check_victim(run)
    spec, latest = run.spec(), committed.round
    victim = load_victim(spec.victim, settings.victim_folders(run.home))
    own = name is None or name == named_masks.LEARNED
    number = (latest if round_taken is None else round_taken) if own else None
    repair = Gates(named_masks.load(run, name or "")) if number is None else run.repair_at(number)
    layout = MaskLayout.of(victim.model)
    if isinstance(repair, Gates) and len(repair.masks.mask) != layout.channels:
        raise UserError(f"Run {run.id} belongs to another network than {spec.victim} is now; train the victim again.")
    if number is not None:
        number = run.kept_round(number)
    return MaskSource(run, spec, victim, layout, repair, number, None if own else name)
