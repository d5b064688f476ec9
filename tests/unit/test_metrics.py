"""Flags first, shares from them."""

import math

import pytest
import torch
from torch import Tensor, nn

from invmask.measure.metrics import Flags, Measures, answers, defence_effectiveness, flags


def test_flags_say_what_happened_to_each_image():
    result = flags(
        clean_answers=torch.tensor([0, 1, 2, 2]),
        labels=torch.tensor([0, 1, 2, 3]),
        triggered_answers=torch.tensor([0, 2, 1]),
        triggered_labels=torch.tensor([1, 2, 3]),
        targets=0,
    )
    assert result.correct.tolist() == [True, True, True, False]
    assert result.fooled is not None
    assert result.recovered is not None
    assert result.fooled.tolist() == [True, False, False]
    assert result.recovered.tolist() == [False, True, False]
    assert result.measures() == Measures(acc=0.75, asr=1 / 3, ra=1 / 3, n_clean=4, n_triggered=3)


def test_without_a_trigger_there_is_neither_asr_nor_ra():
    measures = flags(torch.tensor([1, 1]), torch.tensor([1, 0])).measures()
    assert measures == Measures(acc=0.5, asr=None, ra=None, n_clean=2, n_triggered=0)


def test_no_image_is_both_fooled_and_recovered():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(1, 10, (500,), generator=generator)
    given = torch.randint(0, 10, (500,), generator=generator)
    result = flags(labels, labels, given, labels, 0)
    assert result.fooled is not None
    assert result.recovered is not None
    assert not bool((result.fooled & result.recovered).any())
    measures = result.measures()
    assert measures.asr is not None
    assert measures.ra is not None
    assert measures.asr == pytest.approx(0.1, abs=0.05)
    assert measures.asr + measures.ra <= 1


def test_images_of_the_target_class_are_refused():
    with pytest.raises(ValueError, match="target class"):
        flags(torch.tensor([0]), torch.tensor([0]), torch.tensor([0, 1]), torch.tensor([0, 1]), 0)


def test_a_share_of_nothing_is_no_number():
    assert math.isnan(Flags(torch.zeros(0, dtype=torch.bool)).measures().acc)


def measures(acc: float, asr: float | None) -> Measures:
    return Measures(acc, asr, None if asr is None else 1 - asr, 100, 90)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((0.9, 1.0), (0.9, 0.0), 1.0),  # all of the backdoor gone at no cost
        ((0.9, 1.0), (0.9, 1.0), 0.5),  # nothing changed
        ((0.9, 0.98), (0.87, 0.03), (0.95 - 0.03 + 1) / 2),
        ((0.9, 0.98), (0.92, 0.03), (0.95 + 1) / 2),  # a gain in accuracy is no credit
        ((0.9, 0.5), (0.8, 0.9), 0.45),  # a stronger backdoor is no further debit
    ],
)
def test_der_weighs_the_drop_of_asr_against_the_drop_of_acc(
    before: tuple[float, float], after: tuple[float, float], expected: float
):
    assert defence_effectiveness(measures(*before), measures(*after)) == pytest.approx(expected)


def test_der_needs_a_trigger():
    assert defence_effectiveness(measures(0.9, None), measures(0.9, None)) is None


class Brightest(nn.Module):
    """Answers the colour channel that is brightest, and remembers the batches it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        return images.mean((2, 3))


def test_answers_are_the_arg_max_batch_by_batch():
    model = Brightest()
    images = torch.zeros(7, 3, 4, 4)
    expected = [0, 1, 2, 2, 1, 0, 1]
    for place, channel in enumerate(expected):
        images[place, channel] = 0.5
    given = answers(model, images, batch_size=3)
    assert (given.tolist(), given.dtype) == (expected, torch.int64)
    assert model.batches == [3, 3, 1]


def test_no_more_images_go_through_a_processor_at_once_than_its_caches_hold():
    model = Brightest()
    answers(model, torch.zeros(150, 3, 4, 4))
    assert model.batches == [64, 64, 22]
