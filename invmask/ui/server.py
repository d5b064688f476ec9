"""The dashboard's server: Streamlit's own, which imports what every page needs while a browser is still on its way.

python -m invmask.ui.server --server.port 8501
"""

import runpy
import sys
from importlib import import_module
from threading import Thread

from invmask import settings

EARLY = ("torch", "invmask.ui.shell.sidebar", "invmask.ui.lesson.panel", "invmask.ui.start.examples")
"""What takes longest to import of all that the first page needs, in this order."""


def main() -> None:
    """Serve until interrupted. The words after the module's name are `streamlit run`'s options."""
    # First alone: two threads that import the same packages at once may meet half of one.
    import_module("streamlit.web.cli")
    Thread(target=_import_early, name="early imports", daemon=True).start()
    sys.argv = ["streamlit", "run", str(settings.ROOT / "app.py"), *sys.argv[1:]]
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)


def _import_early() -> None:
    for name in EARLY:
        import_module(name)


if __name__ == "__main__":
    main()
