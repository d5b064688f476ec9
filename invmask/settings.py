"""Settings of a machine or a lab, as environment variables.

| variable | meaning | default |
| --- | --- | --- |
| INVMASK_HOME | where runs and own victims are kept | the user's data directory |
| INVMASK_DATA | where full data sets are kept | `data` in the home |
| INVMASK_THREADS | threads of each new run | the cores that no run under way has, from 1 to 4 |
| INVMASK_WORKERS | most worker processes, each at one run at a time | one a core (or one for INVMASK_THREADS cores) |
| INVMASK_SCHEDULER | address of a Dask scheduler to use, such as tcp://lab:8786 | a cluster of child processes |
| INVMASK_BUILT_IN_RUNS | whether the dashboard puts the runs that come with invmask into the home: yes or no | yes |
| INVMASK_DEVICE | where networks run: cpu, cuda or cuda:N | cpu |
| INVMASK_PASSWORD | a password that the dashboard asks for | none |
| INVMASK_OWNER_RUNS | most runs under way of one maker | no limit |
| INVMASK_OWNER_MB | most megabytes of one maker's runs | no limit |
| INVMASK_KEEP_DAYS | runs that nobody has changed for so many days are deleted | never |
| INVMASK_KEEP_MB | the oldest runs are deleted when all together have more megabytes | never |
"""

import os
import re
from pathlib import Path

from invmask.errors import UserError

_INSTALLED = Path(__file__).resolve().parent / "dashboard"
ROOT = _INSTALLED if _INSTALLED.exists() else _INSTALLED.parents[1]
"""The folder of app.py, pages/ and assets/: the repository, or a folder inside an installed package."""
ASSETS, BENCHMARKS = ROOT / "assets", ROOT / "benchmarks"
THREADS_LIMIT = 1024
MOST_THREADS = 4
MOST_WORKERS = 256
MOST_COUNTED = 100_000


def home() -> Path:
    """The folder of runs and of the user's own victims. It is created when something is first written.

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
    """The folder of runs, one directory per run."""
    return home() / "runs"


def sweeps_folder() -> Path:
    """The folder of sweeps' results, one directory per sweep."""
    return home() / "sweeps"


def own_folder() -> Path:
    """The folder of models of one's own: their images, and the files that they came in."""
    return home() / "own"


def data_folder() -> Path:
    """The folder of full data sets."""
    given = os.environ.get("INVMASK_DATA")
    return Path(given).expanduser().absolute() if given else home() / "data"


def victim_folders(of_home: Path | None = None) -> list[Path]:
    """Folders of victims: those in `assets`, those of the benchmarks, the user's own. An earlier folder wins."""
    return [ASSETS / "victims", BENCHMARKS / "victims", (of_home or home()) / "victims"]


def threads(runs: int = 1, taken: int = 0) -> int:
    """Number of threads of a new run: its share of the cores, from 1 to 4, or INVMASK_THREADS.

    A run keeps its number of threads for good.

    Args:
        runs: number of runs made together.
        taken: threads of other runs under way.

    Raises:
        UserError: INVMASK_THREADS is not a whole number from 1 to 1024.
    """
    return _whole("INVMASK_THREADS", THREADS_LIMIT) or min(max((cores() - taken) // runs, 1), MOST_THREADS)


def workers() -> int:
    """The maximum number of worker processes: INVMASK_WORKERS, or by default one per INVMASK_THREADS cores.

    Without INVMASK_THREADS it is one per core, because a run may have one thread. On an accelerator it is one, because
    one run fills it.

    Raises:
        UserError: INVMASK_WORKERS is not a whole number from 1 to 256.
    """
    of_one = _whole("INVMASK_THREADS", THREADS_LIMIT) or 1
    return workers_asked_for() or (max(1, cores() // of_one) if device() == "cpu" else 1)


def workers_asked_for() -> int | None:
    """The value of INVMASK_WORKERS; None if it is not set.

    Raises:
        UserError: INVMASK_WORKERS is not a whole number from 1 to 256.
    """
    return _whole("INVMASK_WORKERS", MOST_WORKERS)


def scheduler() -> str | None:
    """Address of an existing Dask scheduler; None to start a cluster of child processes.

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
    """The device on which networks run.

    Raises:
        UserError: INVMASK_DEVICE is neither cpu, cuda nor cuda:N.
    """
    name = os.environ.get("INVMASK_DEVICE") or "cpu"
    if not is_device_name(name):
        raise UserError(f"INVMASK_DEVICE has to be cpu, cuda or cuda:N, not '{name}'.")
    return name


def is_device_name(name: str) -> bool:
    """Whether it is a valid device name; the machine need not have the device."""
    return re.fullmatch(r"cpu|cuda(:\d{1,4})?", name) is not None


def cores() -> int:
    """Number of CPU cores that this process may use."""
    # Dask's count respects the CPU limits of containers.
    from dask.system import CPU_COUNT

    return CPU_COUNT


def built_in_runs() -> bool:
    """Whether the dashboard puts the runs that come with invmask into the home.

    Raises:
        UserError: INVMASK_BUILT_IN_RUNS is neither yes nor no.
    """
    given = os.environ.get("INVMASK_BUILT_IN_RUNS", "yes").strip().lower()
    if given not in ("yes", "no"):
        raise UserError(f"INVMASK_BUILT_IN_RUNS has to be yes or no, not '{given[:40]}'.")
    return given == "yes"


def password() -> str | None:
    """The password that the dashboard asks for; None if it asks for none."""
    return os.environ.get("INVMASK_PASSWORD") or None


def owner_runs() -> int | None:
    """Most runs under way of one maker; None without a limit.

    Raises:
        UserError: INVMASK_OWNER_RUNS is not a whole number from 1 to 100,000.
    """
    return _whole("INVMASK_OWNER_RUNS", MOST_COUNTED)


def owner_bytes() -> int | None:
    """Most bytes of one maker's runs; None without a limit.

    Raises:
        UserError: INVMASK_OWNER_MB is not a whole number from 1 to 100,000.
    """
    return _bytes(_whole("INVMASK_OWNER_MB", MOST_COUNTED))


def keep_days() -> int | None:
    """Days after which a run that nobody has changed is deleted; None to keep all.

    Raises:
        UserError: INVMASK_KEEP_DAYS is not a whole number from 1 to 100,000.
    """
    return _whole("INVMASK_KEEP_DAYS", MOST_COUNTED)


def keep_bytes() -> int | None:
    """Bytes of all runs above which the oldest are deleted; None to keep all.

    Raises:
        UserError: INVMASK_KEEP_MB is not a whole number from 1 to 100,000.
    """
    return _bytes(_whole("INVMASK_KEEP_MB", MOST_COUNTED))


def _bytes(megabytes: int | None) -> int | None:
    return None if megabytes is None else megabytes * 1_000_000


def _whole(variable: str, most: int) -> int | None:
    value = os.environ.get(variable)
    if not value:
        return None
    if not re.fullmatch(r"\d{1,6}", value) or not 1 <= int(value) <= most:
        raise UserError(f"{variable} has to be a whole number from 1 to {most}, not '{value}'.")
    return int(value)
