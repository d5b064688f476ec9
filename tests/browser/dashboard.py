"""Start the real dashboard and a real Chromium, and end both without leaving a process behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.chromium import MISSING, find_chromium

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90
# A cluster may take half a minute to close on a busy machine (see Executor.close and Cluster.close).
END_SECONDS = 60
# On two cores the first page loads torch and a victim, and a run under way takes its share.
PATIENCE_MS = 60_000
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-color-profile=srgb",
)


@dataclass(frozen=True)
class Dashboard:
    """A dashboard that runs: its address, its home, and the process."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]

    def descendants(self) -> list[psutil.Process]:
        """Its child processes, and theirs."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []


@contextlib.contextmanager
def dashboard(home: Path, workers: int = 1, **settings: str) -> Iterator[Dashboard]:
    """The dashboard's server on a free port; what it prints goes to `home`/dashboard.log.

    Args:
        settings: further environment variables.

    Raises:
        RuntimeError: it did not start, or left processes behind when it ended.
    """
    port = _free_port()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "dashboard.log"
    command = [sys.executable, "-m", "invmask.ui.server", "--server.port", str(port)]
    own = {
        "INVMASK_HOME": str(home),
        "INVMASK_WORKERS": str(workers),
        "INVMASK_THREADS": "1",
        "INVMASK_BUILT_IN_RUNS": "no",
        **settings,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--server.headless", "true"],
            cwd=ROOT,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = Dashboard(f"http://localhost:{port}", home, process)
    try:
        _wait_until_healthy(started, log)
        yield started
    finally:
        _end(started)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium.

    Raises:
        RuntimeError: there is none on this machine.
    """
    program = find_chromium()
    if program is None:
        raise RuntimeError(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def new_context(browser: Browser, width: int = 1440, height: int = 900, dark: bool = False) -> BrowserContext:
    """A reader of their own: no cookies, no storage, the theme that their system asks for."""
    return browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def _wait_until_healthy(started: Dashboard, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if started.process.poll() is not None:
            raise RuntimeError(f"The dashboard ended at once:\n{log.read_text()}")
        if _answers(f"{started.url}/_stcore/health"):
            return
        time.sleep(0.2)
    raise RuntimeError(f"The dashboard did not answer within {START_SECONDS} seconds:\n{log.read_text()}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _end(started: Dashboard) -> None:
    """As from a terminal's Ctrl-C, then by force; workers have to be gone either way."""
    family = started.descendants()
    started.process.send_signal(signal.SIGINT)
    try:
        started.process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        started.process.kill()
        started.process.wait()
    _, left = psutil.wait_procs(family, timeout=END_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    if left:
        raise RuntimeError(f"The dashboard left processes behind: {[process.pid for process in left]}")
