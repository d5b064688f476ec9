"""How well IMS defends over data budgets: the sweep over the embedded victims, through the command that users have.

Cases that are done are skipped, so that it can be stopped and gone on with; results are kept under
results/sweep, one JSON file a case, and the table is in README:

    python -m benchmarks.sweep --spc 1,2,10
"""

import argparse
import json
import shutil
from pathlib import Path

from invmask import settings
from invmask.cli import main as invmask
from invmask.machine import processor

RESULTS = Path(__file__).parent / "results" / "sweep"
CASES, MACHINE = RESULTS / "cases", RESULTS / "machine.json"
NAME = "benchmark"


def main() -> None:
    """Sweep, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", default="badnets,blended,sig,lf,iab,wanet,bpp,clean")
    parser.add_argument("--spc", default="1,2,10,100")
    parser.add_argument("--seeds", default="0,1,2")
    asked = parser.parse_args()
    words = ["--attacks", asked.attacks, "--spc", asked.spc, "--seeds", asked.seeds, "--name", NAME]
    status = invmask(["sweep", *words])
    CASES.mkdir(parents=True, exist_ok=True)
    for path in (settings.sweeps_folder() / NAME).glob("*.json"):
        shutil.copy(path, CASES / path.name)
    MACHINE.write_text(json.dumps({"machine": processor(settings.device())}) + "\n")
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    main()
