"""Images that were drawn on this machine may be drawn again; what rests on the earlier ones must notice."""

from pathlib import Path

import numpy as np
import pytest

from invmask.data.embedded import embedded_folder, load_embedded, write_part
from invmask.data.images import LabelledImages
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RunState
from invmask.runs.store.staleness import another_victim, of_todays_victim, result_key, victim_key
from invmask.runs.work import progress
from invmask.victims.victim import VictimCard, new_model, save_victim
from tests.unit.run_helpers import advance_to, small_spec, taken, write_victims

DATASET = "folder:pets@16"
OF_PETS = f"{DATASET}-preactresnet18w2-badnets"


def draw(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), 4)
    for part in ("budget", "test"):
        images = LabelledImages(random.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8), labels)
        write_part(embedded_folder(DATASET), part, images, np.arange(12), {"classes": ["cat", "dog", "emu"]})


@pytest.fixture
def home(own_home: Path) -> Path:
    for title in ("cat", "dog", "emu"):
        (own_home / "data" / "pets" / "train" / title).mkdir(parents=True)
    draw(0)
    card = VictimCard(
        name=OF_PETS,
        dataset=DATASET,
        architecture="preactresnet18w2",
        attack="badnets",
        poisoning_ratio=0.1,
        target_label=0,
        acc=0.1,
        asr=0.2,
        ra=0.1,
        n_test=12,
    )
    save_victim(own_home / "victims", card, new_model(DATASET, card.architecture))
    return own_home


@pytest.mark.usefixtures("home")
def test_images_drawn_again_are_read_again():
    before = load_embedded(DATASET, "test").images.pixels
    draw(1)
    assert not np.array_equal(before, load_embedded(DATASET, "test").images.pixels)


@pytest.mark.parametrize("warm", [True, False])
def test_a_run_does_not_go_on_with_images_drawn_again(home: Path, warm: bool):
    run = taken(home, small_spec(OF_PETS), 2)
    assert another_victim(run) is None
    keys = result_key(run), victim_key(run)
    draw(1)
    if not warm:
        progress._benches.clear()
    advance_to(run, 3)
    summary = run.summary()
    assert (summary.state, summary.round) == (RunState.FAILED, 2)
    assert "the images of its data set were drawn again. Begin a new run" in summary.message
    assert [now == then for now, then in zip((result_key(run), victim_key(run)), keys, strict=True)] == [False, False]
    new = taken(home, small_spec(OF_PETS), 1)
    assert [found.id for found in of_todays_victim(RunStore(home / "runs").listing().runs, OF_PETS, home / "runs")] == [
        new.id
    ]


def test_the_images_of_other_data_sets_are_nothing_to_a_run(home: Path):
    write_victims(home / "victims")
    run = taken(home, small_spec(), 1)
    keys = result_key(run), victim_key(run)
    draw(1)
    assert another_victim(run) is None
    assert (result_key(run), victim_key(run)) == keys
