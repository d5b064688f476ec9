"""How torch's threads wait for each other. OpenMP reads it once, when torch is loaded, so it is said before."""

import os

# A thread that waits for the others looks so many times whether they are there, some ten microseconds' work, and then
# sleeps. GNU's OpenMP looks 300,000 times unless told: beside any other process, the one that is waited for has no
# core meanwhile. Never to look is as good then, and slower on an idle machine (docs/speed.md).
VARIABLE, LOOKS = "GOMP_SPINCOUNT", "2000"


def choose_waiting() -> None:
    """Have threads wait briefly before they sleep, in this process and its children; what is said already stays."""
    if not os.environ.keys() & {VARIABLE, "OMP_WAIT_POLICY"}:
        os.environ[VARIABLE] = LOOKS
