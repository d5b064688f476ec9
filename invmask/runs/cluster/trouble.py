"""Errors of the workers: what they mean, and how they are told."""

from concurrent.futures import CancelledError

from invmask.errors import UserError, in_brief


def is_loss(error: Exception) -> bool:
    """Whether a unit failed because its worker, or the scheduler, was lost."""
    own = type(error).__module__.partition(".")[0] in ("distributed", "tornado")
    return own or isinstance(error, CancelledError | TimeoutError)


def sentence_of(error: Exception) -> str:
    """The error in a sentence for people."""
    if isinstance(error, UserError):
        return str(error)
    return f"The workers are in trouble ({in_brief(error)}); they are being started again."
