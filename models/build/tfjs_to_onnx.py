"""Converts NanoDet's TensorFlow.js graph to ONNX, for people only and for pictures of any size.

The graph goes from a picture to three heads (cells of 8, 16 and 32 pixels). Its ends, which are written for one size, are
made anew here: the score of a person in each cell, and the distances from the cell's centre to the four sides.
"""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
IR_VERSION = 8

CLASSES = 80  # of COCO; a person is the first
BINS = 11  # of the distribution of each distance
INPUT_SIZE = 416  # that the graph was written for
# What the network was trained with, in the order blue, green, red of 0..255.
MEAN = np.array([103.53, 116.28, 123.675], np.float32)
DEVIATION = np.array([57.375, 57.12, 58.395], np.float32)

TO_NCHW = (0, 3, 1, 2)
DTYPES = {"float32": np.float32, "float16": np.float16, "int32": np.int32}


class ConversionError(Exception):
    """The graph has something that this converter does not know."""


def convert(graph, weights):
    """The ONNX model of a TensorFlow.js graph model's JSON and weights, both bytes.

    Input `input` [1, height, width, 3], multiples of 32 pixels, red, green, blue of 0..1. Outputs, cell by cell, the
    finest first: `scores` [1, cells] and `distances` [1, cells, 4], left, top, right and bottom in cells.
    """
    return _Converter(json.loads(graph), weights).run()


