"""The records of runs. Each line is parsed once per process."""

import json
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from invmask.runs.store.records import RoundEntry, entry_from_json

KEPT_RUNS = 64


@dataclass
class _ParsedRun:
    inode: int
    offset: int = 0
    entries: list[RoundEntry] = field(default_factory=list)


class Parsed:
    """A cache of parsed lines by file, shared by all threads. The least recently read files are dropped."""

    def __init__(self) -> None:
        self._runs: OrderedDict[Path, _ParsedRun] = OrderedDict()
        self._lock = threading.Lock()

    def rounds(self, path: Path, size: int) -> list[RoundEntry]:
        """The rounds in the first `size` bytes of a file of records, perhaps with later ones. Do not change the list.

        Raises:
            OSError, ValueError, TypeError, KeyError: the file is missing or damaged.
        """
        with self._lock, path.open("rb") as file:
            # Another file of the same name means that the run was deleted and created again.
            inode = os.fstat(file.fileno()).st_ino
            parsed = self._runs.get(path)
            if parsed is None or parsed.inode != inode:
                parsed = self._runs[path] = _ParsedRun(inode)
            self._runs.move_to_end(path)
            while len(self._runs) > KEPT_RUNS:
                self._runs.popitem(last=False)
            file.seek(parsed.offset)
            content = file.read(max(0, size - parsed.offset))
            parsed.entries += [entry_from_json(json.loads(line)) for line in content.splitlines()]
            parsed.offset += len(content)
            return parsed.entries


PARSED = Parsed()
