"""Writing files so that a reader, a crash or a kill never meets half of one, and two writers never mix."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, which takes the place of `path` at once when the block ends without an error.

    Until then it lies beside `path` under a name of its own, and it is gone after an error. Readers see the old content
    or the new, even if the power fails in between.

    Raises:
        OSError: the file cannot be written; it names `path`.
    """
    # Several processes, and several threads of one, may write the same file at once.
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with partial.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if error.filename not in (None, str(partial)):
            raise
        # Of the file that was asked for, not of one that nobody knows.
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content at once, as `replacing` does."""
    with replacing(path) as file:
        file.write(content)
