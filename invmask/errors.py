"""Errors with messages that tell the user what to do."""


class UserError(Exception):
    """A mistake in the user's input. The message is one sentence that says what to do.

    The command line prints it and exits with status 2; the dashboard shows it in place.
    """


def cannot_be_used(error: OSError) -> str:
    """A sentence about a file or folder of the runs that cannot be read or written (disk full, no permission)."""
    return f"{error.filename or 'The folder of the runs'} cannot be used: {error.strerror or error}."


def in_brief(error: Exception) -> str:
    """The type of an error and the first line of its message: `ValueError: no such thing`."""
    first = (str(error).strip().splitlines() or ["no further word"])[0][:200]
    return f"{type(error).__name__}: {first}"
