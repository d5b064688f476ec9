"""Properties that pin the mask algebra, over any masks, selections and steepness."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from invmask.masks.algebra import effective_mask, inverse_mask, soft_step
from invmask.masks.state import Masks, Sparsity, View

UNIT = st.floats(0, 1, allow_subnormal=False)
STEEPNESS = st.floats(1, 100)
VECTORS = st.lists(st.tuples(UNIT, UNIT), min_size=1, max_size=40)
TYPES = [torch.float32, torch.float64]


def unzip(pairs: list[tuple[float, float]], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    mask, selection = torch.tensor(pairs, dtype=dtype).unbind(1)
    return mask, selection


@given(VECTORS, STEEPNESS)
def test_the_two_masks_add_up_to_one_plus_selection(pairs: list[tuple[float, float]], steepness: float):
    mask, selection = unzip(pairs)
    total = effective_mask(mask, selection, steepness) + inverse_mask(mask, selection, steepness)
    torch.testing.assert_close(total, 1 + selection, rtol=0, atol=1e-12)


@given(VECTORS, STEEPNESS)
def test_where_selected_the_masks_are_complements(pairs: list[tuple[float, float]], steepness: float):
    mask, _ = unzip(pairs)
    selected = torch.zeros_like(mask)
    assert torch.equal(effective_mask(mask, selected, steepness), soft_step(mask, steepness))
    torch.testing.assert_close(
        inverse_mask(mask, selected, steepness), 1 - soft_step(mask, steepness), rtol=0, atol=1e-12
    )


@given(VECTORS, STEEPNESS)
def test_inverting_twice_is_the_identity(pairs: list[tuple[float, float]], steepness: float):
    mask, selection = unzip(pairs)
    masks = Masks(mask, selection, steepness)
    twice = masks.inverted().inverted()
    for view in View:
        torch.testing.assert_close(twice.gate(view), masks.gate(view), rtol=0, atol=1e-12)


@given(VECTORS, STEEPNESS)
def test_inverting_swaps_the_pruned_and_the_inverse_view(pairs: list[tuple[float, float]], steepness: float):
    mask, selection = unzip(pairs)
    masks = Masks(mask, selection, steepness)
    assert torch.equal(masks.inverted().gate(View.PRUNED), masks.gate(View.INVERSE))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@given(pairs=VECTORS, steepness=STEEPNESS)
def test_what_is_not_selected_is_left_alone_exactly(
    dtype: torch.dtype, pairs: list[tuple[float, float]], steepness: float
):
    mask, _ = unzip(pairs, dtype)
    untouched = torch.ones_like(mask)
    assert torch.equal(effective_mask(mask, untouched, steepness), untouched)
    assert torch.equal(inverse_mask(mask, untouched, steepness), untouched)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@given(pairs=VECTORS, steepness=STEEPNESS)
@example(pairs=[(0.125, 0.9999999999999999)], steepness=1.0)
def test_gates_stay_between_zero_and_one(dtype: torch.dtype, pairs: list[tuple[float, float]], steepness: float):
    mask, selection = unzip(pairs, dtype)
    for gate in (effective_mask(mask, selection, steepness), inverse_mask(mask, selection, steepness)):
        assert gate.dtype == dtype
        assert bool((gate >= 0).all())
        assert bool((gate <= 1).all())
        # A gate may raise a selected channel, never lower it below its selection, but for the last bit's rounding.
        assert bool((gate >= selection - torch.finfo(dtype).eps).all())


@given(UNIT, UNIT, UNIT, UNIT, STEEPNESS)
def test_more_mask_keeps_more_in_the_pruned_view_and_less_in_the_inverse(
    a: float, b: float, s: float, t: float, steepness: float
):
    masks = torch.tensor(sorted([a, b]), dtype=torch.float64)
    selections = torch.tensor(sorted([s, t]), dtype=torch.float64)
    low, high = effective_mask(masks, selections[:1], steepness)
    assert low <= high + 1e-12
    low, high = inverse_mask(masks, selections[:1], steepness)
    assert high <= low + 1e-12
    low, high = effective_mask(masks[:1], selections, steepness)
    assert low <= high + 1e-12


@given(VECTORS)
def test_sparsity_counts_each_kind_of_channel(pairs: list[tuple[float, float]]):
    mask, selection = unzip(pairs, torch.float32)
    masks = Masks(mask, selection)
    counts = Sparsity.of(masks)
    pruned, cut = masks.gate(View.PRUNED).tolist(), masks.gate(View.INVERSE).tolist()
    assert counts.channels == len(pairs)
    assert counts.selected == sum(s < 0.5 for s in selection.tolist())
    assert counts.pruned == sum(gate < 0.5 for gate in pruned)
    assert counts.inverse_cut == sum(gate < 0.5 for gate in cut)
    # As m + m-bar = 1 + s, no channel is cut in both views, and only a selected one in either.
    assert counts.pruned + counts.inverse_cut <= counts.selected
    first = Sparsity.of(masks, slice(0, 1))
    assert (first.channels, first.selected) == (1, int(selection[0] < 0.5))


def test_the_soft_step_is_half_at_one_half_and_nearly_hard_at_its_ends():
    step = soft_step(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), 20.0)
    assert step[1] == 0.5
    assert step[0] == pytest.approx(4.54e-5, rel=1e-3)
    assert step[2] == pytest.approx(1 - 4.54e-5, rel=1e-6)
