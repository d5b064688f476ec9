"""`python -m invmask`: the command line, which does everything that the dashboard does."""

import sys

from invmask.cli import main

if __name__ == "__main__":
    sys.exit(main())
