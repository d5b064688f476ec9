"""`defenses`: the defences that can be run."""

from invmask.cli.tables import print_json, print_table
from invmask.defenses import registry


def show_all(as_json: bool) -> int:
    """Print every defence, the default one first."""
    every = registry.entries().values()
    if as_json:
        print_json([entry.as_json() for entry in every])
    else:
        rows = [[entry.name, entry.title, entry.family, ", ".join(entry.presets)] for entry in every]
        print_table(["name", "title", "family", "presets"], rows)
    return 0
