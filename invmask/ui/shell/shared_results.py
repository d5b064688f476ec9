"""Caches of results that pages compute once for all sessions, with a bound in bytes."""

import functools
import pickle
import threading
from collections.abc import Callable, Hashable
from typing import ParamSpec, TypeVar

import streamlit as st
from cachetools import LRUCache, cached
from cachetools.keys import hashkey

from invmask.memory import MIB, bounded

P = ParamSpec("P")
R = TypeVar("R")
MOST_BYTES = 32 * MIB
"""Default bound of one function's cache, chosen so that all caches together fit into memory."""


def copied(most_bytes: int = MOST_BYTES, spinner: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Like `st.cache_data`, with a bound in bytes: the least recently used results are dropped first.

    Each caller gets a copy. The arguments have to be hashable.

    Args:
        most_bytes: the bound.
        spinner: the message while the function runs.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        # Results are kept pickled, as bytes, whose length is their size and which cannot be changed.
        @cached(LRUCache(most_bytes, len), condition=threading.Condition())
        def pickled(*given: P.args, **named: P.kwargs) -> bytes:
            return pickle.dumps(_said(spinner, function)(*given, **named), pickle.HIGHEST_PROTOCOL)

        @functools.wraps(function)
        def copy(*given: P.args, **named: P.kwargs) -> R:
            return pickle.loads(pickled(*given, **named))

        return copy

    return decorate


def shared(
    most_bytes: int = MOST_BYTES,
    key: Callable[..., Hashable] = hashkey,
    spinner: str = "",
    latest_stays: bool = False,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Like `st.cache_resource`, with a bound in bytes: all callers share one result, which they must not change.

    Args:
        most_bytes: the bound.
        key: computes the cache key from the arguments; the arguments themselves by default.
        spinner: the message while the function runs.
        latest_stays: see `memory.least_recent_first`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return bounded(most_bytes, key, latest_stays)(_said(spinner, function))

    return decorate


def _said(spinner: str, function: Callable[P, R]) -> Callable[P, R]:
    if not spinner:
        return function

    @functools.wraps(function)
    def said(*given: P.args, **named: P.kwargs) -> R:
        with st.spinner(spinner):
            return function(*given, **named)

    return said
