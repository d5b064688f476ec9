"""What one channel does on a handful of images: the pictures of its page, and of the figures made of them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invmask.data.budget import clean_budget
from invmask.data.images import LabelledImages
from invmask.evidence.activation import feature_maps
from invmask.evidence.attribution import grad_cam, integrated_gradients
from invmask.evidence.conductance import channel_conductance
from invmask.figures.channel_history import ChannelHistory
from invmask.masks.repair import Gates
from invmask.masks.state import GATED, MaskLayout, Masks, View
from invmask.measure.views import view_probabilities
from invmask.runs.store.run import Run
from invmask.runs.work.bench import ProbeImages
from invmask.victims.victim import Victim

SAMPLES = 4
EXCITED = 8


@dataclass(frozen=True)
class MapRow:
    """Versions of one image and the channel's feature map of each.

    Attributes:
        label: the true class.
        captions: of each version.
        pixels: uint8 [V, H, W, C].
        maps: float32 [V, h, w], in the layer's units.
    """

    label: int
    captions: tuple[str, ...]
    pixels: np.ndarray
    maps: np.ndarray


@dataclass(frozen=True)
class Excited:
    """Images that excite a channel most, the strongest first: pixels uint8 [E, H, W, C], maps float32 [E, h, w].

    `values` are means over the map, in the layer's units; `n` is of how many images they are.
    """

    pixels: np.ndarray
    maps: np.ndarray
    labels: np.ndarray
    triggered: np.ndarray
    values: np.ndarray
    n: int


@dataclass(frozen=True)
class Attributed:
    """Two attributions of one class on the same image under the three views, float32 [3, H, W] each.

    `pixels` is the image, uint8 [H, W, C], `label` its true class, `wanted` the class; `probabilities` are [3, K].
    """

    pixels: np.ndarray
    label: int
    wanted: int
    cam: np.ndarray
    gradients: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Conducted:
    """What flows through the channel toward one class, in versions of one image; in the original network.

    Attributes:
        captions: of each version.
        pixels: uint8 [V, H, W, C].
        maps: of each of the channel's neurons, in logits, float32 [V, h, w].
        inputs: of each pixel, through the neuron that carries most, in logits, float32 [V, H, W].
        neurons: row and column of that neuron, int [V, 2].
        wanted: the class.
        class_token: of a transformer's class token, which is in no map, float32 [V]; None where there is none.
    """

    captions: tuple[str, ...]
    pixels: np.ndarray
    maps: np.ndarray
    inputs: np.ndarray
    neurons: np.ndarray
    wanted: int
    class_token: np.ndarray | None = None

    @property
    def sums(self) -> np.ndarray:
        """Of the whole channel, the class token included, float32 [V]."""
        sums = self.maps.sum((1, 2))
        return sums if self.class_token is None else sums + self.class_token


def drawn(victim: Victim, test: LabelledImages, seed: int, number: int = SAMPLES) -> LabelledImages:
    """Some test images drawn by `seed`; none that is of its own target class, whose trigger tells nothing."""
    candidates = np.flatnonzero(victim.card.attacked(test.labels))
    return test.take(np.random.default_rng(seed).choice(candidates, min(number, len(candidates)), replace=False))


def shared_trigger(run: Run, round_taken: int) -> np.ndarray | None:
    """The synthesized trigger of a round that goes on any image, float32 [C, H, W]; None where there is none."""
    stored = run.examples_at(round_taken)
    return None if stored is None else stored.shared


def test_rows(victim: Victim, images: LabelledImages, channel: int, shared: np.ndarray | None) -> list[MapRow]:
    """Test images clean, triggered where the trigger is known, and with the synthesized one where it goes on any image.

    Args:
        shared: see `shared_trigger`.
    """
    clean = images.tensor()
    versions, captions = _versions(victim, clean)
    if shared is not None:
        versions, captions = [*versions, clean + torch.from_numpy(shared)], (*captions, "synthesized")
    return _rows(victim, images.labels, versions, captions, channel)


def synthesized_rows(run: Run, round_taken: int, victim: Victim, channel: int) -> list[MapRow]:
    """A few of the budget's images clean and with their own synthesized triggers; none if they have none."""
    stored, spec = run.examples_at(round_taken), run.spec()
    if stored is None or stored.shared is not None:
        return []
    chosen = clean_budget(victim.card.dataset, spec.spc, spec.seed).take(stored.indices[:SAMPLES])
    clean = chosen.tensor()
    changed = clean + torch.from_numpy(stored.perturbations[:SAMPLES].astype(np.float32))
    return _rows(victim, chosen.labels, [clean, changed], ("clean", "synthesized"), channel)


