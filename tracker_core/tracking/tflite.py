"""Parts of a .tflite model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker_core.tracking.models import flatbuffer_schema


def pruned(content: bytes, outputs: Sequence[int]) -> bytes:
    """The model with these outputs alone, and nothing that only the others need.

    Args:
        content: of a .tflite file with one graph.
        outputs: numbers of the wanted outputs.
    """
    import flatbuffers

    schema = flatbuffer_schema("schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))
    (graph,) = model.subgraphs
    graph.outputs = np.array([graph.outputs[i] for i in outputs], np.int32)
    needed = set(graph.outputs.tolist())
    operators = []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs.tolist()):
            operators.append(operator)
            needed.update(operator.inputs.tolist())
    graph.operators = operators[::-1]
    model.signatureDefs = None  # they name the outputs by number
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
