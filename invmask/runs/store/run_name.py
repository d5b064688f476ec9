"""The name that people give a run."""

from invmask.errors import UserError

MOST_NAME = 60


def check_name(name: str) -> str:
    """A name for a run as it is kept: without spaces around it, one between words.

    Raises:
        UserError: longer than `MOST_NAME` characters, or with some that cannot be seen.
    """
    name = " ".join(name.split())
    if len(name) > MOST_NAME or not name.isprintable():
        raise UserError(f"The name of a run has at most {MOST_NAME} characters, all of them visible; choose another.")
    return name
