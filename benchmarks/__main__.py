"""Measure speed and quality again, and write the tables of README and docs/: python -m benchmarks, or make bench.

Speed is measured again every time; nothing else may run meanwhile. Quality is measured only for cases without a result.
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
PAGES = ("whatif", "clicks", "moves", "blinking")
QUALITY = ("quality run", "quality run --presets paper --seeds 0", "sweep", "unlike", "tables")

for words in (*SPEED, *PAGES, *QUALITY):
    # One process per benchmark, so that what one has loaded or cached does not affect the times of another.
    subprocess.run([sys.executable, "-m", *f"benchmarks.{words}".split()], check=True)
