"""What a round costs as the budget and the network grow: SPC 2 to 100 and width 16 to 64, in turn, after warm-up.

The slope is that of log(seconds) over log(images) or log(width) between neighbours: 1 means that twice as much costs
twice as much. A budget of more than 256 images is drawn from in batches of 256, and the cost no longer grows.
A step of the search looks at 32 images, whatever the budget.

    python -m benchmarks.slopes --json
"""

import itertools
import json
import math
import statistics
import sys
from dataclasses import replace

from benchmarks import speed
from benchmarks.rounds import clocked, contestants, state_in
from invmask.defenses.ims.config import Phase, preset
from invmask.defenses.ims.stepper import IMS
from invmask.machine import choose_precision


def main() -> None:
    """Measure, print, and store."""
    parser = speed.parser(__doc__, "slopes")
    parser.add_argument("--spc", nargs="+", type=int, default=[2, 5, 10, 20, 50, 100])
    parser.add_argument("--widths", nargs="+", type=int, default=[16, 24, 32, 48, 64])
    parser.add_argument("--presets", nargs="+", default=["default", "paper"])
    arguments = speed.begin(parser)
    found = {}
    for name in arguments.presets:
        by_spc = {spc: seconds(name, 16, spc, arguments.times, arguments.device) for spc in arguments.spc}
        by_width = {width: seconds(name, width, 10, arguments.times, arguments.device) for width in arguments.widths}
        found[name] = {
            "spc": {"seconds": by_spc, "slopes": slopes(by_spc)},
            "width": {"seconds": by_width, "slopes": slopes(by_width)},
        }
        print(name, json.dumps({axis: of["slopes"] for axis, of in found[name].items()}), file=sys.stderr)
    result = {
        "what": "seconds of one round; SPC at width 16, width at SPC 10",
        "presets": found,
        "precision": choose_precision(arguments.device),
    }
    speed.keep(arguments, result)


def seconds(name: str, width: int, spc: int, times: int, device: str) -> dict[str, list[float]]:
    """Seconds of the timed rounds by phase: the preset's first phase, and minimise."""
    subject, _ = contestants(width, spc, device)
    subject, ims = replace(subject, precision=choose_precision(device)), IMS(preset(name))
    taken = {}
    for phase in (Phase.SEARCH if ims.config.rounds_search else Phase.INITIALISE, Phase.MINIMISE):
        state = state_in(subject, ims, phase)
        every = [clocked(lambda _, state=state: ims.step(subject, state), phase, device) for _ in range(times + 1)]
        taken[phase.value] = every[1:]
    return taken


def slopes(measured: dict[int, dict[str, list[float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """The slope between neighbours, by phase: mean and standard deviation of its estimates.

    Timings of two neighbours are paired in the order in which they were measured.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for phase in next(iter(measured.values())):
        found[phase] = {}
        for first, second in itertools.pairwise(sorted(measured)):
            pairs = zip(measured[first][phase], measured[second][phase], strict=True)
            each = [math.log(after / before) / math.log(second / first) for before, after in pairs]
            spread = statistics.stdev(each) if len(each) > 1 else 0.0
            found[phase][f"{first} to {second}"] = {"mean": statistics.fmean(each), "spread": spread}
    return found


if __name__ == "__main__":
    main()
