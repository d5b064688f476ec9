"""The runs of a store by their specification, for finding many of them."""

import contextlib
import json
from dataclasses import replace

from invmask.errors import UserError
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec


class Known:
    """The runs of a store by their specification; each run is read once."""

    def __init__(self, runs: RunStore) -> None:
        self._runs, self._read = runs, set[str]()
        self._by_spec: dict[str, list[Run]] = {}

    def of(self, spec: RunSpec) -> list[Run]:
        """The runs with exactly this specification, except the number of threads; newest first."""
        fresh = [run for run in self._runs.runs() if run.id not in self._read]
        self._read.update(run.id for run in fresh)
        for run in reversed(fresh):
            with contextlib.suppress(UserError):
                self._by_spec.setdefault(_key(run.spec()), []).insert(0, run)
        return self._by_spec.get(_key(spec), [])


def _key(spec: RunSpec) -> str:
    return json.dumps(replace(spec, threads=1).as_json(), sort_keys=True)
