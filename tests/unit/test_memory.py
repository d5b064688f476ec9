"""Caches are bounded by the bytes of what they hold: counted once where it is shared, and all of it."""

import ast
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from PIL import Image
from torch import nn

from invmask.masks.attach import sharing_copy
from invmask.memory import MIB, bounded, held_bytes, least_recent_first, measure_again
from invmask.ui.shell import shared_results
from tests.unit.run_helpers import ROOT

SLACK = 20_000
"""Bytes that Python's own objects around the numbers may take."""


@dataclass(frozen=True)
class Slotted:
    __slots__ = ("inside",)
    inside: object


@dataclass
class Nested:
    tensors: dict[str, Any] = field(default_factory=dict)


ONE = torch.zeros(MIB // 4)
WHOLE = np.zeros(4 * MIB, np.uint8)
LINEAR = nn.Linear(512, 512, bias=False)


@pytest.mark.parametrize(
    ("value", "mebibytes"),
    [
        (ONE, 1),
        ([ONE, ONE, ONE[:5], ONE.view(2, -1)], 1),
        ([ONE, ONE.numpy()], 1),
        ([torch.from_numpy(WHOLE), WHOLE[:7]], 4),
        # A part keeps all of it in memory.
        (WHOLE[::2][:3], 4),
        (np.broadcast_to(WHOLE, (9, 4 * MIB)), 4),
        ({"a": ONE, "b": [ONE.clone(), (ONE.clone(),)]}, 3),
        (LINEAR, 1),
        ([LINEAR, sharing_copy(LINEAR)], 1),
        (Slotted(Nested({"deep": SimpleNamespace(inside=ONE)})), 1),
        (np.array([ONE, None], dtype=object), 1),
        (b"x" * (2 * MIB), 2),
        ("x" * MIB, 1),
        (Image.new("RGB", (1024, 1024)), 3),
        (ONE.expand(50, -1), 1),
        (torch.zeros(MIB // 4, device="meta"), 0),
        (None, 0),
        (torch.nn, 0),
    ],
)
def test_what_a_value_holds_is_counted_once(value: object, mebibytes: float):
    held = held_bytes(value)
    assert mebibytes * MIB <= held <= mebibytes * MIB + SLACK


def test_what_is_bounded_by_a_number_is_small():
    """Caches of tensors, images or figures are bounded in bytes: `memory.bounded`, `ui.shell.shared_results`."""
    by_number = {
        ("victims/make.py", "check_network"),
        ("data/folders.py", "_classes"),
        ("data/own.py", "_read"),
        ("figures/paper.py", "_paper_colours"),
        ("figures/template.py", "template"),
        # Names and shapes, no weights.
        ("models/proposals.py", "_tensors_of"),
        ("models/proposals.py", "own_table"),
        ("runs/store/staleness.py", "_of_bytes"),
        ("ui/shell/cache.py", "_built_in_runs"),
        ("ui/shell/cache.py", "_card"),
        ("ui/shell/cache.py", "_executor"),
        ("ui/shell/cache.py", "_listing"),
        ("ui/shell/cache.py", "_warm_up"),
        ("ui/shell/crowd.py", "_crowd"),
        ("ui/shell/password.py", "_tries"),
        ("ui/export/sections.py", "_figures"),
    }
    found = set()
    for path in (ROOT / "invmask").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            decorators = [ast.unparse(of) for of in getattr(node, "decorator_list", [])]
            if any(word in of for of in decorators for word in ("lru_cache", "cache_data", "cache_resource")):
                found.add((str(path.relative_to(ROOT / "invmask")), node.name))
    assert found == by_number


def test_a_figure_holds_what_it_shows():
    def figure(points: int) -> go.Figure:
        return go.Figure(go.Scatter(x=[0.5 + place for place in range(points)], y=["word"] * points))

    small, large = held_bytes(figure(10)), held_bytes(figure(10_000))
    # A list's place and a number's own bytes for x, a place in y.
    assert 10_000 * (8 + 24 + 8) <= large - small <= 10_000 * (8 + 24 + 8) * 1.5


def test_a_ring_of_references_is_walked_once():
    ring: list[object] = [ONE]
    ring.append(ring)
    assert held_bytes(ring) <= MIB + SLACK


def test_what_was_not_used_for_longest_goes_first_and_the_bound_holds():
    made = []

    @bounded(3 * MIB + SLACK)
    def make(number: int, mebibytes: int = 1) -> torch.Tensor:
        made.append(number)
        return torch.zeros(mebibytes * MIB // 4)

    for number in (0, 1, 2, 0, 3, 0, 2, 1):
        make(number)
    assert made == [0, 1, 2, 3, 1]
    cache = make.cache  # type: ignore[attr-defined]
    assert [key[0] for key in cache] == [0, 2, 1]
    assert held_bytes(list(cache.values())) <= 3 * MIB + SLACK
    # One that takes all the room sends the others away; one that is larger is given out, and not kept.
    make(7, 3)
    assert [key[0] for key in cache] == [7]
    assert make(8, 4).nbytes == 4 * MIB
    assert [key[0] for key in cache] == [7]
    assert make(8, 4).nbytes == 4 * MIB
    assert made[-3:] == [7, 8, 8]


def test_the_latest_may_stay_though_it_is_too_large_and_then_is_alone():
    cache = least_recent_first(2 * MIB, latest_stays=True)
    cache["small"] = torch.zeros(MIB // 8)
    cache["large"] = torch.zeros(MIB)
    assert list(cache) == ["large"]
    cache["small"] = torch.zeros(MIB // 8)
    assert list(cache) == ["small"]


def test_what_has_come_to_hold_more_is_measured_again():
    cache, values = least_recent_first(3 * MIB + SLACK), [[torch.zeros(MIB // 4)] for _ in range(3)]
    for place, value in enumerate(values):
        cache[place] = value
    measure_again(cache)
    assert list(cache) == [0, 1, 2]
    values[1].append(torch.zeros(MIB // 4))
    measure_again(cache)
    assert list(cache) == [1, 2]


def test_threads_that_ask_at_once_wait_for_the_first_and_errors_are_not_kept():
    begun, may_end, calls = threading.Event(), threading.Event(), []

    @bounded(MIB)
    def slow(fails: bool) -> bytes:
        calls.append(fails)
        begun.set()
        assert may_end.wait(20)
        if fails:
            raise ValueError("not this time")
        return b"found"

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(slow, False) for _ in range(4)]
        assert begun.wait(20)
        may_end.set()
        assert [found.result() for found in asked] == [b"found"] * 4
    assert calls == [False]
    for _ in range(2):
        with pytest.raises(ValueError, match="not this time"):
            slow(True)
    assert calls == [False, True, True]


def test_many_threads_leave_a_cache_within_its_bound():
    @bounded(4 * MIB)
    def make(number: int) -> np.ndarray:
        return np.full(MIB // 2, number, np.uint8)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(make, [place % 23 for place in range(400)]))
    assert [array[0] for array in found] == [place % 23 for place in range(400)]
    cache = make.cache  # type: ignore[attr-defined]
    assert 2 * MIB < sum(map(held_bytes, cache.values())) <= 4 * MIB


def test_pages_have_copies_within_a_bound_or_share_the_same():
    calls = []

    @shared_results.copied(2 * MIB)
    def copied(number: int) -> np.ndarray:
        calls.append(number)
        return np.zeros(MIB - 1_000, np.uint8)

    copied(0)[0] = 9
    assert copied(0)[0] == 0
    for number in (1, 0, 2, 0, 1):
        copied(number)
    assert calls == [0, 1, 2, 1]

    @shared_results.shared(2 * MIB, key=lambda of, *how: (of["id"], *how), spinner="Looking")
    def shared(of: dict[str, int], how: str) -> list[object]:
        return [of, how]

    assert shared({"id": 1}, "x") is shared({"id": 1, "more": 2}, "x")
    assert shared({"id": 1}, "x") is not shared({"id": 1}, "y")
