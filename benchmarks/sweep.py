"""How well IMS defends over data budgets: the sweep over the embedded victims, through the command that users have.

Cases that are done are skipped, so that it can be stopped and gone on with; results are kept under
results/sweep, one JSON file a case, and the table is in docs/results.md:

    python -m benchmarks.sweep --spc 1,2,10
"""

import argparse
import sys
from pathlib import Path

from benchmarks.cases import keep
from invmask import settings
from invmask.cli import main as invmask
from invmask.cli.sweep import numbers, words
from invmask.errors import UserError
from invmask.grids.grid import expand
from invmask.victims.victim import USUAL

RESULTS = Path(__file__).parent / "results" / "sweep"
NAME = "benchmark"


def main() -> None:
    """Sweep, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", default="badnets,blended,sig,lf,ssba,iab,wanet,bpp,clean")
    parser.add_argument("--spc", default="1,2,10,100")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--presets", default="default")
    asked = parser.parse_args()
    dataset, architecture = USUAL
    grid = (words(asked.attacks), [architecture], [dataset], [0.1], words(asked.presets))
    cases = expand(*grid, numbers(asked.spc, int, "SPC"), numbers(asked.seeds, int, "Seeds"))
    given = ["--attacks", asked.attacks, "--defenses", asked.presets, "--spc", asked.spc, "--seeds", asked.seeds]
    status = invmask(["sweep", *given, "--name", NAME])
    keep(cases, settings.sweeps_folder() / NAME, RESULTS)
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