def excited(victim: Victim, probe: ProbeImages, channel: int) -> Excited:
    """Of the probe's clean and triggered images, those with the highest mean activation of the channel."""
    images, labels = probe.images, probe.labels
    if probe.triggered_labels is not None:
        labels = torch.cat([labels, probe.triggered_labels])
    maps = feature_maps(victim.model, MaskLayout.of(victim.model), channel, images)
    means = maps.mean((1, 2))
    best = means.topk(min(EXCITED, len(means))).indices
    return Excited(
        _pixels(images[best]),
        maps[best].numpy(),
        labels[best].numpy(),
        (best >= len(probe.labels)).numpy(),
        means[best].numpy(),
        len(images),
    )


def attributed(victim: Victim, masks: Masks, images: LabelledImages) -> Attributed:
    """The first image, triggered where that is possible, under the three views: what speaks for the target label.

    Of a clean control: what speaks for the image's own class.
    """
    image, label = _versions(victim, images.tensor()[:1])[0][-1], int(images.labels[0])
    wanted = _wanted(victim, label)
    layout, gates = MaskLayout.of(victim.model), [masks.gate(view) for view in GATED]
    cams = [grad_cam(victim.model, layout, gate, image, wanted)[0].numpy() for gate in gates]
    found = [integrated_gradients(victim.model, layout, gate, image, wanted)[0].numpy() for gate in gates]
    said = view_probabilities(victim.model, Gates(masks), GATED, image)[:, 0].numpy()
    return Attributed(_pixels(image)[0], label, wanted, np.stack(cams), np.stack(found), said)


def conducted(victim: Victim, images: LabelledImages, channel: int) -> Conducted:
    """The first image clean and, where the trigger is known, triggered: what flows through the channel to the target.

    Of a clean control: to the image's own class.
    """
    versions, captions = _versions(victim, images.tensor()[:1])
    wanted = _wanted(victim, int(images.labels[0]))
    found = channel_conductance(victim.model, MaskLayout.of(victim.model), channel, torch.cat(versions), wanted)
    return Conducted(
        captions,
        _pixels(torch.cat(versions)),
        found.maps.numpy(),
        found.inputs.numpy(),
        found.neurons.numpy(),
        wanted,
        None if found.class_token is None else found.class_token.numpy(),
    )


def history(run: Run, rounds: int, channel: int) -> ChannelHistory:
    """One channel after each round from 0 to `rounds`."""
    both = torch.from_numpy(np.array(run.mask_history()[: rounds + 1, :, channel]))
    masks = Masks(both[:, 0], both[:, 1], run.masks_at(0).steepness)
    pruned, inverse = masks.gate(View.PRUNED), masks.gate(View.INVERSE)
    return ChannelHistory(masks.mask.numpy(), masks.selection.numpy(), pruned.numpy(), inverse.numpy())


def _wanted(victim: Victim, true: int) -> int:
    """The image's target; of a clean control, its own class."""
    target = victim.card.target_of(true)
    return true if target is None else target


def _versions(victim: Victim, clean: Tensor) -> tuple[list[Tensor], tuple[str, ...]]:
    attack = victim.card.make_attack()
    return ([clean], ("clean",)) if attack is None else ([clean, attack.apply(clean)], ("clean", "triggered"))


def _rows(
    victim: Victim, labels: np.ndarray, versions: list[Tensor], captions: tuple[str, ...], channel: int
) -> list[MapRow]:
    layout = MaskLayout.of(victim.model)
    maps = [feature_maps(victim.model, layout, channel, images).numpy() for images in versions]
    pixels = [_pixels(images) for images in versions]
    return [
        MapRow(int(label), captions, np.stack([p[i] for p in pixels]), np.stack([m[i] for m in maps]))
        for i, label in enumerate(labels)
    ]


def _pixels(images: Tensor) -> np.ndarray:
    """float [N, C, H, W] as uint8 [N, H, W, C]; what lies outside [0, 1] is clipped."""
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
