"""Atomic writing of files: a crash never leaves half a file, and two writers never mix their contents."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write to. It replaces `path` atomically when the block ends without an error.

    Until then the file lies beside `path` under a temporary name. After an error it is removed. Readers see either the
    old content or the new, even after a power failure.

    Raises:
        OSError: the file cannot be written; the error names `path`.
    """
    # Several processes and threads may write the same file at once, so the temporary name is unique.
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
        # Name the requested file in the error, not the temporary one.
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content atomically, as `replacing` does."""
    with replacing(path) as file:
        file.write(content)
