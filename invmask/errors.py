"""Mistakes and mishaps in words that people can do something with."""


class UserError(Exception):
    """A mistake in what the user gave us. The message is one sentence that says what to do.

    The command line prints it and exits with status 2; the dashboard shows it in place.
    """


def cannot_be_used(error: OSError) -> str:
    """A sentence on a folder or file of the runs that could not be read or written: a full disk, no permission."""
    return f"{error.filename or 'The folder of the runs'} cannot be used: {error.strerror or error}."


def in_brief(error: Exception) -> str:
    """The kind of an error and the first line of what it says: `ValueError: no such thing`."""
    first = (str(error).strip().splitlines() or ["no further word"])[0][:200]
    return f"{type(error).__name__}: {first}"
