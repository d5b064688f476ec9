"""Seeds as a reader types them: `0-2, 7`."""

from invmask.errors import UserError
from invmask.ui.shell.names import quoted

MOST_SEEDS = 20
MOST_SEED = 2**31 - 1


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse `0-2, 7` as 0, 1, 2, 7: each once, rising.

    Raises:
        UserError: the text does not hold seeds, or holds more than 20.
    """
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        low, dash, high = part.partition("-")
        ends = [low, high] if dash else [low, low]
        if not all(end.isascii() and end.isdecimal() and len(end) <= 10 for end in ends):
            raise UserError(f"Seeds are whole numbers such as '0-2, 7', not {quoted(text)}.")
        first, last = map(int, ends)
        if first > last or last > MOST_SEED or last - first >= MOST_SEEDS:
            raise UserError(f"{quoted(part)} is no range of at most {MOST_SEEDS} seeds from small to large.")
        found |= set(range(first, last + 1))
    if len(found) > MOST_SEEDS:
        raise UserError(f"At most {MOST_SEEDS} seeds at a time, not {len(found)}.")
    return tuple(sorted(found))
