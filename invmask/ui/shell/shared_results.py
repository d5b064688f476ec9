"""What the pages compute once for all sessions, bounded by what it holds in memory."""

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
"""Of what one function keeps, where it does not say another bound: so many have one that all together fit."""


def copied(most_bytes: int = MOST_BYTES, spinner: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """As `st.cache_data`, with a bound in bytes: what was not asked for for longest is forgotten first.

    Each caller has a copy. The arguments have to be hashable.

    Args:
        spinner: said while the function is at work.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        # Their length is what they hold, and nobody changes them.
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
    """As `st.cache_resource`, with a bound in bytes: all callers have the same, which nobody may change.

    Args:
        key: of the arguments; they themselves by default.
        spinner: said while the function is at work.
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
