"""Small ONNX networks that find coloured marks in what they are shown, of plain operators.

A mark is a soft disc. Its place is the mean of the pixels' coordinates (whole numbers are the middles of pixels), weighted with how much of the
mark's colour is there.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

# Colours of the marks: A (magenta), B (green) and C (blue, with some green that says something).
A, B, C = "A", "B", "C"
# How much more of its colours than of the others there is where a mark counts.
LEAST = 0.4


class Graph:
    """A network in the making: `g("Add", x, 1.0)` adds an operator and gives the name of what comes out."""

    def __init__(self):
        self.nodes, self.constants, self.outputs = [], [], []

    def __call__(self, kind, *inputs, **attributes):
        name = f"{kind}{len(self.nodes)}"
        inputs = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value):
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f"constant{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(array, name))
        return name

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    def output(self, name, value, shape, kind=TensorProto.FLOAT):
        """Names what comes out; `shape` without the first axis."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append((name, shape, kind))

    def save(self, path, inputs, batch):
        """`inputs`: name, shape without the first axis, and type of each."""
        info = lambda name, shape, kind: helper.make_tensor_value_info(name, kind, [batch or "batch", *shape])
        graph = helper.make_graph(
            self.nodes, "marks", [info(*each) for each in inputs], [info(*each) for each in self.outputs], self.constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, path)

    def columns(self, *values, shape=()):
        """Numbers [B,1] side by side, as [B, *shape]."""
        joined = self("Concat", *values, axis=1)
        return self("Reshape", joined, self.ints(-1, *shape)) if shape else joined

    def total(self, *values):
        out = values[0]
        for each in values[1:]:
            out = self("Add", out, each)
        return out

    def flat(self, value):
        """[B,1] of [B,1,1,1]."""
        return self("Reshape", value, self.ints(-1, 1))


class Shown:
    """What a network of a size is shown, whatever the layout, order and range of its colours."""

    def __init__(self, size, layout="nchw", colors="rgb", scale=1.0, mean=(0, 0, 0), std=(1, 1, 1), half=False, batch=None, name="img"):
        self.size, self.layout, self.colors, self.half, self.batch, self.name = size, layout, colors, half, batch, name
        self.scale, self.mean, self.std = scale, list(mean), list(std)

    def input(self):
        width, height = self.size
        shape = [3, height, width] if self.layout == "nchw" else [height, width, 3]
        return self.name, shape, TensorProto.FLOAT16 if self.half else TensorProto.FLOAT

    def description(self):
        lines = [f"size = {list(self.size)}", f'layout = "{self.layout}"', f'colors = "{self.colors}"', f"scale = {float(self.scale)}"]
        lines += [f"mean = {[float(v) for v in self.mean]}", f"std = {[float(v) for v in self.std]}"]
        return "[input]\n" + "\n".join(lines) + "\n"

    def given(self, g):
        """The numbers as they are given, [B,3,H,W] in their own order of colours."""
        shown = g("Cast", self.name, to=TensorProto.FLOAT) if self.half else self.name
        return g("Transpose", shown, perm=[0, 3, 1, 2]) if self.layout == "nhwc" else shown

    def colours(self, g):
        """Red, green and blue of 0 to 1, [B,1,H,W] each."""
        column = lambda values: np.array(values, np.float32).reshape(1, 3, 1, 1)
        real = g("Div", g("Add", g("Mul", self.given(g), column(self.std)), column(self.mean)), float(self.scale))
        order = range(3) if self.colors == "rgb" else (2, 1, 0)
        return [g("Slice", real, g.ints(k), g.ints(k + 1), g.ints(1)) for k in order]


def excess(g, colours, mark):
    """How much of a mark's colour there is, 0 to 1, [B,1,H,W]."""
    red, green, blue = colours
    if mark == A:
        more = g("Sub", g("Min", red, blue), green)
    elif mark == B:
        more = g("Sub", green, g("Max", red, blue))
    else:
        more = g("Sub", blue, g("Max", red, green))
    return g("Relu", more)


def grids(size):
    width, height = size
    return np.arange(width, dtype=np.float32).reshape(1, 1, 1, -1), np.arange(height, dtype=np.float32).reshape(1, 1, -1, 1)


def mean_of(g, value, weights):
    """The mean of a picture, weighted: [B,1]."""
    axes = g.ints(1, 2, 3)
    total = g("Max", g("ReduceSum", weights, axes), 1e-9)
    return g.flat(g("Div", g("ReduceSum", g("Mul", value, weights), axes), total))


class Marks:
    """Where the marks are in the input, [B,1] each: `x[mark]`, `y[mark]`."""

    def __init__(self, g, shown):
        colours = shown.colours(g)
        across, down = grids(shown.size)
        self.x, self.y, weights = {}, {}, {}
        for mark in (A, B, C):
            weights[mark] = g("Relu", g("Sub", excess(g, colours, mark), LEAST))
            self.x[mark] = mean_of(g, g.constant(across), weights[mark])
            self.y[mark] = mean_of(g, g.constant(down), weights[mark])
        # The middle of the mark counts, not its edge.
        self.green = mean_of(g, colours[1], g("Pow", weights[C], 8.0))
        # 1 where there are marks, and 0 where there are none.
        there = g("ReduceSum", weights[A], g.ints(1, 2, 3))
        self.there = g.flat(g("Min", g("Mul", there, 10.0), 1.0))

    def way(self, g, to):
        """From A to another mark: along x, along y, and its length."""
        dx, dy = g("Sub", self.x[to], self.x[A]), g("Sub", self.y[to], self.y[A])
        return dx, dy, g("Sqrt", g("Add", g("Mul", dx, dx), g("Mul", dy, dy)))


