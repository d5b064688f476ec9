"""Make assets/DATASET from the full data set: 100 training images of every class and 2,000 test images, drawn by seed.

Usage: python -m benchmarks.embed DATASET DATA_ROOT
"""

import sys
from pathlib import Path

from invmask.data.embedded import ASSETS
from invmask.data.prepare import prepare

if __name__ == "__main__":
    prepare(sys.argv[1], Path(sys.argv[2]), ASSETS / sys.argv[1])
