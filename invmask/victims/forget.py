"""Delete a model of one's own with its images."""

import shutil
from pathlib import Path

from invmask import settings
from invmask.data.own import OWN, own_folder
from invmask.errors import UserError


def forget(name: str, home: Path | None = None) -> None:
    """Delete a model of one's own with its images; runs of it remain, and say that their victim is missing."""
    where = home or settings.home()
    card = where / "victims" / f"{name}.json"
    if not name.startswith("own-") or not card.is_file():
        raise UserError(f"There is no model of your own called '{name:.60}'.")
    card.unlink()
    for weights in (where / "victims").glob(f"{name}*.safetensors"):
        weights.unlink()
    shutil.rmtree(own_folder(OWN + name.removeprefix("own-")), ignore_errors=True)