class _Converter:
    def __init__(self, model, weights):
        self.constants = _constants(model["weightsManifest"], weights)
        self.operators = [n for n in model["modelTopology"]["node"] if n["op"] not in ("Const", "SparseToDense")]
        self.nodes, self.initializers = [], {}
        self.tensors = {}  # name in the graph to name here, all NCHW: transposing leaves a tensor what it is
        self.padded = {}  # name in the graph to the tensor before padding: convolution and pooling pad by themselves
        self.strides = {}  # picture pixels to a tensor's pixel
        self.heads = []

    def run(self):
        for operator in self.operators:
            handler = getattr(self, f"_{operator['op'].lower()}", None)
            if handler is None:
                raise ConversionError(f"operator {operator['op']} is not supported")
            handler(operator["name"], [i.split(":")[0] for i in operator.get("input", [])], operator.get("attr", {}))
        results = self._ends()
        size = ["one", "height", "width", 3]
        graph = helper.make_graph(
            self.nodes,
            "person_detection",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *size[1:]])],
            results,
            [numpy_helper.from_array(a, n) for n, a in self.initializers.items()],
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="meshreel")
        onnx.checker.check_model(model)
        return model

    def _node(self, operator, inputs, output=None, **attributes):
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"{operator}_{len(self.nodes)}", **attributes))
        return output

    def _constant(self, values):
        name = f"c{len(self.initializers)}"
        self.initializers[name] = np.ascontiguousarray(values)
        return name

    def _set(self, name, tensor, stride):
        self.tensors[name], self.strides[tensor] = tensor, stride

    def _placeholder(self, name, _inputs, _attributes):
        planes = self._node("Transpose", ["input"], perm=TO_NCHW)
        scale, offset = 255 / DEVIATION[::-1], -MEAN[::-1] / DEVIATION[::-1]
        scale, offset = (self._constant(v.reshape(1, 3, 1, 1).astype(np.float32)) for v in (scale, offset))
        scaled = self._node("Mul", [planes, scale])
        self._set(name, self._node("Add", [scaled, offset]), 1)
        self.picture = self.tensors[name]

    def _transpose(self, name, inputs, _attributes):
        for known in (self.tensors, self.padded):
            if inputs[0] in known:
                known[name] = known[inputs[0]]

    def _pad(self, name, inputs, _attributes):
        if sorted(self.constants[inputs[1]].reshape(-1)) != [0, 0, 0, 0, 1, 1, 1, 1]:
            raise ConversionError(f"{name} pads by other than one pixel")
        self.padded[name] = self.tensors[inputs[0]]

    _padv2 = _pad

    def _source(self, name):
        """The tensor that a window moves over, and the width of the border it sees."""
        return (self.padded[name], 1) if name in self.padded else (self.tensors[name], 0)

    def _conv2d(self, name, inputs, attributes):
        source, border = self._source(inputs[0])
        weights = self.constants[inputs[1]].transpose(3, 2, 0, 1)  # HWIO to OIHW
        if source == self.picture:
            weights = weights[:, ::-1]  # pictures are red, green, blue here
        stride = int(attributes["strides"]["list"]["i"][1])
        output = self._node(
            "Conv",
            [source, self._constant(weights)],
            kernel_shape=weights.shape[2:],
            strides=[stride, stride],
            pads=[border] * 4,
        )
        self._set(name, output, self.strides[source] * stride)

    def _maxpool(self, name, inputs, attributes):
        source, border = self._source(inputs[0])
        kernel, strides = (attributes[key]["list"]["i"][1:3] for key in ("ksize", "strides"))
        kernel, strides = [int(v) for v in kernel], [int(v) for v in strides]
        output = self._node("MaxPool", [source], kernel_shape=kernel, strides=strides, pads=[border] * 4)
        self._set(name, output, self.strides[source] * strides[0])

    def _add(self, name, inputs, _attributes):
        if inputs[0] not in self.tensors:
            return  # of shapes, for the ends that are made anew
        left = self.tensors[inputs[0]]
        bias = self.constants.get(inputs[1])
        right = self.tensors[inputs[1]] if bias is None else self._constant(bias.reshape(1, -1, 1, 1))
        self._set(name, self._node("Add", [left, right]), self.strides[left])

    _addv2 = _add

    def _leakyrelu(self, name, inputs, attributes):
        source = self.tensors[inputs[0]]
        self._set(name, self._node("LeakyRelu", [source], alpha=attributes["alpha"]["f"]), self.strides[source])

    def _concatv2(self, name, inputs, _attributes):
        sources = [self.tensors[i] for i in inputs[:-1]]
        if int(self.constants[inputs[-1]]) != 1:
            raise ConversionError(f"{name} joins other than channels")
        self._set(name, self._node("Concat", sources, axis=1), self.strides[sources[0]])

    def _resizebilinear(self, name, inputs, attributes):
        if not attributes["half_pixel_centers"]["b"]:
            raise ConversionError(f"{name} does not resize about the middles of pixels")
        source = self.tensors[inputs[0]]
        stride = INPUT_SIZE // int(self.constants[inputs[1]][0])
        factor = self.strides[source] / stride
        scales = self._constant(np.array([1, 1, factor, factor], np.float32))
        output = self._node("Resize", [source, "", scales], mode="linear", coordinate_transformation_mode="half_pixel")
        self._set(name, output, stride)

    def _splitv(self, _name, inputs, _attributes):
        self.heads.append(self.tensors[inputs[0]])

    def _ignored(self, _name, _inputs, _attributes):
        """What comes after the heads."""

    _sigmoid = _reshape = _identity = _ignored

    def _ends(self):
        heads = sorted(self.heads, key=lambda head: self.strides[head])
        if [self.strides[head] for head in heads] != [8, 16, 32]:
            raise ConversionError("the graph does not have the three heads that were expected")
        slices = [self._constant(np.array([at], np.int64)) for at in (0, 1, CLASSES, CLASSES + 4 * BINS)]
        axis = self._constant(np.array([1], np.int64))
        by_cell = self._constant(np.array([1, -1], np.int64))
        by_bin = self._constant(np.array([1, 4, BINS, -1], np.int64))
        scores, bins = [], []
        for head in heads:
            person = self._node("Slice", [head, slices[0], slices[1], axis])
            scores.append(self._node("Reshape", [person, by_cell]))
            sides = self._node("Slice", [head, slices[2], slices[3], axis])
            bins.append(self._node("Reshape", [sides, by_bin]))
        self._node("Sigmoid", [self._node("Concat", scores, axis=1)], "scores")
        share = self._node("Softmax", [self._node("Concat", bins, axis=3)], axis=2)
        # A distance is the mean of its distribution.
        places = self._constant(np.arange(BINS, dtype=np.float32).reshape(1, BINS))
        mean = self._node("MatMul", [places, share])
        mean = self._node("Squeeze", [mean, self._constant(np.array([2], np.int64))])
        self._node("Transpose", [mean], "distances", perm=(0, 2, 1))
        return [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, "cells"]),
            helper.make_tensor_value_info("distances", TensorProto.FLOAT, [1, "cells", 4]),
        ]


def _constants(manifest, data):
    """Name to array; what is stored as half floats comes as float32."""
    constants, offset = {}, 0
    for weight in (w for group in manifest for w in group["weights"]):
        stored = DTYPES[weight.get("quantization", weight)["dtype"]]
        count = int(np.prod(weight["shape"]))
        values = np.frombuffer(data, stored, count, offset).reshape(weight["shape"])
        offset += values.nbytes
        constants[weight["name"]] = values.astype(np.float32) if stored == np.float16 else values
    if offset != len(data):
        raise ConversionError(f"there are {len(data)} bytes of weights for {offset}")
    return constants
