"""Scores, activation change, conductance and ablation, each against a computation by hand on a narrow network."""

import numpy as np
import pytest
import torch
from torch import nn

from invmask.evidence.ablation import Ablation, Probe, cut_gates, random_sets
from invmask.evidence.activation import activation_change, feature_maps
from invmask.evidence.agreement import overlap, rank_correlation
from invmask.evidence.conductance import channel_conductance, layer_conductance
from invmask.evidence.rankings import cut_counts, first_of, nearest_count
from invmask.evidence.scores import channel_scores, ranking
from invmask.masks import partial_passes
from invmask.masks.attach import attached
from invmask.masks.partial_passes import Resumable
from invmask.masks.state import MaskedLayer, MaskLayout, Masks
from invmask.measure.target_labels import Targets
from invmask.memory import held_bytes

TWO_LAYERS = MaskLayout((MaskedLayer("a", 2, 0), MaskedLayer("b", 4, 2)))


@pytest.fixture
def layout(narrow) -> MaskLayout:
    return MaskLayout.of(narrow)


@pytest.fixture
def probe(test_images) -> Probe:
    images, labels = test_images.tensor()[:24], test_images.label_tensor()[:24]
    others = labels != 0
    triggered = images[others].clone()
    triggered[:, :, -3:, -3:] = 1
    return Probe(images, labels, triggered, labels[others], Targets.all_to_one(0, 10))


def no_hooks(model: nn.Module) -> bool:
    return not any(
        module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__ for module in model.modules()
    )


