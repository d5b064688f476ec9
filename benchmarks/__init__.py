"""Scripts that make every number in README and docs/, and their raw results."""

from invmask.waiting import choose_waiting

# This must run before torch is loaded, which many scripts import before invmask.
choose_waiting()
