"""What a machine or a lab sets once, as environment variables.

| variable | meaning | default |
| --- | --- | --- |
| INVMASK_HOME | where runs and own victims are kept | the user's data directory |
| INVMASK_DATA | where full data sets are kept | `data` in the home |
| INVMASK_THREADS | threads of each new run | the cores that no run under way has, from 1 to 4 |
| INVMASK_WORKERS | most worker processes, each at one run at a time | one a core (or one for INVMASK_THREADS cores) |
| INVMASK_SCHEDULER | address of a Dask scheduler to use, such as tcp://lab:8786 | a cluster of child processes |
| INVMASK_DEVICE | where networks run: cpu, cuda or cuda:N | cpu |
"""

import os
import re
from pathlib import Path

from invmask.errors import UserError

_INSTALLED = Path(__file__).resolve().parent / "dashboard"
ROOT = _INSTALLED if _INSTALLED.exists() else _INSTALLED.parents[1]
"""Where app.py, pages/ and assets/ lie: the repository, or where invmask is installed, a folder in the package."""
ASSETS, BENCHMARKS = ROOT / "assets", ROOT / "benchmarks"
THREADS_LIMIT = 1024
MOST_THREADS = 4
MOST_WORKERS = 256


def home() -> Path:
    """Where runs and own victims are kept; made when something is first written.

    Raises:
        UserError: INVMASK_HOME names a file.
    """
    given = os.environ.get("INVMASK_HOME")
    if given:
        folder = Path(given).expanduser().absolute()
    else:
        from platformdirs import user_data_path

        folder = user_data_path("invmask", appauthor=False)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"INVMASK_HOME has to name a directory, and {folder} is a file.")
    return folder


def runs_folder() -> Path:
    """Where runs are kept, one directory each."""
    return home() / "runs"


def sweeps_folder() -> Path:
    """Where the results of sweeps are kept, one directory each."""
    return home() / "sweeps"


def data_folder() -> Path:
    """Where full data sets are kept."""
    given = os.environ.get("INVMASK_DATA")
    return Path(given).expanduser().absolute() if given else home() / "data"


def victim_folders(of_home: Path | None = None) -> list[Path]:
    """Where victims are looked for: the embedded ones, those of the benchmarks, one's own; an earlier folder wins."""
    return [ASSETS / "victims", BENCHMARKS / "victims", (of_home or home()) / "victims"]


def threads(runs: int = 1, taken: int = 0) -> int:
    """Threads of a new run, which keeps them for good: its share of the cores, from 1 to 4, or what was asked for.

    Args:
        runs: how many are made together.
        taken: threads of other runs under way.

    Raises:
        UserError: INVMASK_THREADS is not a whole number from 1 to 1024.
    """
    return _whole("INVMASK_THREADS", THREADS_LIMIT) or min(max((cores() - taken) // runs, 1), MOST_THREADS)


def workers() -> int:
    """Most worker processes: one a core, for runs may have one thread each; on an accelerator one, which fills it.

    Raises:
        UserError: INVMASK_WORKERS is not a whole number from 1 to 256.
    """
    of_one = _whole("INVMASK_THREADS", THREADS_LIMIT) or 1
    return workers_asked_for() or (max(1, cores() // of_one) if device() == "cpu" else 1)


def workers_asked_for() -> int | None:
    """What INVMASK_WORKERS says; None where it is not set.

    Raises:
        UserError: INVMASK_WORKERS is not a whole number from 1 to 256.
    """
    return _whole("INVMASK_WORKERS", MOST_WORKERS)


def scheduler() -> str | None:
    """Address of an existing Dask scheduler; None for a cluster of one's own.

    Raises:
        UserError: INVMASK_SCHEDULER is not an address.
    """
    address = os.environ.get("INVMASK_SCHEDULER")
    if not address:
        return None
    if not re.fullmatch(r"(tcp|tls|ws|wss|ucx)://[^\s/]+:\d{1,5}", address):
        raise UserError(f"INVMASK_SCHEDULER has to be an address such as tcp://localhost:8786, not '{address}'.")
    return address


def device() -> str:
    """Where networks run.

    Raises:
        UserError: INVMASK_DEVICE is neither cpu, cuda nor cuda:N.
    """
    name = os.environ.get("INVMASK_DEVICE") or "cpu"
    if not is_device_name(name):
        raise UserError(f"INVMASK_DEVICE has to be cpu, cuda or cuda:N, not '{name}'.")
    return name


def is_device_name(name: str) -> bool:
    """Whether it is the name of a device, one that this machine has or not."""
    return re.fullmatch(r"cpu|cuda(:\d{1,4})?", name) is not None


def cores() -> int:
    """Cores that this process may use."""
    # Dask knows of containers that may use fewer cores than the machine has.
    from dask.system import CPU_COUNT

    return CPU_COUNT


def _whole(variable: str, most: int) -> int | None:
    value = os.environ.get(variable)
    if not value:
        return None
    if not re.fullmatch(r"\d{1,6}", value) or not 1 <= int(value) <= most:
        raise UserError(f"{variable} has to be a whole number from 1 to {most}, not '{value}'.")
    return int(value)
