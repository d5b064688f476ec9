"""Make assets/cifar10 from the full CIFAR-10: 100 training and 200 test images of every class, drawn by seed.

Usage: python -m benchmarks.embed_cifar10 DATA_ROOT
"""

import sys
from pathlib import Path

from invmask.data.cifar10 import load_cifar10
from invmask.data.embedded import ASSETS, pick, write_part

SOURCE = {
    "source": "CIFAR-10, https://www.cs.toronto.edu/~kriz/cifar.html",
    "citation": "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.",
}


def main(root: Path) -> None:
    """Write both parts."""
    for part, train, per_class, seed in (("budget", True, 100, 2025), ("test", False, 200, 2026)):
        images = load_cifar10(root, train)
        chosen = pick(images, per_class, seed)
        drawn = f"{per_class} images of every class of the {'training' if train else 'test'} set, seed {seed}"
        write_part(ASSETS / "cifar10", part, images.take(chosen), chosen, {**SOURCE, "drawn": drawn})  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
