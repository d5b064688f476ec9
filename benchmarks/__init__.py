"""Scripts that make every number in README and docs/, and their raw results."""

from invmask.waiting import choose_waiting

# Before torch, which many of them load before invmask.
choose_waiting()
