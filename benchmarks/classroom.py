"""A class on one machine: readers of the dashboard who each begin a Fashion-MNIST defence and go on clicking.

The readers speak Streamlit's own protocol (`benchmarks/streamlit_session.py`), so nothing is drawn in a browser. They
come within `--arrive` seconds, begin a run each, and then click every `--pause` seconds on average: the same run on
Flip, Start, Defend and Results, and a round back and on. A click has answered when all of the page has been sent.

    python -m benchmarks.classroom --readers 30 --seconds 300
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from websockets.exceptions import ConnectionClosed

from benchmarks.streamlit_session import Reader
from invmask.errors import UserError
from invmask.machine import choose_precision, processor
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RunState
from invmask.victims.victim import versions
from tests.browser.dashboard import Dashboard, dashboard

RESULT = Path(__file__).parent / "results" / "classroom.json"
VICTIM = "fashionmnist-cnn4-badnets"
PAGES = ("flip", "start", "defend", "results")
SAMPLE_SECONDS = 5.0
WARM_SECONDS = 10.0
MIB = 1 << 20


@dataclass
class Seen:
    """What was measured.

    Attributes:
        clicks: seconds to the answer of each click, by what was clicked.
        failed: sentences about clicks that got no answer.
        samples: the machine and the runs every few seconds.
    """

    clicks: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: list[str] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=300, help="for so long they click, once all have begun")
    parser.add_argument("--arrive", type=float, default=60, help="within so many seconds all come")
    parser.add_argument("--pause", type=float, default=10, help="seconds between two clicks of a reader, on average")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--note", default="", help="what else the machine was doing")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, dashboard(Path(home), workers=arguments.workers) as served:
        seen, readers = asyncio.run(play(served, arguments))
        rounds = progress(served.home)
    result = summary(seen, readers, rounds, arguments)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name != "samples"}, indent=1))


async def play(served: Dashboard, arguments: argparse.Namespace) -> tuple[Seen, list[Reader]]:
    """Have all readers come, begin and click; returns what was measured, and the readers."""
    seen, readers = Seen(), [Reader(served.url) for _ in range(arguments.readers)]
    await begin(served)
    until = time.monotonic() + arguments.arrive + arguments.seconds
    sampler = asyncio.create_task(sample(served, seen, until))
    work = [
        read(reader, number, number * arguments.arrive / arguments.readers, until, arguments.pause, seen)
        for number, reader in enumerate(readers)
    ]
    await asyncio.gather(*work)
    await sampler
    return seen, readers


async def begin(served: Dashboard) -> None:
    """The teacher opens the dashboard before the class comes: it loads torch and a victim, and starts its workers."""
    teacher = Reader(served.url)
    await teacher.open("", f"victim={VICTIM}")
    for page in ("defend", "flip", "results"):
        await teacher.go_to(page)
    await asyncio.sleep(WARM_SECONDS)
    await teacher.close()


async def read(reader: Reader, number: int, wait: float, until: float, pause: float, seen: Seen) -> None:
    """One reader, from coming to leaving."""
    chance = random.Random(number)
    await asyncio.sleep(wait)
    try:
        seen.clicks["open Defend"].append(await reader.open("defend", f"victim={VICTIM}&seed={number}"))
        seen.clicks["Run"].append(await reader.press("Run"))
        while time.monotonic() < until:
            await asyncio.sleep(chance.uniform(0.5, 1.5) * pause)
            back = "One round back"
            if back in reader.enabled and chance.random() < 0.5:
                seen.clicks[back].append(await reader.press(back))
                continue
            page = chance.choice([name for name in PAGES if reader.page != reader.pages.get(path(name))])
            seen.clicks[f"to {page.title()}"].append(await reader.go_to(path(page)))
    except (OSError, KeyError, TimeoutError, ConnectionClosed) as error:
        seen.failed.append(f"reader {number}: {type(error).__name__} {error}")
    finally:
        await reader.close()


def path(page: str) -> str:
    """A page's path; Start has none."""
    return "" if page == "start" else page


