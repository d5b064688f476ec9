"""The pictures of one channel's page: computed once for all sessions, for a handful of images at a time."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch

from invmask.data.budget import clean_budget
from invmask.evidence.activation import feature_maps
from invmask.evidence.attribution import grad_cam, integrated_gradients
from invmask.figures.channel_history import ChannelHistory
from invmask.masks.state import MaskLayout, Masks, View
from invmask.ui import answers, cache, neurons_data
from invmask.ui.samples import to_pixels

SAMPLES = 4
EXCITED = 8


@dataclass(frozen=True)
class MapRow:
    """Versions of one image and the channel's feature map of each.

    Attributes:
        label: the true class.
        captions: of each version.
        pixels: uint8 [V, H, W, C].
        maps: float32 [V, h, w].
    """

    label: int
    captions: tuple[str, ...]
    pixels: np.ndarray
    maps: np.ndarray


@dataclass(frozen=True)
class Excited:
    """Images that excite a channel most, the strongest first: pixels uint8 [E, H, W, C], maps float32 [E, h, w].

    `values` are means over the map, in the layer's units.
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

    `pixels` is the image, uint8 [H, W, C], `label` its true class, `wanted` the attributed one, `probabilities` [3, K].
    """

    pixels: np.ndarray
    label: int
    wanted: int
    cam: np.ndarray
    gradients: np.ndarray
    probabilities: np.ndarray


@st.cache_data(max_entries=64, show_spinner="Asking the channel")
def test_rows(victim: str, stamp: int, channel: int, draw: int) -> list[MapRow]:
    """A few test images clean and, where the trigger is known, triggered."""
    found = cache.victim(victim)
    places = answers.draw(found.card, None, draw, SAMPLES)
    images = answers.clean_and_triggered(victim, stamp, places)
    layout = MaskLayout.of(found.model)
    versions = [images.clean] if images.triggered is None else [images.clean, images.triggered]
    captions = ("clean", "triggered")[: len(versions)]
    maps = [feature_maps(found.model, layout, channel, _tensor(pixels)).numpy() for pixels in versions]
    return [
        MapRow(int(label), captions, np.stack([v[i] for v in versions]), np.stack([m[i] for m in maps]))
        for i, label in enumerate(images.labels)
    ]


@st.cache_data(max_entries=64, show_spinner=False)
def synthesized_rows(run_id: str, round_taken: int, stamp: int, channel: int) -> list[MapRow]:  # noqa: ARG001
    """A few of the budget's images clean and with the round's synthesized trigger; none if it made none."""
    run = cache.store().run(run_id)
    stored, spec = run.examples_at(round_taken), run.spec()
    if stored is None:
        return []
    victim = cache.victim(spec.victim)
    chosen = clean_budget(victim.card.dataset, spec.spc, spec.seed).take(stored.indices[:SAMPLES])
    clean = chosen.tensor()
    changed = clean + torch.from_numpy(stored.perturbations[:SAMPLES].astype(np.float32))
    layout = MaskLayout.of(victim.model)
    maps = [feature_maps(victim.model, layout, channel, images).numpy() for images in (clean, changed)]
    pixels = [to_pixels(images.numpy()) for images in (clean, changed)]
    return [
        MapRow(
            int(label),
            ("clean", "synthesized"),
            np.stack([pixels[0][i], pixels[1][i]]),
            np.stack([maps[0][i], maps[1][i]]),
        )
        for i, label in enumerate(chosen.labels)
    ]


@st.cache_data(max_entries=64, show_spinner=False)
def excited(victim: str, stamp: int, channel: int, per_class: int) -> Excited:  # noqa: ARG001
    """Of the probe's clean and triggered images, those with the highest mean activation of the channel."""
    found = cache.victim(victim)
    _, probe = neurons_data.probe_images(victim, per_class)
    images, labels = probe.images, probe.labels
    if probe.triggered_labels is not None:
        labels = torch.cat([labels, probe.triggered_labels])
    maps = feature_maps(found.model, MaskLayout.of(found.model), channel, images)
    means = maps.mean((1, 2))
    best = means.topk(min(EXCITED, len(means))).indices
    return Excited(
        to_pixels(images[best].numpy()),
        maps[best].numpy(),
        labels[best].numpy(),
        (best >= len(probe.labels)).numpy(),
        means[best].numpy(),
        len(images),
    )


@st.cache_data(max_entries=64, show_spinner="Attributing")
def attributed(run_id: str, round_taken: int, stamp: int, draw: int) -> Attributed:
    """One drawn image, triggered where that is possible, under the three views of the run's masks.

    Attributed is its target; for a clean control, its own class.
    """
    run = cache.store().run(run_id)
    victim = cache.victim(run.spec().victim)
    images = answers.clean_and_triggered(victim.card.name, stamp, answers.draw(victim.card, None, draw, SAMPLES))
    pixels = (images.clean if images.triggered is None else images.triggered)[:1]
    target = victim.card.target_of(int(images.labels[0]))
    wanted = int(images.labels[0]) if target is None else target
    layout, masks, image = MaskLayout.of(victim.model), run.masks_at(round_taken), _tensor(pixels)
    gates = [masks.gate(view) for view in View]
    cams = [grad_cam(victim.model, layout, gate, image, wanted)[0].numpy() for gate in gates]
    found = [integrated_gradients(victim.model, layout, gate, image, wanted)[0].numpy() for gate in gates]
    said = answers.view_probabilities(victim.model, masks, list(View), image)[:, 0].numpy()
    return Attributed(pixels[0], int(images.labels[0]), wanted, np.stack(cams), np.stack(found), said)


@st.cache_data(max_entries=64, show_spinner=False)
def history(run_id: str, rounds: int, channel: int) -> ChannelHistory:
    """One channel after each round from 0 to `rounds`."""
    run = cache.store().run(run_id)
    both = torch.from_numpy(np.array(run.mask_history()[: rounds + 1, :, channel]))
    masks = Masks(both[:, 0], both[:, 1], run.spec().config.steepness)
    pruned, inverse = masks.gate(View.PRUNED), masks.gate(View.INVERSE)
    return ChannelHistory(masks.mask.numpy(), masks.selection.numpy(), pruned.numpy(), inverse.numpy())


def _tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()
