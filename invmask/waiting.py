"""How torch's threads wait for each other. OpenMP reads the setting when torch is loaded, so it is set before."""

import os

# A waiting thread checks this many times whether the others are ready, which takes some ten microseconds, and then
# sleeps. GNU's OpenMP checks 300,000 times by default. If other processes run, this takes the core from the thread that
# is waited for. No checks at all would be as good then, but slower on an idle machine (docs/speed.md).
VARIABLE, LOOKS = "GOMP_SPINCOUNT", "2000"


def choose_waiting() -> None:
    """Make threads wait briefly before they sleep, in this process and its children. An existing setting is kept."""
    if not os.environ.keys() & {VARIABLE, "OMP_WAIT_POLICY"}:
        os.environ[VARIABLE] = LOOKS
