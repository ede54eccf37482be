"""Person detectors that see one magenta rectangle (somebody) and one green one (something else)."""

import numpy as np
from onnx import TensorProto

from graph import A, B, Graph, Shown, excess, grids, mean_of

# What a test draws: left, top, right and bottom. The picture is smaller than all inputs, so that edges are not lost between pixels.
DISPLAY = [400, 240]
PERSON, OTHER = [140, 70, 190, 190], [250, 80, 310, 170]
SCORE = 0.8
FAINT = 0.03
STRIDES = (8, 16, 32)


class Rectangle:
    """Middle, width and height of what has a mark's colour, in pixels of the input from the edge of the first on, [B,1] each."""

    def __init__(self, g, colours, mark, size):
        self.g = g
        # Grey is not quite without colour once it has been through YUV.
        there = g("Relu", g("Sub", g("Mul", excess(g, colours, mark), 1 / (1 - FAINT)), FAINT / (1 - FAINT)))
        across, down = grids(size)
        self.x = g("Add", mean_of(g, g.constant(across), there), 0.5)
        self.y = g("Add", mean_of(g, g.constant(down), there), 0.5)
        extent = lambda axis: g.flat(g("ReduceSum", g("ReduceMax", there, g.ints(axis)), g.ints(1, 2, 3)))
        self.width, self.height = extent(2), extent(3)
        # 1 where there is a rectangle at all, else 0.
        self.there = g("Min", self.width, 1.0)

    def box(self, form, units=(1.0, 1.0), shift=0.0):
        """[B,4]; `shift`: so many times the width to the right."""
        g = self.g
        x = g("Add", self.x, g("Mul", self.width, shift))
        side = lambda at, length, by: g("Add", at, g("Mul", length, by))
        if form == "xyxy":
            parts = [side(at, length, by) for by in (-0.5, 0.5) for at, length in ((x, self.width), (self.y, self.height))]
        else:
            parts = [x, self.y, self.width, self.height]
        return g("Mul", g.columns(*parts), np.float32([*units, *units])[None])


class Detector:
    """A network in the making."""

    def __init__(self, shown):
        self.shown, self.g = shown, Graph()
        colours = shown.colours(self.g)
        self.person, self.other = (Rectangle(self.g, colours, mark, shown.size) for mark in (A, B))
        self.one = self.g("Add", self.g("Mul", self.person.width, 0.0), 1.0)

    def table(self, count, width, rows):
        """[B,count,width] of some rows ([B,width], or numbers), and zeros elsewhere."""
        g, parts, at = self.g, [], 0
        blank = lambda n: g("Mul", g("Unsqueeze", self.one, g.ints(2)), np.zeros((1, n, width), np.float32))
        for index, row in sorted(rows.items()):
            row = row if isinstance(row, str) else g("Mul", self.one, np.float32(row).reshape(1, width))
            parts += [blank(index - at)] * (index > at) + [g("Unsqueeze", row, g.ints(1))]
            at = index + 1
        return g("Concat", *parts, *[blank(count - at)] * (count > at), axis=1)

    def column(self, count, rows):
        """[B,count] of the same."""
        return self.g("Squeeze", self.table(count, 1, rows), self.g.ints(2))

    def scored(self, box, score):
        return self.g("Concat", box, self.g("Mul", self.one, score), axis=1)


