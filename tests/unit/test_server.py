"""The dashboard's server imports what the first page needs, before it is asked for a page."""

import os
import subprocess
import sys

from invmask.cli.app import command
from invmask.ui.server import EARLY


def test_what_is_imported_early_is_there_and_before_the_server_runs():
    code = (
        "import runpy, sys, threading\n"
        "from invmask.ui import server\n"
        "def served(name, **_):\n"
        "    [each.join() for each in threading.enumerate() if each.name == 'early imports']\n"
        "    print(name, sys.argv[1:2], [early in sys.modules for early in server.EARLY])\n"
        "runpy.run_module = served\n"
        "server.main()\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.split() == ["streamlit", "['run']", *str([True] * len(EARLY)).split()]


def test_a_page_gets_one_thread_unless_the_environment_says_otherwise():
    code = "import invmask.ui, torch; print(torch.get_num_threads())"
    own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for given, expected in (({}, "1"), ({"OMP_NUM_THREADS": "2"}, "2")):
        child = subprocess.run(
            [sys.executable, "-c", code], env=own | given, capture_output=True, text=True, check=True
        )
        assert child.stdout.strip() == expected


def test_an_address_for_others_is_answered_under_any_name():
    assert "--server.allowedHosts" not in command(8501, "localhost")
    assert command(8501, "0.0.0.0")[-2:] == ["--server.allowedHosts", "*"]
