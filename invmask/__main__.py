"""`python -m invmask`: everything the dashboard does, without it."""

import sys

from invmask.cli import main

if __name__ == "__main__":
    sys.exit(main())