async def sample(served: Dashboard, seen: Seen, until: float) -> None:
    """Note memory and rounds every few seconds."""
    began = time.monotonic()
    while time.monotonic() < until:
        memory = [resident(psutil.Process(served.process.pid)), [resident(child) for child in served.descendants()]]
        rounds = await asyncio.to_thread(progress, served.home)
        seen.samples.append(
            {
                "second": round(time.monotonic() - began, 1),
                "dashboard_mib": memory[0],
                "workers_mib": memory[1],
                "rounds": {run: taken for run, (taken, _) in rounds.items()},
                "finished": sum(state is RunState.FINISHED for _, state in rounds.values()),
            }
        )
        await asyncio.sleep(SAMPLE_SECONDS)


def resident(process: psutil.Process) -> float:
    """Memory of a process in MiB, without what it shares with others."""
    try:
        return round(process.memory_full_info().uss / MIB, 1)
    except psutil.Error:
        return 0.0


def progress(home: Path) -> dict[str, tuple[int, RunState]]:
    """Rounds and state of every run."""
    found = {}
    for run in RunStore(home / "runs").runs():
        try:
            told = run.summary()
        except UserError:
            continue
        found[run.id] = told.round, told.state
    return found


def summary(
    seen: Seen, readers: list[Reader], rounds: dict[str, tuple[int, RunState]], arguments: argparse.Namespace
) -> dict[str, Any]:
    """The result as JSON values."""
    clicks = [taken for name, each in seen.clicks.items() if name != "open Defend" for taken in each]
    return {
        "what": "seconds from a click to the whole answer; memory that processes share with nobody, in MiB",
        "victim": VICTIM,
        "readers": arguments.readers,
        "seconds": arguments.arrive + arguments.seconds,
        "pause": arguments.pause,
        "workers": arguments.workers,
        "click": spread(clicks),
        "clicks": {name: spread(each) for name, each in sorted(seen.clicks.items())},
        "polls": spread([taken for reader in readers for taken in reader.polls]),
        "received_mib": round(sum(reader.received for reader in readers) / MIB, 1),
        "failed": seen.failed,
        "runs": len(rounds),
        "finished": sum(state is RunState.FINISHED for _, state in rounds.values()),
        "rounds": sum(taken for taken, _ in rounds.values()),
        "fairness": fairness(seen.samples),
        "memory": memory(seen.samples),
        "samples": thinned(seen.samples),
        "precision": choose_precision(),
        "machine": processor(),
        "versions": versions(),
        "note": arguments.note,
    }


def thinned(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The samples; those after all runs had finished without the rounds, which do not change any more."""
    return [
        {name: value for name, value in each.items() if name != "rounds"}
        if each["finished"] and each["finished"] == len(each["rounds"])
        else each
        for each in samples
    ]


def spread(values: list[float]) -> dict[str, float | int | None]:
    """How many, median, 95th percentile and largest."""
    if not values:
        return {"n": 0, "median": None, "p95": None, "largest": None}
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"n": len(values), "median": statistics.median(values), "p95": p95, "largest": ordered[-1]}


def fairness(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Rounds of all runs at the last moment when all had begun and none had ended: fewest, median, most, Jain's index.

    Jain's index is (sum x)^2 / (n sum x^2): 1 if all have the same share, 1/n if one has everything.
    """
    most = max((len(each["rounds"]) for each in samples), default=0)
    together = [each for each in samples if len(each["rounds"]) == most and each["finished"] == 0]
    if not together:
        return {}
    first, last = together[0]["rounds"], together[-1]["rounds"]
    taken = [last[run] - first.get(run, 0) for run in last]
    squares = sum(each * each for each in taken)
    return {
        "from_second": together[0]["second"],
        "to_second": together[-1]["second"],
        "runs": len(taken),
        "fewest": min(taken),
        "median": statistics.median(taken),
        "most": max(taken),
        "jain": round(sum(taken) ** 2 / (len(taken) * squares), 3) if squares else None,
    }


def memory(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Memory when a third, two thirds and all of the time was over, and the most there was."""
    if not samples:
        return {}
    at = {f"at_{share}": samples[min(len(samples) - 1, len(samples) * share // 3)] for share in (1, 2, 3)}
    total = [each["dashboard_mib"] + sum(each["workers_mib"]) for each in samples]
    found = {
        name: {"dashboard": each["dashboard_mib"], "workers": round(sum(each["workers_mib"]), 1)}
        for name, each in at.items()
    }
    return {**found, "most": round(max(total), 1)}


if __name__ == "__main__":
    main()
