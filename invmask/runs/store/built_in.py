"""Finished runs that come with invmask, so that a new user does not see empty pages."""

import contextlib
import json
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save

from invmask.disk import write_bytes
from invmask.runs.store import files
from invmask.settings import ASSETS

ARCHIVES = ASSETS / "runs"
"""Folder of the built-in runs: one ZIP archive per run, named by the run's id, with the files of its directory."""
KNOWN = ".built-in.json"
"""File beside the runs with the ids of built-in runs that were unpacked. A deleted one is not unpacked again."""


def add_built_in(runs: Path, archives: Path = ARCHIVES) -> None:
    """Unpack the built-in runs into the folder `runs`, each once.

    Errors are ignored: if the folder cannot be written to, the next action there reports it.
    """
    with contextlib.suppress(OSError):
        known_ids, there = known(runs), {path.stem: path for path in sorted(archives.glob("*.zip"))}
        for name in there.keys() - known_ids:
            _unpack(there[name], runs / name)
        if there.keys() - known_ids:
            write_bytes(runs / KNOWN, json.dumps(sorted(known_ids | there.keys())).encode())


def pack(run: Path, archives: Path = ARCHIVES) -> Path:
    """Make a finished run a built-in run; returns its archive.

    The defence's state is left out, because no worker continues a finished run.
    """
    archives.mkdir(parents=True, exist_ok=True)
    archive = archives / f"{run.name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as packed:
        for path in sorted(run.iterdir()):
            if path.name == files.STATE:
                with safe_open(path, "pt") as state:
                    packed.writestr(path.name, save({}, state.metadata()))
            elif path.name not in (files.WORKER, files.OWNER):
                packed.write(path, path.name)
    return archive


def known(runs: Path) -> set[str]:
    """The ids of the built-in runs that were unpacked into the folder `runs`."""
    try:
        found = json.loads((runs / KNOWN).read_bytes())
    except (FileNotFoundError, ValueError):
        return set()
    return {name for name in found if isinstance(name, str)} if isinstance(found, Iterable) else set()


def _unpack(archive: Path, run: Path) -> None:
    """Unpack one run atomically. Another process may do the same at the same time."""
    if run.exists():
        return
    run.parent.mkdir(parents=True, exist_ok=True)
    fresh = run.with_name(f".new-{run.name}")
    shutil.rmtree(fresh, ignore_errors=True)
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(fresh)
    # If another process was faster, the same run is there already.
    with contextlib.suppress(OSError):
        fresh.rename(run)
    shutil.rmtree(fresh, ignore_errors=True)