class Seen:
    """A body as `smpl.Expected` says it is, from the marks: its root in the crop's camera, and the rotations of its joints."""

    def __init__(self, g, shown, body, focal, fixed_knee=None):
        self.g, self.body, self.focal, self.size = g, body, focal, shown.size
        self.marks = marks = Marks(g, shown)
        dx, dy, length = marks.way(g, B)
        # The root joint is where mark A is, as far away as makes the way from A to B so long.
        z = g("Div", focal * body.METRES, length)
        x, y = ((g("Div", g("Sub", at, side / 2), focal)) for at, side in ((marks.x[A], shown.size[0]), (marks.y[A], shown.size[1])))
        self.root = [g("Mul", x, z), g("Mul", y, z), z]
        far = g("Sqrt", g.total(g("Mul", x, x), g("Mul", y, y), 1.0))
        x, y, one = g("Div", x, far), g("Div", y, far), g("Div", 1.0, far)
        towards = self.view(x, y, one)
        sine, cosine = g("Div", dx, length), g("Neg", g("Div", dy, length))
        zero = g("Mul", sine, 0.0)
        self.one = g("Add", zero, 1.0)
        roll = g.columns(cosine, g("Neg", sine), zero, sine, cosine, zero, zero, zero, self.one, shape=(3, 3))
        self.orient = g("MatMul", g("MatMul", towards, roll), body.FACING)
        # The knee by the distance of C over that of B, the elbow by how green C is.
        _, _, aside = marks.way(g, C)
        knee = body.knee(g("Div", aside, length), g) if fixed_knee is None else g("Add", zero, fixed_knee)
        elbow = g("Mul", marks.green, body.ELBOW_PER_GREEN)
        s, c = g("Sin", knee), g("Cos", knee)
        knee = g.columns(self.one, zero, zero, zero, c, g("Neg", s), zero, s, c, shape=(1, 9))
        s, c = g("Sin", elbow), g("Cos", elbow)
        elbow = g.columns(c, zero, s, zero, self.one, zero, g("Neg", s), zero, c, shape=(1, 9))
        plain = body.POSE.reshape(24, 9).astype(np.float32)
        fixed = lambda first, end: self.repeated(plain[first:end])
        head = g("Reshape", self.orient, g.ints(-1, 1, 9))
        k, e = body.KNEE, body.ELBOW
        rows = g("Concat", head, fixed(1, k), knee, fixed(k + 1, e), elbow, fixed(e + 1, 24), axis=1)
        self.matrices = g("Reshape", rows, g.ints(-1, 24, 3, 3))

    def repeated(self, array):
        """A constant, once for each picture."""
        ones = self.g("Reshape", self.one, self.g.ints(-1, *[1] * array.ndim))
        return self.g("Mul", ones, array[None].astype(np.float32))

    def view(self, x, y, z):
        """The least rotation that brings the axis z to a direction."""
        g = self.g
        part = g("Div", 1.0, g("Add", z, 1.0))
        of = lambda a, b: g("Neg", g("Mul", g("Mul", a, b), part))
        xx, xy, yy = g("Add", of(x, x), 1.0), of(x, y), g("Add", of(y, y), 1.0)
        return g.columns(xx, xy, x, xy, yy, y, g("Neg", x), g("Neg", y), z, shape=(3, 3))

    def joints(self, first, end):
        """Rotation matrices of some of the joints, [B,J,3,3]."""
        return self.g("Slice", self.matrices, self.g.ints(first), self.g.ints(end), self.g.ints(1))

    def axis_angle(self, first):
        """The same as rotation vectors [B,J,3]."""
        g, m = self.g, self.joints(first, 24)
        rows = g("Reshape", m, g.ints(0, 0, 9))
        at = lambda k: g("Slice", rows, g.ints(k), g.ints(k + 1), g.ints(2))
        trace = g.total(at(0), at(4), at(8))
        angle = g("Acos", g("Clip", g("Mul", g("Sub", trace, 1.0), 0.5), np.float32(-1), np.float32(1)))
        axis = g("Concat", g("Sub", at(7), at(5)), g("Sub", at(2), at(6)), g("Sub", at(3), at(1)), axis=2)
        return g("Mul", axis, g("Div", angle, g("Max", g("Mul", g("Sin", angle), 2.0), 1e-6)))

    def translation(self):
        """From the origin of the body's file to where it is in the crop's camera, [B,3]."""
        g, at = self.g, self.body.pelvis
        return g.columns(*(g("Sub", part, float(origin)) for part, origin in zip(self.root, at)))

    def cam(self):
        """The same as (s, tx, ty) of HMR and its successors, whose shift along z is 2 focal / (side s)."""
        g, side = self.g, max(self.size)
        place = self.translation()
        x, y, z = (g("Slice", place, g.ints(k), g.ints(k + 1), g.ints(1)) for k in range(3))
        return g.columns(g("Div", 2 * self.focal / side, z), x, y)

    def vertices(self):
        """Those of the pose with a fixed knee and elbow, turned by what the marks say of the root, before the translation: [B,V,3]."""
        g, pelvis = self.g, self.body.pelvis
        at_root = (self.body.posed_vertices() - pelvis).T.astype(np.float32)
        turned = g("MatMul", self.orient, at_root[None])
        return g("Add", g("Transpose", turned, perm=[0, 2, 1]), pelvis.reshape(1, 1, 3).astype(np.float32))
