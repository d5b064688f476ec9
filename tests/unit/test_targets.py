"""The target of an image, and what is measured by it."""

import pytest
import torch

from invmask.measure.metrics import flags
from invmask.measure.target_labels import Targets


def test_all_to_one_leaves_the_target_class_out():
    targets, labels = Targets.all_to_one(2, 4), torch.tensor([0, 1, 2, 3, 2])
    assert targets.of(labels).tolist() == [2] * 5
    assert targets.attacked(labels).tolist() == [True, True, False, True, False]
    assert targets.label == 2


def test_all_to_all_is_for_every_image():
    targets, labels = Targets.all_to_all(4), torch.tensor([0, 1, 2, 3])
    assert targets.of(labels).tolist() == [1, 2, 3, 0]
    assert bool(targets.attacked(labels).all())
    assert targets.label is None


@pytest.mark.parametrize("label", [-1, 4])
def test_a_target_that_is_no_class_is_refused(label: int):
    with pytest.raises(ValueError, match="of 4 classes"):
        Targets.all_to_one(label, 4)


def test_asr_of_all_to_all_counts_each_images_own_target():
    labels = torch.tensor([0, 1, 2, 3])
    said = torch.tensor([1, 1, 3, 2])  # the target, the true class, the target, neither
    found = flags(labels, labels, said, labels, Targets.all_to_all(4).of(labels))
    assert found.fooled is not None
    assert found.recovered is not None
    assert found.fooled.tolist() == [True, False, True, False]
    assert found.recovered.tolist() == [False, True, False, False]
    with pytest.raises(ValueError, match="target class"):
        flags(labels, labels, said, labels, labels)
