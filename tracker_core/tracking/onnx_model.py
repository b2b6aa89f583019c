"""TensorFlow Lite models translated to ONNX, for ONNX Runtime.

What a .tflite file holds is in TensorFlow Lite's flatbuffer schema (schema.fbs), whose Python
module comes with MediaPipe; what an ONNX node does is in ONNX's operator list
(https://onnx.ai/onnx/operators). The operators below are those of the models we run. The two
formats differ in three ways that matter:

- TensorFlow Lite keeps images as [batch, height, width, channels] (NHWC), ONNX as [batch, channels,
  height, width] (NCHW). Every result stays in the layout that it was computed in, and is
  transposed when, and only when, an operator asks for the other one.
- Weights may be stored as float16 behind DEQUANTIZE, and without their zeros behind DENSIFY. Both
  are undone here, so that the ONNX model holds plain float32 weights.
- Padding ``SAME`` becomes a count of pixels on each side; an activation inside an operator becomes
  an operator of its own. ONNX Runtime melts them into one again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_core.errors import ModelError
from tracker_core.tracking.models import flatbuffer_schema

# Operator set 17 (and its format version 8): old enough for any ONNX Runtime still in use.
_OPSET, _IR_VERSION = 17, 8
_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)

_Constant = npt.NDArray[Any]
_Translator = Callable[["_Translation", Any], None]


def onnx_model(content: bytes, outputs: Sequence[int]) -> bytes:
    """An ONNX model (a serialized ModelProto) that computes what a .tflite model computes.

    Shapes, input and outputs are those of the .tflite model: images stay [1, H, W, 3]. ``outputs``
    are positions among the model's outputs; what only the others need is left out.

    Raises ModelError when the bytes are no .tflite model, or the model has more than one input, or
    an operator or a use of one that is not known here.
    """
    import onnx

    schema = flatbuffer_schema("schema_py_generated")
    if not schema.Model.ModelBufferHasIdentifier(content, 0):
        raise ModelError("these bytes are no TensorFlow Lite model: they do not say TFL3")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    if len(model.subgraphs) != 1 or len(model.subgraphs[0].inputs) != 1:
        raise ModelError("the TensorFlow Lite model must be one graph with one input")
    translation = _Translation(schema, model)
    translated = onnx.helper.make_model(
        translation.graph([int(model.subgraphs[0].outputs[i]) for i in outputs]),
        producer_name="tracker",
        ir_version=_IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
    )
    return bytes(translated.SerializeToString())


class _Translation:
    """One graph on its way from TensorFlow Lite to ONNX.

    Tensors are known by their index in the .tflite graph. A tensor is a constant, or has a name in
    the ONNX graph; one of four dimensions may have two, as it was (NHWC) and as NCHW.
    """

    def __init__(self, schema: Any, model: Any) -> None:
        self._schema = schema
        self._model = model
        self._tensors = model.subgraphs[0].tensors
        self._kinds: dict[int, str] = {
            number: kind
            for kind, number in vars(schema.BuiltinOperator).items()
            if not kind.startswith("_")
        }
        self._types: dict[int, npt.DTypeLike] = {
            schema.TensorType.FLOAT32: "<f4",
            schema.TensorType.FLOAT16: "<f2",
            schema.TensorType.INT32: "<i4",
            schema.TensorType.INT64: "<i8",
        }
        self._constants: dict[int, _Constant] = {}
        self._names: dict[tuple[int, bool], str] = {}  # (tensor, is it NCHW?)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def graph(self, outputs: Sequence[int]) -> Any:
        """The ONNX GraphProto with these tensors as outputs."""
        from onnx import TensorProto, helper

        (given,) = (int(index) for index in self._model.subgraphs[0].inputs)
        self._names[given, False] = "input"
        for operator in self._needed(outputs):
            kind = self._kind(operator)
            if kind not in _OPERATORS:
                raise ModelError(
                    f"the operator {kind} of the TensorFlow Lite model is not known here: use "
                    f"another engine than ONNX Runtime (known: {', '.join(sorted(_OPERATORS))})"
                )
            _OPERATORS[kind](self, operator)
        names = [self.name(index) for index in outputs]
        return helper.make_graph(
            self._nodes,
            "tflite",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, self.shape(given))],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, self.shape(index))
                for name, index in zip(names, outputs, strict=True)
            ],
            self._weights,
        )

    def _needed(self, outputs: Sequence[int]) -> list[Any]:
        """The operators that the outputs depend on, in their order."""
        wanted, found = set(outputs), []
        for operator in reversed(self._model.subgraphs[0].operators):
            if wanted.intersection(operator.outputs.tolist()):
                wanted.update(operator.inputs.tolist())
                found.append(operator)
        return found[::-1]

    def _kind(self, operator: Any) -> str:
        code = self._model.operatorCodes[operator.opcodeIndex]
        # The second is a byte that old models have alone; for newer operators it says 127.
        number = int(max(code.builtinCode, code.deprecatedBuiltinCode))
        return self._kinds.get(number, str(number))

    # Tensors

    def shape(self, index: int) -> list[int]:
        """Shape in the .tflite model's layout, where a scalar may have none."""
        shape = self._tensors[index].shape
        return [] if shape is None else [int(size) for size in shape]

    def is_constant(self, index: int) -> bool:
        data = self._model.buffers[self._tensors[index].buffer].data
        return index in self._constants or (data is not None and len(data) > 0)

    def constant(self, index: int) -> _Constant:
        """Value of a constant tensor; raises ModelError when it is computed, or quantised."""
        if index not in self._constants:
            tensor = self._tensors[index]
            if not self.is_constant(index) or tensor.type not in self._types:
                name = tensor.name.decode(errors="replace")
                reason = "quantised" if self.is_constant(index) else "computed"
                raise ModelError(
                    f"{name} of the TensorFlow Lite model is {reason}, which is not known here: "
                    "use another engine than ONNX Runtime"
                )
            stored = self._model.buffers[tensor.buffer].data
            values: _Constant = stored.view(self._types[tensor.type])
            if tensor.sparsity is not None:
                values = _dense(values, self.shape(index), tensor.sparsity)
            self._constants[index] = values.reshape(self.shape(index))
        return self._constants[index]

    def set_constant(self, operator: Any, value: _Constant) -> None:
        """Take a value as the operator's result."""
        self._constants[int(operator.outputs[0])] = value

    def is_nchw(self, index: int) -> bool:
        """Whether the tensor was computed, or asked for, as NCHW."""
        return (index, True) in self._names

    def name(self, index: int, nchw: bool = False) -> str:
        """Name of the tensor in the ONNX graph, in the layout that is asked for."""
        if (index, nchw) not in self._names:
            if self.is_constant(index):
                value = self.constant(index)
                if nchw:
                    value = value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(_TO_NCHW)
                name = self.weight(value)
            else:
                order = _TO_NCHW if nchw else _TO_NHWC
                name = self.node("Transpose", [self._names[index, not nchw]], perm=order)
            self._names[index, nchw] = name
        return self._names[index, nchw]

    def names(self, indices: Iterable[int]) -> list[str]:
        """Names of tensors, as they were; -1 stands for one that an operator does without."""
        return [self.name(index) for index in indices if index >= 0]

    def weight(self, value: npt.ArrayLike) -> str:
        """Name of a new constant in the ONNX graph; numbers become what ONNX wants of positions."""
        from onnx import numpy_helper

        array = value if isinstance(value, np.ndarray) else np.array(value, np.int64)
        self._weights.append(numpy_helper.from_array(array, f"weight_{len(self._weights)}"))
        return f"weight_{len(self._weights) - 1}"

    # Nodes

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node; returns the name of its result."""
        from onnx import helper

        name = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def finish(self, operator: Any, name: str, nchw: bool = False) -> None:
        """Take a node's result as the operator's, after the activation that the operator holds."""
        code = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        activations = self._schema.ActivationFunctionType
        if code == activations.RELU:
            name = self.node("Relu", [name])
        elif code == activations.RELU6:
            limits = [self.weight(np.array(limit, np.float32)) for limit in (0, 6)]
            name = self.node("Clip", [name, *limits])
        elif code != activations.NONE:
            raise ModelError(f"activation {code} of the TensorFlow Lite model is not known here")
        self._names[int(operator.outputs[0]), nchw] = name

    def pads(self, operator: Any, sides: Sequence[int]) -> list[int]:
        """Pixels to add round an image under a kernel of these sides: top, left, bottom, right.

        ``SAME`` gives ceil(size / stride) pixels, and an odd pixel of padding goes below or right
        (tflite/kernels/padding.h).
        """
        options = operator.builtinOptions
        if options.padding == self._schema.Padding.VALID:
            return [0, 0, 0, 0]
        before, after = [], []
        for size, side, stride, dilation in zip(
            self.shape(operator.inputs[0])[1:3],
            sides,
            _strides(options),
            _dilations(options),
            strict=True,
        ):
            covered = (-(-size // stride) - 1) * stride + (side - 1) * dilation + 1
            missing = max(covered - size, 0)
            before.append(missing // 2)
            after.append(missing - missing // 2)
        return before + after


def _strides(options: Any) -> list[int]:
    return [options.strideH, options.strideW]


def _dilations(options: Any) -> list[int]:
    return [getattr(options, "dilationHFactor", 1), getattr(options, "dilationWFactor", 1)]


def _dense(values: _Constant, shape: Sequence[int], sparsity: Any) -> _Constant:
    """A sparse tensor with its zeros put back; its last dimension must be the only sparse one.

    Each row along the last dimension is stored as the values that are not zero and their columns
    (compressed sparse rows).
    """
    formats = [dimension.format for dimension in sparsity.dimMetadata]
    order = sparsity.traversalOrder.tolist()
    if order != list(range(len(shape))) or formats != [0] * (len(shape) - 1) + [1]:
        raise ModelError("weights of the TensorFlow Lite model are sparse in a way not known here")
    ends = np.asarray(sparsity.dimMetadata[-1].arraySegments.values, np.int64)
    columns = np.asarray(sparsity.dimMetadata[-1].arrayIndices.values, np.int64)
    rows = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    dense = np.zeros((len(ends) - 1, shape[-1]), values.dtype)
    dense[rows, columns] = values
    return dense


# What follows takes one operator of the .tflite graph over into the ONNX graph.


def _conv_2d(graph: _Translation, operator: Any) -> None:
    image, kernel, *bias = operator.inputs
    weights = graph.constant(kernel).transpose(_TO_NCHW)  # from [out, H, W, in]
    alone = weights.shape[2:] == (1, 1) and _strides(operator.builtinOptions) == [1, 1]
    if alone and not graph.is_nchw(image):
        # Pixels one by one: a product of matrices, which spares the transposition.
        _product(graph, operator, graph.name(image), weights[:, :, 0, 0], bias)
    else:
        _convolution(graph, operator, weights)


def _depthwise_conv_2d(graph: _Translation, operator: Any) -> None:
    _convolution(graph, operator, graph.constant(operator.inputs[1]).transpose(3, 0, 1, 2))


def _convolution(graph: _Translation, operator: Any, weights: _Constant) -> None:
    """A convolution with weights as ONNX wants them: [out, in / groups, H, W]."""
    image, _, *bias = operator.inputs
    sides = weights.shape[2:]
    result = graph.node(
        "Conv",
        [graph.name(image, nchw=True), graph.weight(weights), *graph.names(bias)],
        group=graph.shape(image)[3] // weights.shape[1],
        kernel_shape=sides,
        strides=_strides(operator.builtinOptions),
        dilations=_dilations(operator.builtinOptions),
        pads=graph.pads(operator, sides),
    )
    graph.finish(operator, result, nchw=True)


def _fully_connected(graph: _Translation, operator: Any) -> None:
    values, kernel, *bias = operator.inputs
    weights = graph.constant(kernel)
    rows = graph.name(values)
    if not operator.builtinOptions.keepNumDims:
        rows = graph.node("Reshape", [rows, graph.weight([-1, weights.shape[1]])])
    _product(graph, operator, rows, weights, bias)


def _product(
    graph: _Translation, operator: Any, rows: str, weights: _Constant, bias: Iterable[int]
) -> None:
    """Rows [..., in] times the transpose of weights [out, in], plus bias [out]."""
    result = graph.node("MatMul", [rows, graph.weight(weights.T)])
    for name in graph.names(bias):
        result = graph.node("Add", [result, name])
    graph.finish(operator, result)


def _max_pool_2d(graph: _Translation, operator: Any) -> None:
    sides = [operator.builtinOptions.filterHeight, operator.builtinOptions.filterWidth]
    result = graph.node(
        "MaxPool",
        [graph.name(operator.inputs[0], nchw=True)],
        kernel_shape=sides,
        strides=_strides(operator.builtinOptions),
        pads=graph.pads(operator, sides),
    )
    graph.finish(operator, result, nchw=True)


def _pad(graph: _Translation, operator: Any) -> None:
    values, amounts = operator.inputs
    before, after = graph.constant(amounts).T.tolist()
    if len(before) != 4:
        name = graph.node("Pad", [graph.name(values), graph.weight(before + after)])
        graph.finish(operator, name)
        return
    image = graph.name(values, nchw=True)
    if any(before[:3] + after[:3]):
        pads = [side[axis] for side in (before, after) for axis in _TO_NCHW]
        result = graph.node("Pad", [image, graph.weight(pads)])
    else:
        # Channels of zeros: ONNX Runtime's convolutions keep images in blocks of channels, which a
        # Pad would unpack and pack again. A convolution that copies its input does not.
        channels = graph.shape(values)[3]
        copy = np.eye(before[3] + channels + after[3], channels, -before[3], np.float32)
        result = graph.node("Conv", [image, graph.weight(copy[:, :, None, None])])
    graph.finish(operator, result, nchw=True)


def _resize_bilinear(graph: _Translation, operator: Any) -> None:
    options = operator.builtinOptions
    mode = "half_pixel" if options.halfPixelCenters else "asymmetric"
    batch, height, width, channels = graph.shape(operator.outputs[0])
    sizes = graph.weight([batch, channels, height, width])
    result = graph.node(
        "Resize",
        [graph.name(operator.inputs[0], nchw=True), "", "", sizes],
        mode="linear",
        coordinate_transformation_mode="align_corners" if options.alignCorners else mode,
    )
    graph.finish(operator, result, nchw=True)


def _depth_to_space(graph: _Translation, operator: Any) -> None:
    image = graph.name(operator.inputs[0], nchw=True)
    side = operator.builtinOptions.blockSize
    result = graph.node("DepthToSpace", [image], blocksize=side, mode="DCR")
    graph.finish(operator, result, nchw=True)


def _elementwise(kind: str) -> _Translator:
    """An operator that works in either layout: it takes the one that its inputs lie in."""

    def translate(graph: _Translation, operator: Any) -> None:
        computed = [index for index in operator.inputs if not graph.is_constant(index)]
        nchw = any(graph.is_nchw(index) for index in computed)
        nchw = nchw and all(len(graph.shape(index)) == 4 for index in computed)
        inputs = [graph.name(index, nchw) for index in operator.inputs]
        graph.finish(operator, graph.node(kind, inputs), nchw)

    return translate


def _prelu(graph: _Translation, operator: Any) -> None:
    """x where x is positive, slope * x elsewhere, for one slope a channel.

    ONNX has PRelu, but on the CPU ONNX Runtime spends three quarters of the face mesh's time in it.
    Convolutions of one pixel and one channel are fast: x + (1 - slope) * max(-x, 0).
    """
    values, slopes = operator.inputs
    slope = graph.constant(slopes)
    if slope.size != graph.shape(values)[-1] or len(graph.shape(values)) != 4:
        _elementwise("PRelu")(graph, operator)
        return

    def scaled(name: str, factors: _Constant) -> str:
        kernel = graph.weight(factors.reshape(-1, 1, 1, 1))
        return graph.node("Conv", [name, kernel], group=factors.size)

    x = graph.name(values, nchw=True)
    below = graph.node("Relu", [scaled(x, np.full_like(slope, -1))])
    graph.finish(operator, graph.node("Add", [x, scaled(below, 1 - slope)]), nchw=True)


def _squared_difference(graph: _Translation, operator: Any) -> None:
    difference = graph.node("Sub", graph.names(operator.inputs))
    graph.finish(operator, graph.node("Mul", [difference, difference]))


def _rsqrt(graph: _Translation, operator: Any) -> None:
    root = graph.node("Sqrt", graph.names(operator.inputs))
    graph.finish(operator, graph.node("Reciprocal", [root]))


def _mean(graph: _Translation, operator: Any) -> None:
    values, along = operator.inputs
    axes = graph.constant(along).reshape(-1).tolist()
    keep = int(operator.builtinOptions.keepDims)
    result = graph.node("ReduceMean", [graph.name(values)], axes=axes, keepdims=keep)
    graph.finish(operator, result)


def _sum(graph: _Translation, operator: Any) -> None:
    values, along = operator.inputs
    axes = graph.weight(graph.constant(along).reshape(-1).tolist())
    keep = int(operator.builtinOptions.keepDims)
    graph.finish(operator, graph.node("ReduceSum", [graph.name(values), axes], keepdims=keep))


def _reshape(graph: _Translation, operator: Any) -> None:
    shape = graph.weight(graph.shape(operator.outputs[0]))
    graph.finish(operator, graph.node("Reshape", [graph.name(operator.inputs[0]), shape]))


def _transpose(graph: _Translation, operator: Any) -> None:
    values, order = operator.inputs
    result = graph.node("Transpose", [graph.name(values)], perm=graph.constant(order).tolist())
    graph.finish(operator, result)


def _concatenation(graph: _Translation, operator: Any) -> None:
    axis = operator.builtinOptions.axis
    graph.finish(operator, graph.node("Concat", graph.names(operator.inputs), axis=axis))


def _strided_slice(graph: _Translation, operator: Any) -> None:
    """Bit i of a mask says of axis i: begin or end left open, or taken at one place and dropped."""
    options = operator.builtinOptions
    values, *limits = operator.inputs
    begins, ends, steps = (graph.constant(index).tolist() for index in limits)
    if options.ellipsisMask or options.newAxisMask or min(steps) < 0:
        raise ModelError("a slice of the TensorFlow Lite model is of a kind not known here")
    axes = range(len(begins))
    dropped = [axis for axis in axes if options.shrinkAxisMask >> axis & 1]
    for axis, size in zip(axes, graph.shape(values), strict=False):
        if axis in dropped:
            begins[axis] %= size
            ends[axis] = begins[axis] + 1
        else:
            begins[axis] = 0 if options.beginMask >> axis & 1 else begins[axis]
            ends[axis] = size if options.endMask >> axis & 1 else ends[axis]
    limits = [graph.weight(numbers) for numbers in (begins, ends, list(axes), steps)]
    result = graph.node("Slice", [graph.name(values), *limits])
    if dropped:
        result = graph.node("Squeeze", [result, graph.weight(dropped)])
    graph.finish(operator, result)


def _dequantize(graph: _Translation, operator: Any) -> None:
    # A constant that is not float has already been refused.
    graph.set_constant(operator, graph.constant(operator.inputs[0]).astype(np.float32))


def _densify(graph: _Translation, operator: Any) -> None:
    graph.set_constant(operator, graph.constant(operator.inputs[0]))


_OPERATORS: Mapping[str, _Translator] = {
    "ADD": _elementwise("Add"),
    "CONCATENATION": _concatenation,
    "CONV_2D": _conv_2d,
    "DENSIFY": _densify,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "DEPTH_TO_SPACE": _depth_to_space,
    "DEQUANTIZE": _dequantize,
    "DIV": _elementwise("Div"),
    "FULLY_CONNECTED": _fully_connected,
    "LOGISTIC": _elementwise("Sigmoid"),
    "MAX_POOL_2D": _max_pool_2d,
    "MEAN": _mean,
    "MUL": _elementwise("Mul"),
    "NEG": _elementwise("Neg"),
    "PAD": _pad,
    "PRELU": _prelu,
    "RELU": _elementwise("Relu"),
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize_bilinear,
    "RSQRT": _rsqrt,
    "SQRT": _elementwise("Sqrt"),
    "SQUARED_DIFFERENCE": _squared_difference,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _elementwise("Sub"),
    "SUM": _sum,
    "TRANSPOSE": _transpose,
}
