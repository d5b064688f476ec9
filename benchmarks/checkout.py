"""The state of the repository from which a result was made."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commit(checkout: Path = ROOT) -> str:
    """A checkout's commit, and whether code was changed since; empty if there is no repository."""

    def git(*words: str) -> str:
        run = subprocess.run(["git", *words], cwd=checkout, capture_output=True, text=True, check=False)
        return run.stdout.strip()

    changed = git("status", "--porcelain", "--", "invmask", "benchmarks/*.py")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
