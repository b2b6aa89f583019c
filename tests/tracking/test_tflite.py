"""Networks with fewer outputs."""

from __future__ import annotations

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tracker_core.tracking.models import HOLISTIC_NETWORKS, ModelStore
from tracker_core.tracking.tflite import pruned


def test_a_pruned_network_gives_the_outputs_it_kept(models: ModelStore) -> None:
    file = models.members(HOLISTIC_NETWORKS) / "pose_landmarks_detector.tflite"
    content = file.read_bytes()
    kept = pruned(content, (0, 1, 3, 4))
    assert len(kept) < len(content)
    whole, part = (Interpreter(model_content=one, num_threads=1) for one in (content, kept))
    picture = np.random.default_rng(0).random((1, 256, 256, 3), np.float32)
    found = []
    for network in (whole, part):
        network.allocate_tensors()
        network.set_tensor(network.get_input_details()[0]["index"], picture)
        network.invoke()
        found.append([network.get_tensor(o["index"]) for o in network.get_output_details()])
    assert len(found[1]) == 4
    for one, same in zip([found[0][i] for i in (0, 1, 3, 4)], found[1], strict=True):
        assert (one == same).all()
