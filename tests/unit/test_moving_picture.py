"""The replay as a moving picture: every round in order, and never above its size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from invmask.cli import main
from invmask.exports import moving_picture
from invmask.exports.moving_picture import LAST_MS, SIZE, draw_round, write_moving_picture
from invmask.frames.run_records import RunRecords, read_records
from tests.unit.run_helpers import small_spec, taken, write_victims


@pytest.fixture
def records(own_home: Path) -> RunRecords:
    write_victims(own_home / "victims")
    return read_records(taken(own_home, small_spec(), 5))


def test_each_round_is_a_picture_and_the_last_stays(records: RunRecords, tmp_path: Path, capsys):
    for name in ("run.gif", "run.webp"):
        assert main(["export", records.run.id, "--gif", str(tmp_path / name)]) == 0
        assert "6 pictures" in capsys.readouterr().out
        with Image.open(tmp_path / name) as made:
            assert (made.size, made.n_frames) == (SIZE, 6)
            stay = []
            for number in range(6):
                made.seek(number)
                made.load()
                stay.append(made.info["duration"])
    assert stay[-1] == LAST_MS > stay[0] > 0
    # The bar of rounds grows, and another round has another mask.
    drawn = [np.asarray(draw_round(records, number)) for number in (1, 5)]
    blue = [int((picture[83] == (0x25, 0x63, 0xEB)).all(1).sum()) for picture in drawn]
    assert blue[1] == pytest.approx(5 * blue[0], abs=5)
    assert (drawn[0][240:] != drawn[1][240:]).any()


def test_a_long_run_is_thinned_until_it_fits(records: RunRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "run.gif"
    monkeypatch.setattr(moving_picture, "MOST_PICTURES", 4)
    assert write_moving_picture(path, records) == 3
    whole = path.stat().st_size
    monkeypatch.setattr(moving_picture, "MOST_BYTES", whole - 1)
    assert write_moving_picture(path, records) < 3
    assert path.stat().st_size < whole


def test_another_ending_or_a_round_beside_it_gets_a_sentence(records: RunRecords, capsys):
    for words in (["--gif", "run.mp4"], ["--gif", "run.gif", "--round", "2"], ["--gif", "a.gif", "--out", "b.onnx"]):
        assert main(["export", records.run.id, *words]) != 0
        assert capsys.readouterr().err.count("\n") == 1
