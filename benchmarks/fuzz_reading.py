"""The part of `benchmarks.fuzz` that runs in a child: it reads many damaged files, one after the other."""

import time
from pathlib import Path
from typing import Any

from invmask.data.picture_reading import read_pictures
from invmask.errors import UserError, in_brief
from invmask.models.weight_files import parse


def read_batch(paths: list[str], scratch: str) -> list[dict[str, Any]]:
    """Read each file as the product does, and tell what became of it."""
    told: list[dict[str, Any]] = []
    for path in paths:
        began = time.perf_counter()
        one: dict[str, Any] = {}
        try:
            if Path(path).is_dir() or Path(path).suffix in (".zip", ".npz", ".npy"):
                one["left_out"] = read_pictures(path, 3, None, None, None, 100, scratch)["left_out"]
            else:
                parse(path, None, scratch)
        except UserError as error:
            one["sentence"] = str(error)
        except MemoryError:
            one["memory"] = True
        except Exception as error:
            one["otherwise"] = in_brief(error)
        told.append({**one, "seconds": time.perf_counter() - began})
    return told
