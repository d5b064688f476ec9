"""Find the Chromium that the browser tests drive: the system's, for none is downloaded."""

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
MISSING = (
    "The browser tests need Chromium: install it (Debian: apt install chromium; macOS: brew install chromium) "
    "or set INVMASK_CHROMIUM to its program."
)


def find_chromium() -> str | None:
    """The program's path; None where there is none."""
    given = os.environ.get("INVMASK_CHROMIUM")
    if given:
        return shutil.which(given)
    found = (shutil.which(name) for name in NAMES)
    installed = (path for path in APPLICATIONS if Path(path).is_file())
    return next((path for path in (*found, *installed) if path), None)


if __name__ == "__main__":
    if find_chromium() is None:
        sys.exit(MISSING)
