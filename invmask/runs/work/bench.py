"""The objects that a run works with: the defence and its subject, and separately the test images.

They meet only here. The subject holds the victim and the clean budget; the `Bench` measures the views.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from invmask import settings
from invmask.data.budget import clean_budget, probe
from invmask.data.embedded import load_embedded
from invmask.data.images import LabelledImages
from invmask.defenses import registry
from invmask.defenses.base import Defense, Subject
from invmask.defenses.settings import DefenseConfig
from invmask.errors import UserError
from invmask.evidence.ablation import Probe
from invmask.machine import Precision, autocast
from invmask.masks.attach import sharing_copy
from invmask.masks.repair import Repair, network_of
from invmask.masks.state import MaskLayout, View
from invmask.measure.metrics import Measures, pass_size
from invmask.memory import MIB, bounded
from invmask.models import is_transformer, suited_precision
from invmask.runs.store.spec import RunSpec
from invmask.runs.store.staleness import victim_digest
from invmask.victims.victim import Victim, find_cards, load_victim, read_card, versions

VICTIM_BYTES = 128 * MIB
"""Bound of the cache of victims that a worker keeps for its next run."""


@dataclass(frozen=True)
class ProbeImages(Probe):
    """Test images: clean as a victim's user sends them, and triggered as the attacker sends them."""

    @classmethod
    def of(cls, images: LabelledImages, victim: Victim, device: str = "cpu") -> "ProbeImages":
        """`images` clean, and with the trigger of the victim's attack."""
        clean, labels = images.tensor(), images.label_tensor()
        attack, targets = victim.card.make_attack(), victim.card.targets
        if attack is None or targets is None:
            return cls(clean.to(device), labels, None, None, None)
        others = targets.attacked(labels)
        return cls(clean.to(device), labels, attack.apply(clean[others]).to(device), labels[others], targets)


@dataclass(frozen=True)
class Bench:
    """Everything that one run needs in a process. No other run uses the model in `subject`."""

    spec: RunSpec
    defense: Defense[Any]
    subject: Subject
    layout: MaskLayout
    victim: Victim
    probe: ProbeImages

    def measure(self, images: ProbeImages, repair: Repair, views: tuple[View, ...]) -> dict[View, Measures]:
        """ACC, ASR and RA of `views` of the repaired victim on `images`."""
        return measure_views(self.subject.model, repair, views, images, self.spec.precision)

    def all_test_images(self) -> ProbeImages:
        """All embedded test images of the victim's data set."""
        return ProbeImages.of(load_embedded(self.victim.card.dataset, "test").images, self.victim, self.spec.device)


def spec_of(
    victim: str,
    preset_name: str,
    spc: int,
    seed: int,
    changed: Mapping[str, Any] | None = None,
    precision: Precision | None = None,
    defense: str = registry.DEFAULT,
) -> RunSpec:
    """The specification of a run of a defence's preset, as this machine would make it.

    Args:
        changed: settings that differ from the preset, by name.
        precision: None for the precision that suits the machine, the network and the preset.

    Raises:
        UserError: no such defence or preset, or a setting out of range.
    """
    cards = find_cards(settings.victim_folders())
    # A missing victim is reported when it is loaded.
    architecture = read_card(cards[victim]).architecture if victim in cards else ""
    entry = registry.entry(defense)
    config = entry.preset(preset_name, is_transformer(architecture), **{**(changed or {}), "seed": seed})
    return spec_with(victim, architecture, preset_name, spc, config, precision, defense)


def spec_with(
    victim: str,
    architecture: str,
    preset_name: str,
    spc: int,
    config: DefenseConfig,
    precision: Precision | None = None,
    defense: str = registry.DEFAULT,
) -> RunSpec:
    """The specification of a run with these settings, as this machine would make it.

    Args:
        architecture: the victim's architecture.
        preset_name: the preset that `config` started from.
        precision: None for the precision that suits the machine, the network and the preset.

    Raises:
        UserError: the machine's settings are not valid.
    """
    device = settings.device()
    return RunSpec(
        victim=victim,
        preset=preset_name,
        spc=spc,
        seed=config.seed,
        config=config,
        precision=precision or usual_precision(defense, preset_name, architecture, device),
        device=device,
        threads=settings.threads(),
        defense=defense,
        versions=versions(),
    )


def usual_precision(defense: str, preset_name: str, architecture: str, device: str) -> Precision:
    """The default precision of a preset's run: what suits device and network, but float32 for some presets."""
    exact = preset_name in registry.entry(defense).exact
    return "float32" if exact else suited_precision(architecture, device)


def make_bench(spec: RunSpec, folders: list[Path]) -> Bench:
    """Load everything that a run needs.

    Args:
        folders: folders of victims (see `settings.victim_folders`).

    Raises:
        UserError: the victim, the defence or the device does not exist, or the budget is out of range.
    """
    registry.entry(spec.defense)
    check_device(spec.device)
    victim = _victim(spec.victim, spec.device, tuple(folders), victim_digest(spec.victim, folders))
    return bench_of(spec, victim, clean_budget(victim.card.dataset, spec.spc, spec.seed))


def bench_of(spec: RunSpec, victim: Victim, budget: LabelledImages) -> Bench:
    """The bench of a run on a loaded victim and budget.

    Args:
        victim: on the run's device; left unchanged.

    Raises:
        UserError: no such defence, or the victim's data set is not on this machine.
    """
    model = sharing_copy(victim.model)
    info = victim.card.dataset_info
    subject = Subject(
        model=model,
        images=budget.tensor().to(spec.device),
        num_classes=len(info.classes),
        precision=spec.precision,
        mirrors=info.mirrors,
        labels=budget.label_tensor().to(spec.device),
    )
    return Bench(
        spec=spec,
        defense=registry.entry(spec.defense).build(spec.config),
        subject=subject,
        layout=MaskLayout.of(model),
        victim=victim,
        probe=ProbeImages.of(probe(victim.card.dataset, spec.probe_per_class), victim, spec.device),
    )


def check_device(device: str) -> None:
    """Raise UserError unless this machine has the device."""
    if not settings.is_device_name(device):
        raise UserError(f"A device is cpu, cuda or cuda:N, not '{device:.40}'.")
    if not has_device(device):
        raise UserError(
            f"This machine has no device '{device}'; choose cpu or one that it has, by --device or INVMASK_DEVICE."
        )


def has_device(device: str) -> bool:
    """Whether the name is a valid device name and this machine has the device."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return device == "cpu" or (settings.is_device_name(device) and int(device.partition(":")[2] or 0) < count)


@torch.no_grad()
def measure_views(
    model: torch.nn.Module,
    repair: Repair,
    views: tuple[View, ...],
    images: ProbeImages,
    precision: Precision,
) -> dict[View, Measures]:
    """ACC, ASR and RA of several views of a repair of one network.

    Args:
        model: left unchanged.
        images: on the model's device.
    """
    measures = {}
    size = pass_size(images.clean.device)
    for view in views:
        network = network_of(repair, model, view)
        with autocast(precision, images.clean.device.type):
            given = torch.cat([network(batch).argmax(1).cpu() for batch in images.images.split(size)])
        measures[view] = images.flags(given).measures()
    return measures


@bounded(VICTIM_BYTES, latest_stays=True)
def _victim(name: str, device: str, folders: tuple[Path, ...], digest: str) -> Victim:  # noqa: ARG001  (of its files)
    victim = load_victim(name, list(folders))
    victim.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return victim
