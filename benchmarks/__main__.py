"""Measure speed and quality again, and write the tables of README and docs/: python -m benchmarks, or make bench.

Speed is measured afresh every time, with nothing else running; of quality, whatever has no result yet.
"""

import subprocess
import sys

SPEED = (
    "rounds",
    "limit",
    "defence --again",
    "defence --victim fashionmnist-cnn4-badnets --spc 10 --again",
    "defence --preset paper --spc 10 --times 1 --again",
    "slopes",
    "workers",
    "beside --whole fashionmnist-cnn4-badnets cifar10-preactresnet18w16-badnets",
    "startup",
)
PAGES = ("whatif", "clicks", "moves")
QUALITY = ("quality run", "quality run --presets paper --seeds 0", "sweep", "unlike", "tables")

for words in (*SPEED, *PAGES, *QUALITY):
    # A process each: what one has loaded or cached shall not be in the other's times.
    subprocess.run([sys.executable, "-m", *f"benchmarks.{words}".split()], check=True)
