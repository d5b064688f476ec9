"""The channel map of Defend's stage: every channel, in whatever room there is."""

import numpy as np
import pytest

from invmask.figures.channels import cell_places, channel_at, map_ranges
from invmask.figures.stage_map import LOWEST, MOST_ROWS, stage_columns, stage_map
from tests.unit.test_figures_defend import LAYERS, STATE, Layer, texts


def wide(layers: int, channels: int) -> tuple[Layer, ...]:
    return tuple(Layer(f"blocks.{place}.linear", channels, place * channels) for place in range(layers))


def test_every_channel_has_its_number_and_the_whole_network_its_counts():
    figure = stage_map(STATE, "pruned", "light")
    (cells,) = figure.data
    values = np.array(cells.z, dtype=float)
    np.testing.assert_allclose(values[~np.isnan(values)], STATE.pruned_gate)
    (words,) = texts(figure)
    for told in ("4 selected", "2 pruned", "2 cut in inverse", " of 8"):
        assert told in words


@pytest.mark.parametrize("layers", [LAYERS, wide(21, 64), wide(60, 512), wide(100, 3072)])
def test_a_click_on_a_cell_finds_its_channel(layers: tuple[Layer, ...]):
    columns = stage_columns(layers)
    (left, right), (bottom, top) = map_ranges(columns, cell_places(layers, columns)[3])
    x, y, *_ = cell_places(layers, columns)
    for channel in (0, len(x) // 2, len(x) - 1):
        across, down = (x[channel] + 0.5 - left) / (right - left), (y[channel] + 0.5 - top) / (bottom - top)
        assert channel_at(layers, across, down, columns) == channel


def test_a_large_network_has_wider_rows_and_names_apart():
    assert stage_columns(LAYERS) == 64
    assert stage_columns(wide(60, 512)) == 512
    state = STATE.__class__(wide(60, 64), *(np.ones(60 * 64) for _ in range(4)))
    figure = stage_map(state, "selection", "dark")
    bottom, top = figure.layout.yaxis.range
    assert bottom - top > MOST_ROWS
    assert len(figure.layout.yaxis.tickvals) < 60
    apart = np.diff(figure.layout.yaxis.tickvals) / (bottom - top) * LOWEST
    assert 12 < apart.min() < 30
