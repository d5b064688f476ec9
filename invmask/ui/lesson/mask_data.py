"""What the mask by hand shows: a real picture and feature map, and the measures for some strengths of the gate."""

from dataclasses import dataclass

import numpy as np
import torch

from invmask.evidence.activation import feature_maps
from invmask.frames.channels import channel_name
from invmask.masks.algebra import effective_mask, inverse_mask
from invmask.masks.repair import Gates
from invmask.masks.state import MaskLayout, Masks, View
from invmask.measure.views import view_probabilities
from invmask.ui.lesson.facts import FIRST_FEW
from invmask.ui.lesson.situation import built_in_run
from invmask.ui.neurons import channel_data
from invmask.ui.shell import address, cache, model_answers, shared_results
from invmask.victims.victim import VictimCard

GROUPS = (1, 3, FIRST_FEW)
"""Numbers of channels that get the same mask: the first ones by score."""
STRENGTHS = 5
"""Gates from 0 to 1 for which the answers are measured."""
STEPS = 51
"""Values from 0 to 1 that mask and selection can take."""
STEEPNESS = 20.0


@dataclass(frozen=True)
class Gated:
    """Channels under gates of any strength.

    Attributes:
        names: the channels' names, of the largest group, the highest score first.
        classes: the classes' names.
        picture: a test image with the trigger, uint8 [H, W, C]; without it for a clean control.
        true: its class; target: the target label, None for a clean control.
        feature_map: output of the first channel for it, float32 [h, w].
        asr: share of triggered images answered with the target, float32 [groups, strengths]; None for a clean control.
        acc: share of clean images answered right, float32 [groups, strengths].
        said: probabilities of the target and of the true class for the picture, float32 [groups, strengths, 2].
        n: images behind asr and acc.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    picture: np.ndarray
    true: int
    target: int | None
    feature_map: np.ndarray
    asr: np.ndarray | None
    acc: np.ndarray
    said: np.ndarray
    n: tuple[int, int]


def gated(card: VictimCard) -> Gated | None:
    """The data for a victim: the channels of the run in the address, or of the built-in run; None without a run."""
    run = address.current_run() or built_in_run(card.name)
    summary = None if run is None else cache.summary(run)
    if summary is None or not summary.round or not summary.spec.entry.capabilities.channels:
        return None
    return _gated(summary.id, summary.round, cache.victim_stamp(card.name))


def tables() -> tuple[np.ndarray, np.ndarray]:
    """Effective mask m and inverse mask m-bar, float32 [mask, selection], for `STEPS` values of each from 0 to 1."""
    mask, selection = torch.meshgrid(torch.linspace(0, 1, STEPS), torch.linspace(0, 1, STEPS), indexing="ij")
    return (
        effective_mask(mask, selection, STEEPNESS).numpy(),
        inverse_mask(mask, selection, STEEPNESS).numpy(),
    )


@shared_results.copied(spinner="Measuring these channels")
def _gated(run_id: str, round_taken: int, stamp: int) -> Gated | None:
    run = cache.store().run(run_id)
    spec, victim = run.spec(), cache.victim(run.spec().victim)
    card, layout = victim.card, MaskLayout.of(victim.model)
    ranked = np.argsort(-channel_data.scores_at(run_id, round_taken, stamp), kind="stable")
    _, probe = channel_data.probe_images(card.name, spec.probe_per_class)
    clean, labels = probe.clean, probe.labels
    triggered = probe.triggered if probe.triggered is not None else probe.clean[:0]
    place = model_answers.draw(card, None, 0, 1)
    shown = model_answers.clean_and_triggered(card.name, stamp, place)
    picture = shown.clean[0] if shown.triggered is None else shown.triggered[0]
    one = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]
    images = torch.cat([clean, triggered, one])
    targets = None
    if card.targets is not None and probe.triggered_labels is not None:
        targets = card.targets.of(probe.triggered_labels)
    true = int(shown.labels[0])
    target = card.target_of(true)
    asr, acc = (np.zeros((len(GROUPS), STRENGTHS), np.float32) for _ in range(2))
    answers = np.zeros((len(GROUPS), STRENGTHS, 2), np.float32)
    for group, number in enumerate(GROUPS):
        for strength, gate in enumerate(torch.linspace(0, 1, STRENGTHS)):
            # At mask 0 the effective mask is the selection.
            mask, selection = torch.ones(layout.channels), torch.ones(layout.channels)
            mask[ranked[:number]], selection[ranked[:number]] = 0, gate
            masks = Masks(mask, selection, STEEPNESS)
            said = view_probabilities(victim.model, Gates(masks), [View.PRUNED], images, spec.probe_precision)[0]
            best = said.argmax(1)
            acc[group, strength] = float((best[: len(clean)] == labels).float().mean())
            if targets is not None:
                asr[group, strength] = float((best[len(clean) : -1] == targets).float().mean())
            answers[group, strength] = said[-1, [true if target is None else target, true]]
    maps = feature_maps(victim.model, layout, int(ranked[0]), one)
    return Gated(
        names=tuple(channel_name(layout.layers, int(channel)) for channel in ranked[: max(GROUPS)]),
        classes=tuple(card.dataset_info.classes),
        picture=picture,
        true=true,
        target=target,
        feature_map=maps[0].numpy(),
        asr=None if targets is None else asr,
        acc=acc,
        said=answers,
        n=(len(clean), len(triggered)),
    )