class TwoDoors(nn.Module):
    """Channel 0 tells the classes apart; channel 1 is faint on every image, and speaks for class 2; 2 is idle."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.head = nn.Linear(3, 3)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.bias.copy_(torch.tensor([0.0, 0.5, 0.0]))
            self.conv.weight[0] = 1.0
            self.head.weight.copy_(torch.tensor([[4.0, 0, 0], [-4.0, 0, 0], [0, 4.0, 0]]))
            self.head.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).mean((2, 3)))


def test_the_score_is_the_part_that_a_cut_channel_has_in_the_move():
    model, images = TwoDoors().eval(), torch.rand(6, 3, 4, 4)
    layout = MaskLayout.of(model)
    cut = Masks(torch.tensor([1.0, 0.0, 0.0]), torch.zeros(3))
    scores = channel_scores(model, layout, cut, images)
    gates = torch.tensor([[1.0, 0.0, 0.0], [1.0, 3.0, 3.0]])
    before, after = (model.head(model.conv(images).mean((2, 3)) * gate).log_softmax(1)[:, 2].mean() for gate in gates)
    # One channel has the whole of it, so that the parts are known: complete up to the steps of the integral.
    assert scores.tolist() == pytest.approx([0, float(1 - torch.exp(before - after)), 0], abs=0.02)
    assert float(scores[1]) > 0.4
    assert no_hooks(model)


def test_nothing_cut_scores_nothing():
    model = TwoDoors().eval()
    layout = MaskLayout.of(model)
    assert channel_scores(model, layout, Masks.initial(layout), torch.rand(2, 3, 4, 4)).tolist() == [0, 0, 0]


def test_equal_scores_rank_in_the_networks_order():
    assert ranking(torch.tensor([0.2, 0.5, 0.5, 0.1])).tolist() == [1, 2, 0, 3]


def test_activation_change_by_hand():
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 2)).requires_grad_(False)
    model[0].weight.copy_(torch.tensor([2.0, -3.0]).reshape(2, 1, 1, 1))
    images = torch.zeros(3, 1, 2, 2)
    changed = images.clone()
    changed[:, :, 0, 0] = 1.0
    # One place of four changes by 1: a quarter of the weight's size.
    found = activation_change(model, MaskLayout.of(model), images, changed)
    assert torch.allclose(found, torch.tensor([0.5, 0.75]))
    assert no_hooks(model)


def test_activation_change_sees_each_layer_of_a_network(narrow, layout, probe):
    images = probe.clean[:6]
    found = activation_change(narrow, layout, images, images.flip(3))
    layer = layout.layers[7]
    seen = []
    handle = dict(narrow.named_modules())[layer.name].register_forward_hook(lambda *call: seen.append(call[2]))
    narrow(images)
    narrow(images.flip(3))
    handle.remove()
    assert torch.allclose(found[layer.slice], (seen[0] - seen[1]).abs().mean((0, 2, 3)), atol=1e-5)
    maps = feature_maps(narrow, layout, layer.offset + 3, images)
    assert torch.allclose(maps, seen[0][:, 3], atol=1e-5)
    assert no_hooks(narrow)


def test_no_hook_is_left_by_a_pass_that_fails(narrow, layout):
    wrong = torch.zeros(1, 5, 8, 8)
    for ask in (
        lambda: activation_change(narrow, layout, wrong, wrong),
        lambda: feature_maps(narrow, layout, 0, wrong),
        lambda: Resumable(narrow, layout, wrong, None, "float32"),
    ):
        with pytest.raises(RuntimeError):
            ask()
    assert no_hooks(narrow)


def test_images_of_other_shapes_are_no_versions(narrow, layout):
    with pytest.raises(ValueError, match="no versions"):
        activation_change(narrow, layout, torch.zeros(2, 3, 8, 8), torch.zeros(1, 3, 8, 8))


def test_conductance_of_a_layer_adds_up_to_the_rise_of_the_logit(narrow, layout, probe):
    """Completeness: the last layer and its shortcut carry everything, for the logits are linear in their sum."""
    narrow.double()
    narrow.mean.data, narrow.std.data = narrow.mean.double(), narrow.std.double()
    clean, triggered = probe.clean[probe.labels != 0][:3].double(), probe.triggered[:3].double()
    parts = layer_conductance(narrow, layout.layers[0], triggered, clean, target=0, steps=200)
    rise = (narrow(triggered) - narrow(clean))[:, 0].mean()
    assert parts.shape == (layout.layers[0].channels,)
    assert float(parts.sum()) == pytest.approx(float(rise), rel=0.02, abs=1e-4)
    assert no_hooks(narrow)


def test_what_flows_through_a_neuron_adds_up_over_the_pixels(narrow, layout, probe):
    layer, images = layout.layers[3], probe.triggered[:2]
    channel = layer.offset + 1
    found = channel_conductance(narrow, layout, channel, images, target=0, steps=300)
    for maps, neuron, inputs in zip(found.maps, found.neurons, found.inputs, strict=True):
        assert inputs.shape == images.shape[2:]
        assert maps[tuple(neuron)] == maps.max()
        assert float(inputs.sum()) == pytest.approx(float(maps.max()), rel=0.05, abs=1e-5)
    whole = layer_conductance(narrow, layer, images, torch.zeros_like(images), target=0, steps=300)
    assert float(found.maps.sum((1, 2)).mean()) == pytest.approx(float(whole[1]), rel=0.01, abs=1e-5)
    assert no_hooks(narrow)


@pytest.mark.parametrize("known", [None, 0.5])
def test_a_resumed_pass_equals_one_from_the_start(narrow, layout, probe, known):
    base = torch.ones(layout.channels) if known is None else torch.full((layout.channels,), known)
    network = Resumable(narrow, layout, probe.clean, base, "float32")
    cuts = [[0], [layout.channels - 1], [layout.layers[8].offset, layout.layers[15].offset], []]
    gates = base.repeat(len(cuts), 1)
    for row, cut in enumerate(cuts):
        gates[row, cut] = 0
    for some in (gates[:1], gates[1:2], gates[2:3], gates[3:], gates):
        found = network.logits(some)
        for gate, logits in zip(some, found, strict=True):
            with attached(narrow, layout, gate):
                assert torch.allclose(logits, narrow(probe.clean), atol=1e-4)
    assert no_hooks(network._model)
    blocks = [network.first_block(layer.offset) for layer in layout.layers]
    assert blocks[0] == 0
    assert blocks[-1] == 8
    assert blocks == sorted(blocks)


def test_a_resumed_pass_keeps_no_more_answers_than_are_allowed_and_is_right_all_the_same(
    narrow, layout, probe, monkeypatch
):
    gates = torch.ones(2, layout.channels)
    gates[0, layout.layers[-1].offset] = gates[1, layout.layers[3].offset] = 0
    whole = Resumable(narrow, layout, probe.clean, None, "float32")
    last = layout.layers[-1].offset
    for share in (0.5, 0.1, 0.0):
        most = int(share * held_bytes([block.output for block in whole._blocks]))
        monkeypatch.setattr(partial_passes, "BLOCK_BYTES", most)
        bound = Resumable(narrow, layout, probe.clean, None, "float32")
        kept = held_bytes([block.output for block in bound._blocks])
        assert kept <= max(most, held_bytes([]))
        assert torch.allclose(bound.logits(gates), whole.logits(gates), atol=1e-4)
        assert (bound.first_block(last) > 0) == (share > 0)
        assert bound.first_block(last) < whole.first_block(last)


def test_cutting_many_at_once_equals_one_by_one(narrow, layout, probe):
    ablation = Ablation(narrow, layout, probe)
    sets = [[channel] for channel in range(0, layout.channels, 11)] + [[1, 2, 3], []]
    together = ablation.cut(sets)
    for channels, measures in zip(sets, together, strict=True):
        modules = dict(narrow.named_modules())
        kept = {}
        for layer in layout.layers:
            weight = modules[layer.name].weight
            kept[layer.name] = weight.clone()
            for channel in channels:
                if layer.slice.start <= channel < layer.slice.stop:
                    weight[channel - layer.offset] = 0
        clean, fooled = narrow(probe.clean).argmax(1), narrow(probe.triggered).argmax(1)
        for name, weight in kept.items():
            modules[name].weight.copy_(weight)
        assert measures.acc == pytest.approx(float((clean == probe.labels).float().mean()))
        assert measures.asr == pytest.approx(float((fooled == 0).float().mean()))
        assert measures.ra == pytest.approx(float((fooled == probe.triggered_labels).float().mean()))
        assert (measures.n_clean, measures.n_triggered) == (24, len(probe.triggered))
    assert sorted(ablation.by_cost()) == list(range(layout.channels))


def test_a_control_has_no_asr(narrow, layout, probe):
    (measures,) = Ablation(narrow, layout, Probe(probe.clean, probe.labels)).cut([[0]])
    assert measures.asr is None
    assert measures.acc is not None


def test_random_sets_come_from_the_same_layers(layout):
    like = [0, 1, layout.layers[5].offset, *range(layout.layers[9].offset, layout.layers[9].offset + 3)]
    sets = random_sets(layout, like, 5, seed=1)
    assert len({tuple(chosen) for chosen in sets}) == 5
    for chosen in sets:
        counts = [sum(layer.slice.start <= c < layer.slice.stop for c in chosen) for layer in layout.layers]
        assert [counts[0], counts[5], counts[9], sum(counts)] == [2, 1, 3, 6]
        assert len(set(chosen)) == len(chosen)
    assert sets == random_sets(layout, like, 5, seed=1) != random_sets(layout, like, 5, seed=2)


def test_gates_of_cuts():
    assert cut_gates(TWO_LAYERS, [[0, 5], []]).tolist() == [[0, 1, 1, 1, 1, 0], [1] * 6]


def test_rank_correlation_by_hand():
    rising = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(rising, np.array([10.0, 20.0, 40.0, 30.0])) == pytest.approx(0.8)
    assert rank_correlation(rising, -(rising**3)) == pytest.approx(-1)
    assert rank_correlation(np.array([1.0, 1.0, 2.0, 3.0]), rising) == pytest.approx(0.9486833)
    assert rank_correlation(np.append(rising, np.nan), np.arange(5.0)) == pytest.approx(1)
    for nothing in (np.full(4, np.nan), np.zeros(4), np.array([1.0, np.nan, np.nan, 2.0])):
        assert np.isnan(rank_correlation(rising, nothing))


def test_overlap_of_two_tops_by_hand():
    found = overlap([7, 3, 9, 1], [1, 2, 3], 12)
    assert (found.shared, found.chance) == (2, 1.0)
    # C(12, 4) = 495 ways: 9 of them share all three, 108 share two.
    assert found.most == 3
    assert overlap([0, 1], [1], 1_000).most == 0
    assert overlap(range(20), range(20), 1_200).most == 2
    # All of the channels are shared, whatever the order.
    assert overlap(range(5), range(5), 5).most == 5


def test_the_first_channels_of_a_ranking_are_those_that_it_accuses():
    values = np.array([0.2, np.nan, 0.5, 0.0, -0.1, 0.5])
    assert first_of("score", values) == [2, 5, 0]
    assert first_of("score", values, 2) == [2, 5]
    # A cut that lowers ASR speaks against a channel.
    assert first_of("asr", values) == [4]
    assert first_of("trigger", np.full(3, np.nan)) == []
    assert cut_counts(11) == (0, 1, 2, 3, 5, 7, 10)
    assert [nearest_count(asked, 11) for asked in (0, 4, 6, 8, 99)] == [0, 3, 5, 7, 10]
    assert nearest_count(10, 0) == 0
