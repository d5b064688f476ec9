"""Some test samples, clean and triggered, and what each view answers at the last round."""

from typing import Any

import numpy as np
import torch

from invmask.exports.replay.pictures import data_uri, pixels_of, small
from invmask.frames.run_records import RunRecords
from invmask.frames.samples import by_turns
from invmask.measure.views import view_probabilities

SAMPLES = 12


def flip_samples(records: RunRecords) -> dict[str, Any]:
    """At most `SAMPLES` samples, one class after the other, with every view's answers after the records' round.

    Answers are a label and a whole number of per cent, by view. A clean control has no triggered pictures.
    """
    found, answers = records.flip_samples, records.flip_samples.answers
    places = by_turns(answers.labels.tolist())[:SAMPLES]
    clean = torch.from_numpy(np.ascontiguousarray(found.clean[places]))
    repair, precision = records.run.repair_at(records.frame.round), records.frame.summary.spec.probe_precision
    of_clean = view_probabilities(records.victim.model, repair, repair.views, clean, precision).numpy()
    kinds = [("clean", found.clean[places], of_clean)]
    if found.triggered is not None:
        kinds.append(("triggered", found.triggered[places], answers.probabilities[:, places].numpy()))
    labels = [int(answers.labels[place]) for place in places]
    pictures = {kind: [data_uri(np.ascontiguousarray(p)) for p in small(pixels_of(x))] for kind, x, _ in kinds}
    return {
        "labels": labels,
        "targets": [answers.target_of(label) for label in labels],
        "kinds": [
            {
                "name": kind,
                "pictures": pictures[kind],
                "answers": said.argmax(2).tolist(),
                "sure": np.round(100 * said.max(2), 1).tolist(),
            }
            for kind, _, said in kinds
        ],
    }
