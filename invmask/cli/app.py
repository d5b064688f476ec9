"""`app`: the dashboard, served by Streamlit from wherever invmask lies."""

import argparse
import os
import subprocess
import sys

from invmask import settings

LOCAL = frozenset({"localhost", "127.0.0.1"})


def app(arguments: argparse.Namespace) -> int:
    """Serve until somebody interrupts it; returns the server's exit status."""
    words = command(arguments.port, arguments.address)
    if os.name == "posix":
        # What stops us stops the server: this process becomes it.
        os.execv(words[0], words)
    return subprocess.run(words, check=False).returncode


def command(port: int, address: str) -> list[str]:
    """What is run. Its other options are in the config.toml beside the dashboard's script."""
    options = ["--server.port", str(port), "--server.address", address]
    if address not in LOCAL:
        # Whoever opens the dashboard to others reaches it under names that nobody knows beforehand.
        options += ["--server.allowedHosts", "*"]
    return [sys.executable, "-m", "streamlit", "run", str(settings.ROOT / "app.py"), *options]