def make_detectors(maker):
    square, bytes_ = (640, 640), dict(colors="bgr", scale=255)

    def made(name, detector, lines, boxes=1, score=SCORE, inputs=(), settings="", **more):
        shown = detector.shown
        detector.g.save(maker.folder / f"{name}.onnx", [shown.input(), *inputs], shown.batch)
        text = shown.description() + more.pop("sizes", "") + (f"[detect]\n{settings}\n" if settings else "") + lines
        maker.describe(name, text)
        maker.case("detectors", name, {"boxes": boxes, "score": score, **more})

    maker.cases["rectangles"] = {"display": DISPLAY, "person": PERSON, "other": OTHER}
    boxes = lambda name, form, units="pixels": f'[outputs.boxes]\nname = "{name}"\nformat = "{form}"\nunits = "{units}"\n'
    scores = lambda form="probability": f'[outputs.scores]\nname = "scores"\nformat = "{form}"\n'
    labels = '[outputs.labels]\nname = "labels"\n'

    # As MMDeploy exports detectors with their NMS inside: the picture in the top left corner, rows that are none at the end.
    def dets(d, person=0, other=1, kind=TensorProto.INT64):
        rows = {0: d.scored(d.other.box("xyxy"), 0.95), 2: d.scored(d.person.box("xyxy"), SCORE)}
        d.g.output("dets", d.table(100, 5, rows), [100, 5])
        d.g.output("labels", d.g("Cast", d.column(100, {0: other, 2: person, 3: -1, 4: -1}), to=kind), [100], kind)

    for name, shown, settings in [
        ("dets", Shown(square, **bytes_), ""),
        ("dets-low", Shown((416, 416), **bytes_), "threshold = 0.75"),
        ("dets-high", Shown((416, 416), **bytes_), "threshold = 0.85"),
        ("dets-tall", Shown((416, 640), layout="nhwc", batch=1), "beyond = 0.0"),
    ]:
        d = Detector(shown)
        dets(d)
        made(name, d, boxes("dets", "xyxy") + labels, settings=settings, boxes=0 if name == "dets-high" else 1)
    d = Detector(Shown((416, 416)))
    dets(d, person=2, other=0, kind=TensorProto.INT32)
    made("dets-class", d, boxes("dets", "xyxy") + labels, settings="person = 2")

    # The same with as many rows as there are boxes, be it none.
    d = Detector(Shown((416, 416)))
    found = d.g("Reshape", d.g("Greater", d.person.there, 0.5), d.g.ints(-1))
    row = d.g("Compress", d.scored(d.person.box("xyxy"), SCORE), found, axis=0)
    d.g.output("dets", d.g("Unsqueeze", row, d.g.ints(0)), ["boxes", 5])
    made("dets-varying", d, boxes("dets", "xyxy"))

    # RT-DETR: the picture is squeezed, and boxes are in the pixels of the size that a second input says.
    for name, size in [("rtdetr", square), ("rtdetr-wide", (640, 480))]:
        d = Detector(Shown(size, name="images"))
        sizes = d.g("Cast", "orig_target_sizes", to=TensorProto.FLOAT)
        sizes = d.g("Concat", sizes, sizes, axis=1)
        unit = (1 / size[0], 1 / size[1])
        rows = {7: d.g("Mul", d.person.box("xyxy", unit), sizes), 299: d.g("Mul", d.other.box("xyxy", unit), sizes)}
        d.g.output("boxes", d.table(300, 4, rows), [300, 4])
        d.g.output("scores", d.column(300, {7: SCORE, 299: 0.9}), [300])
        d.g.output("labels", d.g("Cast", d.column(300, {299: 2}), to=TensorProto.INT64), [300], TensorProto.INT64)
        made(
            name, d, boxes("boxes", "xyxy") + scores() + labels, settings='fit = "stretch"',
            inputs=[("orig_target_sizes", [2], TensorProto.INT64)], sizes='name = "images"\nsizes = "orig_target_sizes"\n',
        )  # fmt: skip

    # DETR as others export it: scores of all classes before the sigmoid, boxes by their middle, of 0 to 1.
    size = (480, 352)
    unit = (1 / size[0], 1 / size[1])
    logit = float(np.log(SCORE / (1 - SCORE)))
    low = np.full(80, -6.0)
    person, other = low.copy(), low.copy()
    person[5], other[0] = logit, 3.0
    d = Detector(Shown(size, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)))
    d.g.output("boxes", d.table(300, 4, {11: d.person.box("cxcywh", unit), 12: d.other.box("cxcywh", unit)}), [300, 4])
    blank = d.g("Add", d.table(300, 80, {11: person + 6, 12: other + 6}), -6.0)
    d.g.output("scores", blank, [300, 80])
    made("detr", d, boxes("boxes", "cxcywh", "unit") + scores("logits"), settings='fit = "stretch"\nperson = 5')
    d = Detector(Shown(size))
    d.g.output("boxes", d.table(300, 4, {11: d.person.box("cxcywh")}), [300, 4])
    d.g.output("scores", d.column(300, {11: SCORE}), [300])
    made("cxcywh", d, boxes("boxes", "cxcywh") + scores())

    # Two boxes that share half of what they cover are two people, unless the description says otherwise.
    for name, settings, count in [("near-two", "", 2), ("near-one", "nms = 0.4", 1)]:
        d = Detector(Shown((416, 416)))
        near = d.person.box("xyxy", shift=0.35)
        d.g.output("dets", d.table(100, 5, {3: d.scored(near, 0.6), 4: d.scored(d.person.box("xyxy"), SCORE)}), [100, 5])
        made(name, d, boxes("dets", "xyxy"), settings=settings, boxes=count)

    # YOLOX without its decoding: every cell says where the box is from there, and those in its middle are sure of it.
    d = Detector(Shown(square, **bytes_))
    cells = np.array([[x, y, s] for s in STRIDES for y in range(square[1] // s) for x in range(square[0] // s)], np.float32)
    g, (column, row, stride) = d.g, cells.T[:, None]
    place = lambda at, cell: g("Sub", g("Div", at, stride), cell)
    length = lambda side: g("Log", g("Max", g("Div", side, stride), 1e-3))
    parts = [place(d.person.x, column), place(d.person.y, row), length(d.person.width), length(d.person.height)]
    away = g("Add", *(g("Abs", g("Sub", part, 0.5)) for part in parts[:2]))
    sure = g("Mul", g("Exp", g("Mul", away, -0.05)), d.person.there)
    parts.append(g("Mul", sure, 0.95))
    classes = np.zeros(80, np.float32)
    classes[0], classes[1] = SCORE / 0.95, 0.99
    columns = [g("Unsqueeze", part, g.ints(2)) for part in parts]
    columns.append(g("Add", g("Mul", columns[4], 0.0), classes[None, None]))
    g.output("output", g("Concat", *columns, axis=2), [len(cells), 85])
    made("yolox", d, boxes("output", "yolox"), settings="nms = 0.65", tolerance=0.05)

    # Two boxes that are as sure as the first and the last pixel are green.
    shown = Shown((256, 256))
    g = Graph()
    _, green, _ = shown.colours(g)
    rows = []
    for at, left in ((0, 10), (255, 100)):
        pixel = green
        for axis in (2, 3):
            pixel = g("Slice", pixel, g.ints(at), g.ints(at + 1), g.ints(axis))
        pixel = g.flat(pixel)
        place = g("Add", g("Mul", pixel, 0.0), np.float32([[left, 10, left + 50, 90]]))
        rows.append(g("Unsqueeze", g("Concat", place, pixel, axis=1), g.ints(1)))
    g.output("dets", g("Concat", *rows, axis=1), [2, 5])
    g.save(maker.folder / "corners.onnx", [shown.input()], None)
    for name, settings, last in [
        ("corners-usual", "", 114 / 255),
        ("corners-white", "beyond = 1.0", 1.0),
        ("corners-edge", 'beyond = "edge"', None),
        ("corners-stretch", 'fit = "stretch"', None),
    ]:
        maker.describe(name, 'file = "corners.onnx"\n' + shown.description() + f"[detect]\n{settings}\n" + boxes("dets", "xyxy"))
        maker.case("corners", name, {"last": last})
