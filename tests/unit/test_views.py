"""Fates of single images, and the three views' probabilities against masks put on by hand."""

import pytest
import torch

from invmask.masks.repair import Gates
from invmask.masks.state import GATED, MaskLayout, Masks, View
from invmask.measure.target_labels import Targets
from invmask.measure.views import FATE_EXPLANATIONS, Fate, ViewAnswers, fate, view_probabilities

TARGET, TRUE, OTHER, ANOTHER = 0, 1, 2, 3


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (TARGET, TRUE, Fate.RECOVERED),
        (OTHER, TRUE, Fate.RECOVERED),
        (TARGET, TARGET, Fate.STILL_FOOLED),
        (TRUE, TARGET, Fate.NEWLY_WRONG),
        (TRUE, OTHER, Fate.NEWLY_WRONG),
        (TARGET, OTHER, Fate.OTHERWISE_WRONG),
        (OTHER, TARGET, Fate.OTHERWISE_WRONG),
        (OTHER, ANOTHER, Fate.OTHERWISE_WRONG),
        (TRUE, TRUE, Fate.UNCHANGED),
        (OTHER, OTHER, Fate.UNCHANGED),
    ],
)
def test_the_fate_of_a_triggered_image(before, after, expected):
    assert fate(before, after, TRUE, TARGET) is expected


def test_a_clean_image_cannot_be_fooled():
    assert fate(TARGET, TARGET, TRUE, None) is Fate.UNCHANGED


def test_every_fate_is_explained():
    assert set(FATE_EXPLANATIONS) == set(Fate)


def test_fates_compare_with_the_original_view():
    probabilities = torch.eye(4)[torch.tensor([[0, 0, 1], [1, 0, 1], [0, 2, 0]])]
    answers = ViewAnswers(probabilities, torch.tensor([1, 1, 1]), targets=Targets.all_to_one(0, 3))
    assert answers.answers(View.PRUNED).tolist() == [1, 0, 1]
    assert answers.fates(View.ORIGINAL) == [Fate.STILL_FOOLED, Fate.STILL_FOOLED, Fate.UNCHANGED]
    assert answers.fates(View.PRUNED) == [Fate.RECOVERED, Fate.STILL_FOOLED, Fate.UNCHANGED]
    assert answers.fates(View.INVERSE) == [Fate.STILL_FOOLED, Fate.OTHERWISE_WRONG, Fate.NEWLY_WRONG]


def test_probabilities_are_those_of_gated_layers(narrow, test_images):
    layout = MaskLayout.of(narrow)
    generator = torch.Generator().manual_seed(3)
    masks = Masks(*torch.rand(2, layout.channels, generator=generator))
    images = test_images.tensor()[:20]
    found = view_probabilities(narrow, Gates(masks), GATED, images)
    assert found.shape == (3, 20, 10)

    # The weights themselves scaled by the gates: the same views, without a hook.
    modules = dict(narrow.named_modules())
    for row, view in enumerate(GATED):
        gate, kept = masks.gate(view), {}
        for layer in layout.layers:
            weight = modules[layer.name].weight
            kept[layer.name] = weight.clone()
            weight.mul_(gate[layer.slice].reshape(-1, 1, 1, 1))
        expected = narrow(images).softmax(1)
        for name, weight in kept.items():
            modules[name].weight.copy_(weight)
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-4)
    assert not any(module._forward_hooks for module in narrow.modules())
