"""invmask: learn, watch and flip invertible pruning masks on image classifiers that may carry a backdoor.

The method is "Backdoor Mitigation via Invertible Pruning Masks" (Dunnett et al., NeurIPS 2025,
arXiv 2509.15497), called IMS throughout.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from invmask.waiting import choose_waiting

# This has to run before any other part of invmask is imported, and so before torch.
choose_waiting()

if TYPE_CHECKING:
    from invmask.api import Defended, bring, defend, draw_budget, load_victim, victim_names
    from invmask.errors import UserError

__version__ = "0.1.0"
__all__ = ["Defended", "UserError", "bring", "defend", "draw_budget", "load_victim", "victim_names"]


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` when it is first used, because importing torch takes seconds."""
    if name in __all__:
        return getattr(import_module("invmask.errors" if name == "UserError" else "invmask.api"), name)
    raise AttributeError(f"module 'invmask' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
