"""What one channel does on a few images: the pictures for its page and for figures."""

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
    """V versions of one image, and the channel's feature map for each.

    Attributes:
        label: the true class.
        captions: a caption for each version.
        pixels: the versions, uint8 [V, H, W, C].
        maps: the feature maps, float32 [V, h, w], in the units of the layer's output.
    """

    label: int
    captions: tuple[str, ...]
    pixels: np.ndarray
    maps: np.ndarray


@dataclass(frozen=True)
class Excited:
    """The images that excite a channel most, the strongest first: pixels uint8 [E, H, W, C], maps float32 [E, h, w].

    `values` are means over each map, in the units of the layer's output. `n` is the number of images searched.
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
    """The channel's conductance toward one class, for V versions of one image, in the original network.

    Attributes:
        captions: a caption for each version.
        pixels: the versions, uint8 [V, H, W, C].
        maps: conductance of each of the channel's neurons, in logits, float32 [V, h, w].
        inputs: conductance of each pixel through the neuron with the largest conductance, in logits, float32 [V, H, W].
        neurons: row and column of that neuron, int [V, 2].
        wanted: the class.
        class_token: conductance of a transformer's class token, which is not in `maps`, float32 [V]; None if there is
            none.
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
        """Conductance of the whole channel, the class token included, in logits, float32 [V]."""
        sums = self.maps.sum((1, 2))
        return sums if self.class_token is None else sums + self.class_token


def drawn(victim: Victim, test: LabelledImages, seed: int, number: int = SAMPLES) -> LabelledImages:
    """`number` test images drawn by `seed`. Images that have their target class already are left out."""
    candidates = np.flatnonzero(victim.card.attacked(test.labels))
    return test.take(np.random.default_rng(seed).choice(candidates, min(number, len(candidates)), replace=False))


def shared_trigger(run: Run, round_taken: int) -> np.ndarray | None:
    """A round's synthesized trigger that all images share, float32 [C, H, W]; None if there is none."""
    stored = run.examples_at(round_taken)
    return None if stored is None else stored.shared


def test_rows(victim: Victim, images: LabelledImages, channel: int, shared: np.ndarray | None) -> list[MapRow]:
    """Test images: clean, triggered if the trigger is known, and with the shared synthesized trigger if there is one.

    Args:
        shared: see `shared_trigger`.
    """
    clean = images.tensor()
    versions, captions = _versions(victim, clean)
    if shared is not None:
        versions, captions = [*versions, clean + torch.from_numpy(shared)], (*captions, "synthesized")
    return _rows(victim, images.labels, versions, captions, channel)


def synthesized_rows(run: Run, round_taken: int, victim: Victim, channel: int) -> list[MapRow]:
    """A few images of the budget, clean and with their own synthesized triggers; empty if they have none."""
    stored, spec = run.examples_at(round_taken), run.spec()
    if stored is None or stored.shared is not None:
        return []
    chosen = clean_budget(victim.card.dataset, spec.spc, spec.seed).take(stored.indices[:SAMPLES])
    clean = chosen.tensor()
    changed = clean + torch.from_numpy(stored.perturbations[:SAMPLES].astype(np.float32))
    return _rows(victim, chosen.labels, [clean, changed], ("clean", "synthesized"), channel)


def excited(victim: Victim, probe: ProbeImages, channel: int) -> Excited:
    """The probe's clean and triggered images with the highest mean activation of the channel."""
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
    """Attributions of the target label for the first image, triggered if possible, under the three views.

    For a clean control they are those of the image's own class.
    """
    image, label = _versions(victim, images.tensor()[:1])[0][-1], int(images.labels[0])
    wanted = _wanted(victim, label)
    layout, gates = MaskLayout.of(victim.model), [masks.gate(view) for view in GATED]
    cams = [grad_cam(victim.model, layout, gate, image, wanted)[0].numpy() for gate in gates]
    found = [integrated_gradients(victim.model, layout, gate, image, wanted)[0].numpy() for gate in gates]
    said = view_probabilities(victim.model, Gates(masks), GATED, image)[:, 0].numpy()
    return Attributed(_pixels(image)[0], label, wanted, np.stack(cams), np.stack(found), said)


def conducted(victim: Victim, images: LabelledImages, channel: int) -> Conducted:
    """The channel's conductance toward the target for the first image, clean and, if the trigger is known, triggered.

    For a clean control it is that toward the image's own class.
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
    """One channel's mask, selection and gates after each round from 0 to `rounds`."""
    both = torch.from_numpy(np.array(run.mask_history()[: rounds + 1, :, channel]))
    masks = Masks(both[:, 0], both[:, 1], run.masks_at(0).steepness)
    pruned, inverse = masks.gate(View.PRUNED), masks.gate(View.INVERSE)
    return ChannelHistory(masks.mask.numpy(), masks.selection.numpy(), pruned.numpy(), inverse.numpy())


def _wanted(victim: Victim, true: int) -> int:
    """The image's target; for a clean control, the image's own class."""
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
    """Convert float [N, C, H, W] to uint8 [N, H, W, C]; values outside [0, 1] are clipped."""
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
