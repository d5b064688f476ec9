"""The fuzzer makes different damaged files from one seed, sees what is wrong with a reader, and its table says so."""

import json
import pickletools
import random
from pathlib import Path

import pytest

from benchmarks import fuzz, fuzz_damage, fuzz_reading, fuzz_table
from benchmarks.fuzz_damage import damaged
from benchmarks.fuzz_seeds import SEEDS
from invmask import confined
from invmask.errors import UserError


def good(kind: str, folder: Path) -> bytes:
    path = folder / f"x{SEEDS[kind].ending}"
    SEEDS[kind].write(path)
    return path.read_bytes()


@pytest.mark.parametrize("kind", SEEDS)
def test_damage_is_of_many_sorts_and_repeats(kind: str, tmp_path: Path):
    content = good(kind, tmp_path)
    others = [b"x" * 50, good("PNG", tmp_path)]
    made = [[damaged(content, others, "/m", random.Random(seed)) for seed in range(60)] for _ in range(2)]
    assert made[0] == made[1]
    assert len(set(made[0])) > 45


def test_harmful_instructions_are_well_formed():
    for part in fuzz_damage._harmful("/m"):
        names = [f"{op.name}" for op, _, _ in pickletools.genops(b"\x80\x02" + part + b".")]
        assert names[1] == "GLOBAL"
        assert names[-2] == "REDUCE"


def test_undamaged_files_are_read_or_refused_by_name(tmp_path: Path):
    for kind in ("safetensors", "PNG", "npz", "zip of pictures"):
        folder = tmp_path / kind
        path = fuzz._put(folder, 0, SEEDS[kind], good(kind, tmp_path))
        (told,) = fuzz_reading.read_batch([str(path)], str(tmp_path))
        assert not told.keys() - {"seconds", "left_out"}
        assert not told.get("left_out")


def test_a_crash_is_found_among_many_and_the_others_are_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []

    def call(_, paths: list[str], *__, **___):
        calls.append(len(paths))
        contents = [Path(path).read_text() for path in paths]
        if "crash" in contents:
            raise UserError("It is damaged so badly that the process which read it crashed; get it again.")
        words = {"words": {"sentence": "two\nlines of it"}, "fine": {}}
        return [{"seconds": 0.1, **words[content]} for content in contents]

    monkeypatch.setattr(confined, "call", call)
    paths = [tmp_path / str(number) for number in range(8)]
    for number, path in enumerate(paths):
        path.write_text({2: "crash", 5: "words"}.get(number, "fine"))
    found = fuzz.Outcome(files=8)
    for path, told in zip(paths, fuzz._read(paths), strict=True):
        fuzz._count(found, path, told)
    assert (found.crashed, found.read, found.refused, found.not_plain) == (1, 6, 1, 1)
    assert calls[0] == 8
    assert calls.count(1) == 2


def test_harm_and_files_outside_are_seen(monkeypatch: pytest.MonkeyPatch):
    def read(paths: list[Path]):
        (paths[0].parents[1] / "harmed").touch()
        (paths[0].parent / "stray").touch()
        return [{"seconds": 11.0 if path == paths[1] else 0.1} for path in paths]

    monkeypatch.setattr(fuzz, "_read", read)
    monkeypatch.setattr(fuzz, "END_TO_END", 0)
    found = fuzz.outcome_of("HDF5", SEEDS["HDF5"], 5, random.Random(0), [b"x"])
    # The stray file, and the folder that it is in.
    assert (found.harmed, found.outside >= 1, found.slow, found.read) == (1, True, 1, 4)


def test_the_table_says_what_was_found(tmp_path: Path):
    assert fuzz_table.fuzz_table(tmp_path / "none.json").startswith("Not measured")
    one = {
        **dict.fromkeys(("crashed", "memory", "slow", "outside", "harmed", "not_plain", "end_to_end"), 0),
        "files": 1200,
        "read": 150,
        "left_out": 50,
        "refused": 990,
        "otherwise": {"KeyError": 10},
        "slowest": 0.52,
    }
    result = {"machine": "a machine", "seed": 0, "minutes": 2.5, "kinds": {"PNG": one, "GIF": {**one, "harmed": 3}}}
    (tmp_path / "fuzz.json").write_text(json.dumps(result))
    table = fuzz_table.fuzz_table(tmp_path / "fuzz.json")
    assert "| PNG | 1,200 | 150 | 50 | 1,000 | 0 | 0 | 0 | 0.52 s |" in table
    assert "2,400 files in all" in table
    assert "Harmful instructions followed: 3." in table


def test_the_stored_run_has_enough_files_and_nothing_got_out():
    found = json.loads(fuzz_table.RESULT.read_text())
    kinds = found["kinds"]
    assert set(kinds) == set(SEEDS)
    assert sum(of["files"] for of in kinds.values()) >= 10_000
    for name in ("outside", "harmed", "not_plain", "slow"):
        assert {kind: of[name] for kind, of in kinds.items() if of[name]} == {}
