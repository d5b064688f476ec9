"""What values hold in memory, and caches that are bounded by it."""

import enum
import sys
import threading
from collections.abc import Callable, Hashable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, ParamSpec, TypeVar

import numpy as np
from cachetools import LRUCache, cached
from cachetools.keys import hashkey
from PIL import Image
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")
MIB = 1 << 20
"""Bytes in a mebibyte."""
# What these refer to is the program's, not the value's.
_OF_THE_PROGRAM = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, enum.Enum)


def held_bytes(value: object) -> int:
    """Bytes in memory of `value` and of all that it refers to.

    A storage that several tensors or arrays share counts once, and so does all of it where they are a part of it: for
    it cannot be given back before they are. What `value` comes to hold later is not in it.
    """
    total, waiting = 0, [value]
    # The objects themselves, too: another would get the number of one that is gone.
    seen: dict[Hashable, object] = {}

    while waiting:
        found = waiting.pop()
        if found is None or isinstance(found, _OF_THE_PROGRAM) or id(found) in seen:
            continue
        seen[id(found)] = found
        total += _shallow_bytes(found)
        device, address, size = _storage(found)
        if size and (device, address) not in seen:
            seen[device, address] = found
            total += size
        waiting += _parts(found)
    return total


def _storage(found: object) -> tuple[str, int, int]:
    """Device, address and bytes of the numbers of a tensor or an array; 0 bytes where it has none itself."""
    if isinstance(found, Tensor) and found.device.type != "meta":
        storage = found.untyped_storage()
        return str(found.device), storage.data_ptr(), storage.nbytes()
    if isinstance(found, np.ndarray) and found.base is None:
        # The storage of a tensor that is made of an array lies at the same place.
        return "cpu", found.__array_interface__["data"][0], found.nbytes
    return "", 0, 0


def _shallow_bytes(found: object) -> int:
    if isinstance(found, np.ndarray):
        return 0
    if isinstance(found, Image.Image):
        return found.width * found.height * (4 if found.mode in ("I", "F") else len(found.getbands()))
    return sys.getsizeof(found)


def _parts(found: object) -> list[Any]:
    """What it refers to, but for storages."""
    if isinstance(found, Mapping):
        return [*found.keys(), *found.values()]
    if isinstance(found, list | tuple | set | frozenset):
        return list(found)
    if isinstance(found, np.ndarray):
        return [found.base, *(found.flat if found.dtype.hasobject else ())]
    if callable(as_json := getattr(found, "to_plotly_json", None)):
        # A figure: its own attributes hold every value twice, in views of one another.
        return [as_json()]
    slots = [name for kind in type(found).__mro__ for name in _names(getattr(kind, "__slots__", ()))]
    return [*getattr(found, "__dict__", {}).values(), *(getattr(found, name, None) for name in slots)]


def _names(slots: object) -> list[str]:
    return [slots] if isinstance(slots, str) else [str(name) for name in slots]  # type: ignore[attr-defined]


def least_recent_first(most_bytes: int, latest_stays: bool = False) -> LRUCache[Any, Any]:
    """A cache that forgets what was not used for longest as soon as all in it hold more than `most_bytes`.

    What two values share counts for both, so that it never holds more. It has no lock of its own.

    Args:
        latest_stays: a value that alone is larger is kept, too, and nothing beside it, until the next one comes: for
            what is in use anyway and slow to make. Such a value is not kept otherwise.
    """
    return LRUCache(most_bytes, (lambda value: min(most_bytes, held_bytes(value))) if latest_stays else held_bytes)


def measure_again(cache: LRUCache[Any, Any]) -> None:
    """Hold a cache to its bound where what is in it may have come to hold more; what was put in first goes first."""
    items = [*cache.items()]
    cache.clear()
    for key, value in items:
        cache[key] = value


def bounded(
    most_bytes: int, key: Callable[..., Hashable] = hashkey, latest_stays: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """As `functools.lru_cache`, with a bound in bytes; threads that ask for the same at once wait for the first.

    Args:
        key: of the arguments; they themselves by default.
        latest_stays: see `least_recent_first`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return cached(least_recent_first(most_bytes, latest_stays), key, condition=threading.Condition())(function)

    return decorate
