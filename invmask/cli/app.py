"""`app`: the dashboard, served by Streamlit from the folder where invmask is installed."""

import argparse
import os
import subprocess
import sys

LOCAL = frozenset({"localhost", "127.0.0.1"})


def app(arguments: argparse.Namespace) -> int:
    """Serve until interrupted; returns the server's exit status."""
    words = command(arguments.port, arguments.address)
    if os.name == "posix":
        # This process becomes the server, so that a signal to it stops the server.
        os.execv(words[0], words)
    return subprocess.run(words, check=False).returncode


def command(port: int, address: str) -> list[str]:
    """The server's command line. Its other options are in the config.toml beside the dashboard's script."""
    options = ["--server.port", str(port), "--server.address", address]
    if address not in LOCAL:
        # A dashboard that is opened to others is reached under host names that are not known beforehand.
        options += ["--server.allowedHosts", "*"]
    return [sys.executable, "-m", "invmask.ui.server", *options]
