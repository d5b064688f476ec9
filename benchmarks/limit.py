"""How near a round comes to what the machine's convolutions allow.

Every convolution that a round of the engine computes, forwards and backwards, is written down with its shapes and type.
Each distinct one is then timed by itself, in the memory format that suits it best. The limit is the time that these
convolutions would take at that speed, with nothing between them; the share is the limit over the time of the round.
The operations of a round as published are counted beside it: no machine can make the engine faster against it than
their ratio, times what lower precision and a greater share of the limit gain.

    python -m benchmarks.limit --json
"""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import speed
from benchmarks.rounds import PHASES, clocked, contestants, state_in
from invmask.defenses.ims.config import Phase, preset
from invmask.defenses.ims.stepper import IMS
from invmask.machine import Precision, has_bfloat16

FORMATS = (torch.channels_last, torch.contiguous_format)
aten = torch.ops.aten


class Convolutions(TorchDispatchMode):
    """Counts the convolutions computed within the block, by direction, shapes, dtype and settings."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[Any, ...]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is aten.convolution.default:
            x, weight, _bias, stride, padding, dilation, _t, _o, groups = args
            self._add("forward", x, weight, (stride, padding, dilation, groups), (False, False))
        elif func is aten.convolution_backward.default:
            _g, x, weight, _b, stride, padding, dilation, _t, _o, groups, mask = args
            self._add("backward", x, weight, (stride, padding, dilation, groups), tuple(mask[:2]))
        return func(*args, **(kwargs or {}))

    def _add(self, way: str, x: Tensor, weight: Tensor, how: tuple[Any, ...], wanted: tuple[bool, bool]) -> None:
        how = tuple(tuple(part) if isinstance(part, list) else part for part in how)
        self.found[way, tuple(x.shape), tuple(weight.shape), x.dtype, how, wanted] += 1


def main() -> None:
    """Measure, print, and store."""
    parser = speed.parser(__doc__, "limit")
    parser.add_argument("--widths", nargs="+", type=int, default=[16, 64])
    parser.add_argument("--spc", type=int, default=10)
    arguments = speed.begin(parser)
    precisions: list[Precision] = ["float32"]
    if has_bfloat16(arguments.device):
        precisions.append("bfloat16")
    found = {
        f"width{width}": {
            precision: share(width, arguments.spc, precision, arguments.times, arguments.device)
            for precision in precisions
        }
        for width in arguments.widths
    }
    result = {
        "what": "share: time that a round's convolutions take by themselves, over the time of the round "
        "(`paper`, phase minimise)",
        "widths": found,
        "spc": arguments.spc,
    }
    speed.keep(arguments, result)
    for width, by_precision in found.items():
        for precision, of in by_precision.items():
            print(
                f"{width} {precision}: {100 * of['share']:.0f} % of the limit, {of['gflops']:.0f} GFLOP/s in a round, "
                f"{of['flop_as_published'] / of['flop']:.2f} times fewer operations than as published",
                file=sys.stderr,
            )


def share(width: int, spc: int, precision: Precision, times: int, device: str) -> dict[str, Any]:
    """The share of the limit of one round in the second phase."""
    subject, plain = contestants(width, spc, device)
    subject = replace(subject, precision=precision)
    ims = IMS(preset("paper"))
    state = state_in(subject, ims, Phase.MINIMISE)
    with Convolutions() as counter:
        ims.step(subject, state)
    alone = sum(count * fastest(*kind, times=times, device=device) for kind, count in counter.found.items())
    rounds = [clocked(lambda _: ims.step(subject, state), Phase.MINIMISE, device) for _ in range(times)]
    operations = sum(count * flops(*kind) for kind, count in counter.found.items())
    plain.begin_phase()
    with Convolutions() as published:
        plain.round(1 + PHASES.index(Phase.MINIMISE))
    return {
        "share": alone / statistics.median(rounds),
        "limit_seconds": alone,
        "round_seconds": rounds,
        "convolutions": sum(counter.found.values()),
        "flop": operations,
        "flop_as_published": sum(count * flops(*kind) for kind, count in published.found.items()),
        "gflops": operations / statistics.median(rounds) / 1e9,
        "gflops_limit": operations / alone / 1e9,
    }


def flops(
    way: str,
    x: tuple[int, ...],
    weight: tuple[int, ...],
    dtype: torch.dtype,  # noqa: ARG001
    how: tuple[Any, ...],
    wanted: tuple[bool, bool],
) -> int:
    """Floating-point operations; a multiplication with an addition counts as two."""
    (stride, padding, dilation, _), (_, _, height, width) = how, x
    out = [
        (size + 2 * pad - step * (kernel - 1) - 1) // over + 1
        for size, pad, step, kernel, over in zip((height, width), padding, dilation, weight[2:], stride, strict=True)
    ]
    once = 2 * x[0] * out[0] * out[1] * weight[0] * weight[1] * weight[2] * weight[3]
    return once if way == "forward" else once * sum(wanted)


def fastest(
    way: str,
    x: tuple[int, ...],
    weight: tuple[int, ...],
    dtype: torch.dtype,
    how: tuple[Any, ...],
    wanted: tuple[bool, bool],
    *,
    times: int,
    device: str,
) -> float:
    """Seconds of one such convolution: the median of `times` runs, in the faster memory format."""
    stride, padding, dilation, groups = how
    found = []
    for memory in FORMATS:
        images = torch.randn(x, dtype=dtype, device=device).contiguous(memory_format=memory)
        filters = torch.randn(weight, dtype=dtype, device=device).contiguous(memory_format=memory)

        def forward(images: Tensor = images, filters: Tensor = filters) -> Tensor:
            return aten.convolution(images, filters, None, stride, padding, dilation, False, [0, 0], groups)

        run: Callable[[], Any] = forward
        if way == "backward":
            gradient = torch.randn_like(forward())

            def backward(images: Tensor = images, filters: Tensor = filters, gradient: Tensor = gradient) -> Any:
                mask = [*wanted, False]
                return aten.convolution_backward(
                    gradient, images, filters, None, stride, padding, dilation, False, [0, 0], groups, mask
                )

            run = backward
        taken = []
        with torch.no_grad():
            for _ in range(times + 2):
                started = time.perf_counter()
                run()
                if device.startswith("cuda"):
                    torch.cuda.synchronize()
                taken.append(time.perf_counter() - started)
        found.append(statistics.median(taken[2:]))
    return min(found)


if __name__ == "__main__":
    main()
