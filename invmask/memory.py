"""The memory that values need, and caches with a bound in bytes."""

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
# Objects of these types belong to the program, so what they refer to is not counted.
_OF_THE_PROGRAM = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, enum.Enum)


def held_bytes(value: object) -> int:
    """Bytes in memory of `value` and of everything that it refers to, at the moment of the call.

    A storage shared by several tensors or arrays counts once. If they use only a part of it, the whole storage counts,
    because it cannot be freed before they are.
    """
    total, waiting = 0, [value]
    # Keep the objects alive: otherwise a new object could get the id of a freed one.
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
    """Device, address and bytes of the storage of a tensor or array; 0 bytes for a view or any other object."""
    if isinstance(found, Tensor) and found.device.type != "meta":
        storage = found.untyped_storage()
        return str(found.device), storage.data_ptr(), storage.nbytes()
    if isinstance(found, np.ndarray) and found.base is None:
        # A tensor made from an array has its storage at the same address.
        return "cpu", found.__array_interface__["data"][0], found.nbytes
    return "", 0, 0


def _shallow_bytes(found: object) -> int:
    if isinstance(found, np.ndarray):
        return 0
    if isinstance(found, Image.Image):
        return found.width * found.height * (4 if found.mode in ("I", "F") else len(found.getbands()))
    return sys.getsizeof(found)


def _parts(found: object) -> list[Any]:
    """The objects that `found` refers to, except storages."""
    if isinstance(found, Mapping):
        return [*found.keys(), *found.values()]
    if isinstance(found, list | tuple | set | frozenset):
        return list(found)
    if isinstance(found, np.ndarray):
        return [found.base, *(found.flat if found.dtype.hasobject else ())]
    if callable(as_json := getattr(found, "to_plotly_json", None)):
        # A plotly figure: its attributes hold every value twice.
        return [as_json()]
    slots = [name for kind in type(found).__mro__ for name in _names(getattr(kind, "__slots__", ()))]
    return [*getattr(found, "__dict__", {}).values(), *(getattr(found, name, None) for name in slots)]


def _names(slots: object) -> list[str]:
    return [slots] if isinstance(slots, str) else [str(name) for name in slots]  # type: ignore[attr-defined]


def least_recent_first(most_bytes: int, latest_stays: bool = False) -> LRUCache[Any, Any]:
    """An LRU cache bounded by `most_bytes`: it drops the least recently used values if all together need more.

    Memory that two values share counts for both, so the real memory never exceeds the bound. The cache has no lock.

    Args:
        latest_stays: keep a single value that is larger than the bound, alone, until the next value comes. This is for
            values that are in use anyway and slow to make. Otherwise such a value is not kept.
    """
    return LRUCache(most_bytes, (lambda value: min(most_bytes, held_bytes(value))) if latest_stays else held_bytes)


def measure_again(cache: LRUCache[Any, Any]) -> None:
    """Enforce a cache's bound again if its values may have grown; the oldest entries are dropped first."""
    items = [*cache.items()]
    cache.clear()
    for key, value in items:
        cache[key] = value


def bounded(
    most_bytes: int, key: Callable[..., Hashable] = hashkey, latest_stays: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Like `functools.lru_cache`, with a bound in bytes. Threads that ask for the same value wait for the first one.

    Args:
        key: computes the cache key from the arguments; the arguments themselves by default.
        latest_stays: see `least_recent_first`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return cached(least_recent_first(most_bytes, latest_stays), key, condition=threading.Condition())(function)

    return decorate
