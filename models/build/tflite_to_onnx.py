"""Converts the TFLite graphs of MediaPipe's networks to ONNX: just the operators that they use, in float32, for any number of pictures.

Inside the ONNX graph images are NCHW; inputs and outputs keep TFLite's NHWC. Constants that TFLite stores as half
floats or sparsely are written out as dense float32.
"""

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
IR_VERSION = 8

BATCH = "batch"
TO_NCHW = (0, 3, 1, 2)
TO_NHWC = (0, 2, 3, 1)

OPERATORS = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
    tflite.TensorType.INT64: np.int64,
    tflite.TensorType.UINT8: np.uint8,
    tflite.TensorType.INT8: np.int8,
}
INDEX_VECTORS = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}


class ConversionError(Exception):
    """The graph has something that this converter does not know."""


def convert(graph, outputs, drop=()):
    """The ONNX model of a TFLite file's bytes, its outputs named `outputs` in order, less those in `drop`."""
    return _Converter(graph).run(outputs, drop)


class _Converter:
    def __init__(self, data):
        self.model = tflite.Model.GetRootAsModel(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.tensors = [self.graph.Tensors(i) for i in range(self.graph.TensorsLength())]
        self.constants = {i: c for i, t in enumerate(self.tensors) if (c := self._stored(t)) is not None}
        self.nodes, self.initializers = [], {}

    def run(self, outputs, drop):
        inputs = [self._input(i) for i in self.graph.InputsAsNumpy()]
        for k in range(self.graph.OperatorsLength()):
            self._operator(self.graph.Operators(k))
        results = [self._output(i, name) for i, name in zip(self.graph.OutputsAsNumpy(), outputs, strict=True) if name not in drop]
        nodes, used = self._reached({r.name for r in results})
        weights = [numpy_helper.from_array(a, n) for n, a in self.initializers.items() if n in used]
        graph = helper.make_graph(nodes, "mediapipe", inputs, results, weights)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="meshreel",
        )
        onnx.checker.check_model(model)
        return model

    def _reached(self, wanted):
        """The nodes that the wanted values depend on, in order, and the names of all values among them."""
        kept = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                kept.append(node)
                wanted = wanted.union(node.input)
        return kept[::-1], wanted

    def _stored(self, tensor):
        buffer = self.model.Buffers(tensor.Buffer())
        if not buffer.DataLength():
            return None
        values = buffer.DataAsNumpy().view(DTYPES[tensor.Type()])
        if tensor.Sparsity() is not None:
            return _dense(tensor, values)
        return values.reshape(tensor.ShapeAsNumpy() if tensor.ShapeLength() else ())

    def _shape(self, index):
        tensor = self.tensors[index]
        return [int(n) for n in tensor.ShapeAsNumpy()] if tensor.ShapeLength() else []

    def _input(self, index):
        shape = self._shape(index)
        self._node("Transpose", ["input"], _name(index), perm=TO_NCHW)
        return helper.make_tensor_value_info("input", TensorProto.FLOAT, [BATCH, *shape[1:]])

    def _output(self, index, name):
        shape = self._shape(index)
        if len(shape) == 4:
            self._node("Transpose", [_name(index)], name, perm=TO_NHWC)
        else:
            self._node("Identity", [_name(index)], name)
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape[1:]])

    def _node(self, operator, inputs, output, **attributes):
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def _constant(self, values):
        name = f"c{len(self.initializers)}"
        self.initializers[name] = np.ascontiguousarray(values)
        return name

    def _value(self, index):
        """The name of an operand: an activation, or a constant brought to NCHW."""
        if index not in self.constants:
            return _name(index)
        values = self.constants[index].astype(np.float32)
        if values.ndim == 4:
            values = values.transpose(TO_NCHW)
        elif values.ndim == 1:
            values = values.reshape(1, -1, 1, 1)
        return self._constant(values)

    def _activated(self, function, operator, inputs, output, **attributes):
        """A node followed by the activation that TFLite fuses with it."""
        kind = tflite.ActivationFunctionType
        if function == kind.NONE:
            return self._node(operator, inputs, output, **attributes)
        plain = self._node(operator, inputs, f"{output}_linear", **attributes)
        if function == kind.RELU:
            return self._node("Relu", [plain], output)
        if function == kind.RELU6:
            low, high = (self._constant(np.array(x, np.float32)) for x in (0, 6))
            return self._node("Clip", [plain, low, high], output)
        raise ConversionError(f"activation {function} is not supported")

    def _operator(self, operator):
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        name = OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = [int(i) for i in operator.InputsAsNumpy()]
        output = int(operator.OutputsAsNumpy()[0])
        handler = getattr(self, f"_{name.lower()}", None)
        if handler is None:
            raise ConversionError(f"operator {name} is not supported")
        handler(operator, inputs, output)

    def _dequantize(self, _, inputs, output):
        self.constants[output] = self.constants[inputs[0]].astype(DTYPES[self.tensors[output].Type()])

    _densify = _dequantize

    def _conv_2d(self, operator, inputs, output):
        weights = self.constants[inputs[1]].transpose(0, 3, 1, 2)  # OHWI to OIHW
        group = self._shape(inputs[0])[3] // weights.shape[1]
        self._convolution(_options(operator, tflite.Conv2DOptions), weights, group, inputs, output)

    def _depthwise_conv_2d(self, operator, inputs, output):
        weights = self.constants[inputs[1]].transpose(3, 0, 1, 2)  # 1HWC to C1HW
        group = self._shape(inputs[0])[3]
        self._convolution(_options(operator, tflite.DepthwiseConv2DOptions), weights, group, inputs, output)

    def _convolution(self, options, weights, group, inputs, output):
        kernel = weights.shape[2:]
        strides = [options.StrideH(), options.StrideW()]
        dilations = [options.DilationHFactor(), options.DilationWFactor()]
        operands = [_name(inputs[0]), self._constant(weights.astype(np.float32))]
        if len(inputs) > 2 and inputs[2] >= 0:
            operands.append(self._constant(self.constants[inputs[2]].astype(np.float32)))
        self._activated(
            options.FusedActivationFunction(),
            "Conv",
            operands,
            _name(output),
            kernel_shape=kernel,
            strides=strides,
            dilations=dilations,
            group=group,
            pads=self._pads(options, kernel, strides, dilations, inputs[0], output),
        )

    def _max_pool_2d(self, operator, inputs, output):
        options = _options(operator, tflite.Pool2DOptions)
        kernel = [options.FilterHeight(), options.FilterWidth()]
        strides = [options.StrideH(), options.StrideW()]
        self._activated(
            options.FusedActivationFunction(),
            "MaxPool",
            [_name(inputs[0])],
            _name(output),
            kernel_shape=kernel,
            strides=strides,
            pads=self._pads(options, kernel, strides, [1, 1], inputs[0], output),
        )

    def _pads(self, options, kernel, strides, dilations, source, output):
        """TFLite's padding, with the odd pixel at the end, as ONNX's [top, left, bottom, right]."""
        if options.Padding() == tflite.Padding.VALID:
            return [0, 0, 0, 0]
        sizes = zip(self._shape(source)[1:3], self._shape(output)[1:3], kernel, strides, dilations)
        total = [max((out - 1) * stride + (k - 1) * dilation + 1 - size, 0) for size, out, k, stride, dilation in sizes]
        begin = [t // 2 for t in total]
        return begin + [t - b for t, b in zip(total, begin)]

    def _add(self, operator, inputs, output):
        function = _options(operator, tflite.AddOptions).FusedActivationFunction()
        self._activated(function, "Add", [self._value(i) for i in inputs], _name(output))

    def _pad(self, _, inputs, output):
        pads = self.constants[inputs[1]].astype(np.int64)
        if len(pads) == 4:
            pads = pads[list(TO_NCHW)]
        self._node("Pad", [_name(inputs[0]), self._constant(pads.T.reshape(-1))], _name(output))

    def _resize_bilinear(self, operator, inputs, output):
        options = _options(operator, tflite.ResizeBilinearOptions)
        scale = [out / size for out, size in zip(self._shape(output)[1:3], self._shape(inputs[0])[1:3])]
        if options.AlignCorners():
            mode = "align_corners"
        else:
            mode = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        scales = self._constant(np.array([1, 1, *scale], np.float32))
        operands = [_name(inputs[0]), "", scales]
        self._node("Resize", operands, _name(output), mode="linear", coordinate_transformation_mode=mode)

    def _depth_to_space(self, operator, inputs, output):
        block = _options(operator, tflite.DepthToSpaceOptions).BlockSize()
        self._node("DepthToSpace", [_name(inputs[0])], _name(output), blocksize=block, mode="DCR")

    def _mean(self, operator, inputs, output):
        axes = [TO_NHWC[int(axis)] for axis in self.constants[inputs[1]].reshape(-1)]
        if len(self._shape(inputs[0])) != 4 or sorted(axes) != [2, 3]:
            raise ConversionError("a mean other than that of whole pictures is not supported")
        keep = _options(operator, tflite.ReducerOptions).KeepDims()
        self._node("ReduceMean", [_name(inputs[0])], _name(output), axes=sorted(axes), keepdims=int(keep))

    def _fully_connected(self, operator, inputs, output):
        if len(self._shape(inputs[0])) != 2:
            raise ConversionError("a fully connected layer of other than one vector a picture is not supported")
        weights = [self._constant(self.constants[i].astype(np.float32)) for i in inputs[1:] if i >= 0]
        function = _options(operator, tflite.FullyConnectedOptions).FusedActivationFunction()
        self._activated(function, "Gemm", [_name(inputs[0]), *weights], _name(output), transB=1)

    def _logistic(self, _, inputs, output):
        self._node("Sigmoid", [_name(inputs[0])], _name(output))

    def _reshape(self, _, inputs, output):
        """Reshaping means NHWC order, whatever rank comes and goes; the number of pictures stays."""
        source, shape = _name(inputs[0]), self._shape(output)
        if len(self._shape(inputs[0])) == 4:
            source = self._node("Transpose", [source], f"{source}_to{output}_nhwc", perm=TO_NHWC)
        size = self._constant(np.array([-1, *shape[1:]], np.int64))
        if len(shape) == 4:
            flat = self._node("Reshape", [source, size], f"{_name(output)}_nhwc")
            self._node("Transpose", [flat], _name(output), perm=TO_NCHW)
        else:
            self._node("Reshape", [source, size], _name(output))

    def _concatenation(self, operator, inputs, output):
        options, rank = _options(operator, tflite.ConcatenationOptions), len(self._shape(output))
        axis = options.Axis() % rank
        if rank == 4:
            axis = TO_NHWC[axis]
        function = options.FusedActivationFunction()
        self._activated(function, "Concat", [_name(i) for i in inputs], _name(output), axis=axis)


def _name(index):
    return f"t{index}"


def _options(operator, kind):
    options, union = kind(), operator.BuiltinOptions()
    options.Init(union.Bytes, union.Pos)
    return options


def _indices(kind, table):
    vector = INDEX_VECTORS[kind]()
    vector.Init(table.Bytes, table.Pos)
    return vector.ValuesAsNumpy().astype(np.int64)


def _dense(tensor, values):
    """A sparse constant written out.

    TFLite stores sparse tensors as TACO does: the dimensions in traversal order, then those inside blocks, each
    either dense or as segments of indices. Each stored value is a path through these levels.
    """
    sparsity, shape = tensor.Sparsity(), tensor.ShapeAsNumpy().astype(int)
    rank = len(shape)
    levels = [sparsity.DimMetadata(i) for i in range(sparsity.DimMetadataLength())]
    blocks = sparsity.BlockMapAsNumpy() if sparsity.BlockMapLength() else np.zeros(0)
    blocks = np.asarray(blocks, int).reshape(-1)
    block_size = np.ones(rank, int)
    for k, dimension in enumerate(blocks):
        block_size[dimension] = levels[rank + k].DenseSize()

    paths, position = np.zeros((1, 0), int), np.zeros(1, int)
    for level in levels:
        if level.Format() == tflite.DimensionType.DENSE:
            size = level.DenseSize()
            counts = np.full(len(paths), size)
            here = np.tile(np.arange(size), len(paths))
            position = np.repeat(position * size, size) + here
        else:
            segments = _indices(level.ArraySegmentsType(), level.ArraySegments())
            counts = segments[position + 1] - segments[position]
            starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
            position = np.repeat(segments[position] - starts, counts) + np.arange(counts.sum())
            here = _indices(level.ArrayIndicesType(), level.ArrayIndices())[position]
        paths = np.concatenate([np.repeat(paths, counts, 0), here[:, None]], 1)

    if len(values) != len(paths):
        raise ConversionError(f"a sparse tensor has {len(values)} values for {len(paths)} places")
    where = np.zeros((len(paths), rank), int)
    for level, dimension in enumerate(sparsity.TraversalOrderAsNumpy().astype(int)):
        if dimension < rank:
            where[:, dimension] += paths[:, level] * block_size[dimension]
        else:
            where[:, blocks[dimension - rank]] += paths[:, level]
    out = np.zeros(shape, values.dtype)
    out[tuple(where.T)] = values
    return out
