"""Who made a run: its folder holds the hash of a random key, which only its maker has.

The dashboard lets only the maker steer a run. A run without an owner, from the command line or from an earlier version,
may be steered by everybody. Whoever has the home, as the command line does, needs no key.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from pathlib import Path

from invmask.runs.store import files

_KEY = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_BYTES = 32


def new_key() -> str:
    """A new random key: 43 characters, 256 bits."""
    return secrets.token_urlsafe(_BYTES)


def is_key(text: str) -> bool:
    """Whether it has the form of a key."""
    return _KEY.fullmatch(text) is not None


def hashed(key: str) -> str:
    """What is stored of a key: SHA-256 in hex. A plain hash will do, because keys are as long and random as hashes."""
    return hashlib.sha256(key.encode()).hexdigest()


def set_owner(run: Path, key: str) -> None:
    """Store whose run it is, in the run's folder."""
    files.write_json(run / files.OWNER, {"sha256": hashed(key)})


def owner_of(run: Path) -> str | None:
    """The hash of the owner's key; None if the run has no owner. If the file is damaged, a hash that no key has."""
    try:
        values = files.read_json(run / files.OWNER)
        return None if values is None else str(values["sha256"])
    except (OSError, ValueError, KeyError):
        return ""


def may_steer(run: Path, key: str) -> bool:
    """Whether the run belongs to the holder of this key, or to nobody."""
    owner = owner_of(run)
    return owner is None or hmac.compare_digest(owner.encode(), hashed(key).encode())


def is_owned_by(run: Path, keys: Collection[str]) -> bool:
    """Whether it has an owner, who holds one of these keys."""
    owner = owner_of(run)
    return owner is not None and any(hmac.compare_digest(owner.encode(), hashed(key).encode()) for key in keys)
