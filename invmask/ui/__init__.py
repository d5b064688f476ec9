import os

# Before torch is loaded: a page is drawn in a new thread each time, and torch asks the environment for each of them.
# One thread each: several pages may be drawn at once, and the other cores are for the runs.
os.environ.setdefault("OMP_NUM_THREADS", "1")
