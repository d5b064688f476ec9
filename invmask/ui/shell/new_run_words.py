"""The words in the address of the page Defend that say how a new run is set up."""

from invmask.defenses import registry

DEFENSE, PRESET, SPC = "defense", "preset", "spc"


def new_run_words() -> tuple[str, ...]:
    """All of them, for any defence: its name, its preset, the data budget, and every setting by its own name."""
    settings = [setting.name for entry in registry.entries().values() for setting in entry.config.settings()]
    return tuple(dict.fromkeys((DEFENSE, PRESET, SPC, "seed", *settings)))
