"""The name that a user gives a run."""

from invmask.errors import UserError

MOST_NAME = 60


def check_name(name: str) -> str:
    """The name as it is stored: without spaces around it, and with one space between words.

    Raises:
        UserError: the name is longer than `MOST_NAME` characters, or has invisible characters.
    """
    name = " ".join(name.split())
    if len(name) > MOST_NAME or not name.isprintable():
        raise UserError(f"The name of a run has at most {MOST_NAME} characters, all of them visible; choose another.")
    return name
