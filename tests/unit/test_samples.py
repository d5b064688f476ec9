"""Tiny images on screen: lossless, differences made visible, and nothing that people typed becomes HTML."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from invmask.frames.samples import by_turns
from invmask.measure.views import Fate
from invmask.ui.flip import flip_choice
from invmask.ui.parts.samples import amplified, image_data_uri, percent, to_pixels
from invmask.ui.shell.names import architecture_title, target_title, victim_label, victim_title
from invmask.victims.victim import VictimCard


def card(architecture: str, attack: str) -> VictimCard:
    return VictimCard("name", "cifar10", architecture, attack, 0.1, 0, 0.9, 0.9, 0.1, 10_000)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_survives_its_address(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, channels), dtype=np.uint8)
    kind, _, content = image_data_uri(pixels).partition(",")
    assert kind == "data:image/png;base64"
    again = np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).reshape(pixels.shape)
    assert np.array_equal(again, pixels)


def test_what_lies_outside_the_range_is_clipped():
    images = np.array([-0.5, 0.0, 0.5, 1.0, 1.5, 0.25]).reshape(1, 3, 1, 2)
    assert to_pixels(images).transpose(0, 3, 1, 2).ravel().tolist() == [0, 0, 128, 255, 255, 64]


def test_differences_span_the_range():
    differences = np.array([0.0, 0.1, -0.2]).reshape(1, 1, 1, 3)
    signed, factor = amplified(differences)
    assert factor == pytest.approx(2.5)
    assert signed.ravel().tolist() == [128, 191, 0]
    unsigned, factor = amplified(differences, signed=False)
    assert factor == pytest.approx(5)
    assert unsigned.ravel().tolist() == [0, 128, 255]
    assert amplified(np.zeros((1, 3, 2, 2)))[1] == 1


def test_shares_are_read_in_per_cent():
    assert percent(0.95567) == "95.6 %"
    assert percent(None) == "–"
    assert percent(float("nan")) == "–"


def test_victims_have_human_names():
    assert victim_title(card("preactresnet18w16", "badnets")) == "CIFAR-10 · PreActResNet-18, quarter width · BadNets"
    assert architecture_title("preactresnet18") == "PreActResNet-18"
    assert architecture_title("preactresnet18w24") == "PreActResNet-18, width 24"
    assert architecture_title("somebody's") == "somebody's"
    wide, narrow = card("preactresnet18", "sig"), card("preactresnet18w16", "sig")
    control = card("preactresnet18", "clean")
    assert victim_label(wide, [wide, control]) == "SIG · PreActResNet-18"
    assert victim_label(card("preactresnet18w16", "iab"), [wide, control]) == "IAB · PreActResNet-18"
    rare = replace(narrow, poisoning_ratio=0.01, labels="all-to-all", target_label=None)
    assert victim_label(rare, [narrow, rare]) == "SIG, 1\u00a0%, all-to-all · PreActResNet-18"
    assert (target_title(rare), target_title(narrow)) == ("the next class", "airplane")
    assert victim_label(narrow, [narrow, rare]) == "SIG · PreActResNet-18"
    assert victim_label(narrow, [wide, narrow]) == "SIG · PreActResNet-18, quarter width"
    small = card("vitw64", "sig")
    assert victim_label(small, [wide, small]) == "SIG · ViT, small"
    assert victim_label(wide, [wide, small]) == "SIG · PreActResNet-18"
    # The data set of the fewest is named, and of two of one kind there the network, too.
    grey, grey_small = replace(narrow, dataset="mnist"), replace(small, dataset="mnist")
    assert victim_label(narrow, [grey, narrow, control]) == "SIG · PreActResNet-18"
    assert victim_label(grey, [grey, narrow, control]) == "SIG · MNIST"
    among = [grey, grey_small, narrow, wide, control]
    assert victim_label(narrow, among) == "SIG · PreActResNet-18, quarter width"
    assert victim_label(grey, among) == "SIG · MNIST · PreActResNet-18"
    among += [control, replace(wide, dataset="mnist")]
    assert victim_label(grey, among) == "SIG · MNIST · PreActResNet-18, quarter width"
    mine = replace(narrow, name="mine")
    assert victim_label(mine, [narrow, mine]) == "SIG · mine"
    assert victim_label(narrow, [narrow, mine]) == f"SIG · {narrow.name}"


def test_the_classes_take_turns():
    assert by_turns([1, 1, 1, 2, 2, 3]) == [0, 3, 5, 1, 4, 2]


def test_filters_keep_the_order_and_picks_their_own():
    fates = [Fate.RECOVERED, Fate.STILL_FOOLED, Fate.UNCHANGED, Fate.RECOVERED, Fate.NEWLY_WRONG]
    order = [4, 3, 2, 1, 0]
    assert flip_choice.chosen("all", fates, (), order) == order
    assert flip_choice.chosen("changed", fates, (), order) == [4, 3, 0]
    assert flip_choice.chosen("recovered", fates, (), order) == [3, 0]
    assert flip_choice.chosen("picked", fates, (3, 1), order) == [3, 1]
