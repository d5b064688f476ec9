"""What other processes cost a defence: its seconds idle and beside them, with threads that wait as before and as now.

GNU's OpenMP has a thread look 300,000 times for the others before it sleeps, invmask 2,000 times
(`invmask/waiting.py`). Each defence and each process beside it has a session of its own, between which Linux shares the
cores. A defence that takes longer than `--limit` is ended and counts as cut off.

    python -m benchmarks.beside
    python -m benchmarks.beside --victims cifar10-preactresnet18w16-badnets --rounds 4 --limit 60 --repeat 2 \\
        --whole fashionmnist-cnn4-badnets cifar10-preactresnet18w16-badnets --repeat-whole 3 \\
        --out benchmarks/results/beside/cifar10.json
    python -m benchmarks.beside --settings before after 500 10000 passive single --repeat 1 --out other.json

On two cores the first takes about seven minutes, the second twenty-five.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.speed import RESULTS
from invmask import waiting
from invmask.machine import processor
from invmask.victims.victim import versions

ROOT = Path(__file__).parents[1]
RESULT = RESULTS / "beside" / "fashionmnist.json"
VICTIM = "fashionmnist-cnn4-badnets"
ROUNDS = 8
BUSY = [sys.executable, "-c", "while True: pass"]
# The load beside each defence: processes with one thread that never sleeps.
LOADS: dict[str, list[list[str]]] = {
    "idle": [],
    "one niced process": [["nice", "-n", "10", *BUSY]],
    "one process": [BUSY],
    "three processes": [BUSY] * 3,
}
SETTINGS: dict[str, dict[str, str]] = {
    # The default of GNU's OpenMP.
    "before": {waiting.VARIABLE: "300000"},
    "after": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "single": {"INVMASK_THREADS": "1"},
}


def main() -> None:
    """Measure, print, and store after every reading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--victims", nargs="*", default=[VICTIM], help="some rounds of each, beside every load")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--loads", nargs="+", choices=list(LOADS), default=list(LOADS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=float, default=45.0, help="seconds, of some rounds")
    parser.add_argument("--whole", nargs="*", default=[], metavar="VICTIM", help="a whole defence of each, idle")
    parser.add_argument("--repeat-whole", type=int, default=1)
    parser.add_argument("--limit-whole", type=float, default=300.0)
    names = ", ".join(SETTINGS)
    parser.add_argument("--settings", nargs="+", default=["before", "after"], help=f"{names}, or how often to look")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    told = {
        "what": "seconds of `python -m invmask defend VICTIM` in a session of its own, imports and measuring included",
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "settings": {name: setting(name) for name in asked.settings},
        "machine": processor(),
        "versions": versions(),
    }
    some, whole = (asked.repeat, asked.limit), (asked.repeat_whole, asked.limit_whole)
    cells = [(victim, asked.rounds, load, *some) for victim in asked.victims for load in asked.loads]
    cells += [(victim, None, "idle", *whole) for victim in asked.whole]
    readings: list[dict[str, Any]] = []
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    for victim, rounds, load, repeat, limit in cells:
        taken: dict[str, list[float | None]] = {name: [] for name in asked.settings}
        # In turn, so that other load of the machine affects all settings equally.
        for _ in range(repeat):
            for name, found in taken.items():
                with beside(LOADS[load]):
                    found.append(seconds(defence(victim, rounds), setting(name), limit))
        for name, found in taken.items():
            reading = {"victim": victim, "rounds": rounds, "load": load, "setting": name, **summary(found, limit)}
            readings.append(reading)
            middle = "cut off" if reading["median"] is None else f"median {reading['median']:.1f} s"
            print(f"{victim}, {rounds or 'all'} rounds, {load}, {name}: {middle} (n = {len(found)})", file=sys.stderr)
        asked.out.write_text(json.dumps({**told, "readings": readings}, indent=1) + "\n")


def setting(name: str) -> dict[str, str]:
    """The environment variables of a setting by its name; a number is how often a thread checks before it sleeps."""
    return {waiting.VARIABLE: name} if name.isdecimal() else SETTINGS[name]


def summary(found: list[float | None], limit: float) -> dict[str, Any]:
    """All readings (None if cut off) with their median, range and number of cut-off readings.

    A cut-off reading counts as longer than all others. If the median is a cut-off reading, it is None.
    """
    ordered = sorted(limit if one is None else one for one in found)
    middle = statistics.median_high(ordered)
    cut_off = found.count(None)
    return {
        "n": len(found),
        "each": found,
        "median": None if middle >= limit else statistics.median(ordered),
        "least": ordered[0],
        "most": ordered[-1],
        "cut_off": cut_off,
        "limit": limit,
    }


def defence(victim: str, rounds: int | None) -> list[str]:
    """The command as a user would type it."""
    most = [] if rounds is None else ["--rounds-max", str(rounds)]
    return [sys.executable, "-m", "invmask", "defend", victim, *most, "--json"]


@contextlib.contextmanager
def beside(commands: list[list[str]]) -> Iterator[None]:
    """Run these commands during the block, each in its own session."""
    with contextlib.ExitStack() as running:
        for command in commands:
            child = running.enter_context(subprocess.Popen(command, start_new_session=True))
            running.callback(child.kill)
        yield


def seconds(command: list[str], variables: dict[str, str], limit: float) -> float | None:
    """Duration of a command in seconds, in its own session and with its own home; None if it was cut off.

    Raises:
        RuntimeError: the command failed.
    """
    inherited = {name: of for name, of in os.environ.items() if not name.startswith(("GOMP_", "OMP_", "INVMASK_"))}
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile("w+") as said:
        environment = {**inherited, **variables, "INVMASK_HOME": home}
        started = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
        )
        try:
            failed = child.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            taken = time.perf_counter() - started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if failed:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed:\n{said.read()[-2000:]}")
    return taken


if __name__ == "__main__":
    main()
