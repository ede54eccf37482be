"""Makes small networks at the tensor shapes of real ones, their descriptions, and what should come of them.

    make_networks.py MADE-UP.npz FOLDER

FOLDER gets `NAME.onnx`, `NAME.toml` and `cases.json`: people whose marks and landmarks a test draws, and for each network what it should see of
them. See `graph.py` for the marks, `smpl.py` for the bodies, `detectors.py` for the person detectors.
"""

import json
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto

from detectors import make_detectors
from graph import A, B, Graph, Marks, Seen, Shown
from smpl import COCO_JOINTS, Body
from standing import NECK, PELVIS, STANDING, along_and_across

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# The same for colours of 0 to 255, as RTMPose has it.
BYTES = {"scale": 255, "mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
# Indices of BlazePose for the points of each set; those that it does not have are left out.
COCO17 = dict(enumerate([0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]))
FEET = {17: 31, 19: 29, 20: 32, 22: 30}
FACE = {23 + 36: 6, 23 + 39: 4, 23 + 42: 1, 23 + 45: 3, 23 + 48: 10, 23 + 54: 9}
HANDS = {91 + 2: 21, 91 + 5: 19, 91 + 17: 17, 112 + 2: 22, 112 + 5: 20, 112 + 17: 18}
SETS = {
    "coco17": (17, COCO17),
    "coco133": (133, {**COCO17, **FEET, **FACE, **HANDS}),
    "blazepose33": (33, {k: k for k in range(33)}),
    '["left_knee", "tail", "nose", "right_big_toe"]': (4, {0: 25, 2: 0, 3: 32}),
}


def person(x, y, pixels, degrees, ratio, green, side=1):
    """Somebody whose hips are there, so many pixels a metre large, turned clockwise; `ratio` and `green`: see `smpl.py`."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    at = lambda p: (matrix @ np.array(p) * pixels + (x, y)).round(4).tolist()
    marks = {"a": at(PELVIS), "b": at(NECK), "c": at((0.58 * ratio * side, 0.05))}
    points = [at(p) for p in STANDING]
    world = [[*(matrix @ np.array(p)).tolist(), 0.02 * k] for k, p in enumerate(STANDING)]
    return {**marks, "green": green, "radius": 0.06 * pixels, "landmarks": points, "world": world}


DISPLAY = [720, 640]
PEOPLE = [
    person(180, 290, 230, 0, 0.5, 0.1),
    person(520, 300, 160, 12, 0.75, 0.3),
    person(350, 200, 190, 97, 0.6, 0.2, -1),
    person(330, 420, 200, 270, 0.45, 0.35),
    person(400, 330, 210, 172, 0.7, 0.0),
]


class Maker:
    def __init__(self, folder, body):
        self.folder, self.body, self.cases = folder, body, {"display": DISPLAY, "people": PEOPLE}

    def describe(self, name, text):
        (self.folder / f"{name}.toml").write_text(text)

    def case(self, kind, name, about):
        self.cases.setdefault(kind, []).append({"name": name, **about})

    def save(self, name, g, shown):
        g.save(self.folder / f"{name}.onnx", [shown.input()], shown.batch)


def share(k, by):
    return np.float32(k * by % 1)


class Points:
    """Key points that lie, seen from A, so many parts of the way to B away, and so many across it."""

    def __init__(self, count):
        k = np.arange(count)
        self.along, self.across = 0.1 + 0.8 * share(k, 0.37), 0.6 * share(k, 0.61) - 0.3
        self.confidence = 0.3 + 0.6 * share(k, 0.17)
        self.depth = np.float32(0.01) * k

    def places(self, g, marks):
        """Along x and along y, [B,K] each."""
        dx, dy, _ = marks.way(g, B)
        across = lambda way, other: g("Add", g("Mul", way, self.along[None]), g("Mul", other, self.across[None]))
        return g("Add", marks.x[A], across(dx, g("Neg", dy))), g("Add", marks.y[A], across(dy, dx))

    def metres(self, g, marks):
        """The same relative to A in metres, [B,K,3]."""
        dx, dy, length = marks.way(g, B)
        zero, half = g("Mul", length, 0.0), g("Div", Body.METRES, length)
        x, y = self.places(g, marks)
        parts = g("Mul", g("Sub", x, marks.x[A]), half), g("Mul", g("Sub", y, marks.y[A]), half), g("Add", zero, self.depth[None])
        return stacked(g, *parts)

    def certain(self, g, marks):
        return g("Mul", marks.there, self.confidence[None])

    def about(self, chosen, **more):
        pick = lambda values: [float(values[k]) for k in chosen]
        about = {"indices": list(chosen.values()), "along": pick(self.along), "across": pick(self.across)}
        return {**about, "confidence": pick(self.confidence), "depth": pick(self.depth), **more}


def stacked(g, *values):
    """[B,K,N] of N times [B,K]."""
    return g("Concat", *(g("Unsqueeze", each, g.ints(2)) for each in values), axis=2)


def bells(g, x, y, heights, columns, rows, sigma):
    """Heat maps [B,K,rows,columns] with the middle of each bell there."""
    lift = lambda value: g("Unsqueeze", value, g.ints(2, 3))
    square = lambda value: g("Mul", value, value)
    across = square(g("Sub", np.arange(columns, dtype=np.float32).reshape(1, 1, 1, -1), lift(x)))
    down = square(g("Sub", np.arange(rows, dtype=np.float32).reshape(1, 1, -1, 1), lift(y)))
    return g("Mul", g("Exp", g("Mul", g("Add", across, down), -0.5 / sigma**2)), lift(heights))


def logits(g, p):
    return g("Log", g("Div", p, g("Sub", 1.0, p)))


def key_points(maker):
    small = dict(size=(192, 256))
    usual = Shown(**small, **BYTES)

    def made(name, shown, points, outputs, lines, confidence=None, **more):
        count, chosen = SETS[points]
        set_ = Points(count)
        g = Graph()
        marks = Marks(g, shown)
        outputs(g, marks, set_)
        if confidence is not None:
            confidence(g, marks, set_)
        maker.save(name, g, shown)
        quoted = points if points.startswith("[") else f'"{points}"'
        maker.describe(name, more.pop("head", "") + shown.description() + lines.replace("POINTS", f"points = {quoted}"))
        maker.case("points", name, set_.about(chosen, **more))

    def coordinates(scale, shift, third=True):
        def outputs(g, marks, set_):
            x, y = set_.places(g, marks)
            parts = [g("Add", g("Mul", at, scale / side if shift is not None else 1.0), shift or 0.0) for at, side in zip((x, y), usual.size)]
            parts += [set_.certain(g, marks)] if third else []
            g.output("points", stacked(g, *parts), [len(set_.along), len(parts)])

        return outputs

    one = '[outputs.keypoints2d]\nname = "points"\nformat = "coordinates"\nPOINTS\n'
    made("pixels", usual, "blazepose33", coordinates(1, None), one)
    made("unit", usual, "coco17", coordinates(1, 0.0), one + 'units = "unit"\n')
    made("centered", usual, "coco17", coordinates(2, -1.0), one + 'units = "centered"\n')
    made("half", usual, "coco17", coordinates(1, -0.5), one + 'units = "half"\n')
    made("named", usual, '["left_knee", "tail", "nose", "right_big_toe"]', coordinates(1, None), one)

    def of_person(g, marks, set_):
        g.output("certain", g("Mul", marks.there, 0.7), [1])

    def of_points(g, marks, set_):
        g.output("certain", logits(g, set_.certain(g, marks)), [len(set_.along)])

    said = '[outputs.confidence]\nname = "certain"\n'
    made("of-person", usual, "coco17", coordinates(1, None, False), one + said, of_person, same_confidence=0.7)
    made("of-points", usual, "coco17", coordinates(1, None, False), one + said + 'format = "logits"\n', of_points)

    def simcc(split):
        def outputs(g, marks, set_):
            sure = set_.certain(g, marks)
            for name, at, side, height in zip(("simcc_x", "simcc_y"), set_.places(g, marks), usual.size, (1.0, 1.1)):
                bins = int(side * split)
                middle = g("Unsqueeze", g("Mul", at, split), g.ints(2))
                off = g("Sub", np.arange(bins, dtype=np.float32).reshape(1, 1, -1), middle)
                bell = g("Exp", g("Mul", g("Mul", off, off), -0.5 / 4.9**2))
                heights = g("Unsqueeze", g("Mul", sure, height), g.ints(2))
                g.output(name, g("Mul", bell, heights), [len(set_.along), bins])

        return outputs

    two = '[outputs.keypoints2d]\nnames = ["simcc_x", "simcc_y"]\nformat = "simcc"\nPOINTS\n'
    made("simcc17", usual, "coco17", simcc(2.0), two)
    made("simcc133", usual, "coco133", simcc(2.0), two)
    made("simcc-coarse", usual, "coco17", simcc(1.5), two + "split = 1.5\n")

    def heat(align):
        def outputs(g, marks, set_):
            width, height = usual.size
            columns, rows = width // 4, height // 4
            # Where a point belongs in a map is how the projects' own training has it.
            place = {
                "edges": lambda at, pixels, cells: g("Mul", at, cells / pixels),
                "centers": lambda at, pixels, cells: g("Sub", g("Mul", g("Add", at, 0.5), cells / pixels), 0.5),
                "corners": lambda at, pixels, cells: g("Mul", at, (cells - 1) / (pixels - 1)),
            }[align]
            x, y = set_.places(g, marks)
            maps = bells(g, place(x, width, columns), place(y, height, rows), set_.certain(g, marks), columns, rows, 2.0)
            g.output("heatmaps", maps, [len(set_.along), rows, columns])

        return outputs

    for align in ("edges", "centers", "corners"):
        lines = f'[outputs.keypoints2d]\nname = "heatmaps"\nformat = "heatmaps"\nalign = "{align}"\nPOINTS\n'
        # The highest pixel of a bell is lower than its middle.
        made(f"heat-{align}", Shown(**small, **IMAGENET), "coco17", heat(align), lines, confidence_tolerance=0.06)

    def joints(unit):
        def outputs(g, marks, set_):
            g.output("joints", g("Mul", set_.metres(g, marks), unit), [len(set_.along), 3])

        return outputs

    metric = '[outputs.joints]\nname = "joints"\nPOINTS\n'
    made("metres", usual, "coco17", joints(1.0), metric, same_confidence=1.0, metric=True, flat=False)
    made("millimetres", usual, "coco17", joints(1000.0), metric + 'units = "millimetres"\n', same_confidence=1.0, metric=True, flat=False)

    def both(g, marks, set_):
        coordinates(1, None)(g, marks, set_)
        joints(1.0)(g, marks, set_)

    made("both", usual, "blazepose33", both, one + metric, metric=True)

    # Other inputs and crops of the same.
    shapes = {
        "input-nhwc": Shown(**small, **BYTES, layout="nhwc"),
        "input-bgr": Shown(**small, **BYTES, colors="bgr"),
        "input-nhwc-bgr-half": Shown(**small, **IMAGENET, layout="nhwc", colors="bgr", half=True),
        "input-half": Shown(**small, half=True),
        "fixed-batch": Shown(**small, **BYTES, batch=4),
        "fixed-one": Shown(**small, **BYTES, batch=1),
    }
    for name, shown in shapes.items():
        made(name, shown, "coco17", coordinates(1, None), one, head="batch = 4\n" if shown.batch == 4 else "")
    crops = {
        "crop-tight": "scale = 1.0",
        "crop-wide": 'scale = 1.9\nbeyond = "edge"',
        "crop-narrow": "aspect = 0.5\nbeyond = 0.5",
        "crop-upright": "upright = true\nscale = 1.5",
    }
    for name, crop in crops.items():
        made(name, usual, "coco17", coordinates(1, None), f"[crop]\n{crop}\n" + one)


def of_clips(maker):
    """Somebody who stands, whatever the person in the clip does: as a key point network and as a detector see it."""
    along, across = along_and_across()
    shown = Shown((192, 256), **BYTES)
    g, set_ = Graph(), Points(17)
    marks = Marks(g, shown)
    coco = list(COCO17.values())
    set_.along, set_.across = np.float32(along[coco]), np.float32(across[coco])
    g.output("points", stacked(g, *set_.places(g, marks), g("Mul", marks.there, np.full((1, 17), 0.9))), [17, 3])
    maker.save("clip-points", g, shown)
    lines = '[crop]\nscale = 1.5\n[outputs.keypoints2d]\nname = "points"\nformat = "coordinates"\npoints = "coco17"\n'
    maker.describe("clip-points", 'licence = "made up too"\n' + shown.description() + lines)
    shown = Shown((512, 512), scale=255)
    g = Graph()
    marks = Marks(g, shown)
    set_.along, set_.across = np.float32(along), np.float32(across)
    x, y = set_.places(g, marks)
    ends = [g(kind, at, g.ints(1), keepdims=1) for kind in ("ReduceMin", "ReduceMax") for at in (x, y)]
    box = g("Concat", *ends, g("Mul", marks.there, 0.9), axis=1)
    g.output("dets", g("Unsqueeze", box, g.ints(1)), [1, 5])
    maker.save("clip-detector", g, shown)
    for name, threshold in [("clip-detector", 0.5), ("clip-blind", 0.95)]:
        lines = f'[detect]\nthreshold = {threshold}\n[outputs.boxes]\nname = "dets"\nformat = "xyxy"\n'
        maker.describe(name, 'file = "clip-detector.onnx"\nlicence = "seen by nobody"\n' + shown.description() + lines)


def inputs(maker):
    """Networks that say what the mean of each channel is, as it is given."""
    for name, shown in {
        "mean-plain": Shown((64, 96)),
        "mean-bytes": Shown((96, 64), **BYTES),
        "mean-bgr": Shown((64, 96), colors="bgr", **IMAGENET),
        "mean-nhwc": Shown((64, 96), layout="nhwc", mean=(0.5, 0.25, 0.125), std=(0.5, 0.25, 0.75)),
        "mean-half": Shown((64, 96), layout="nhwc", colors="bgr", scale=2, half=True),
    }.items():
        g = Graph()
        mean = g("ReduceMean", shown.given(g), g.ints(2, 3))
        g.output("mean", g("Reshape", mean, g.ints(-1, 1, 3)), [1, 3])
        maker.save(name, g, shown)
        maker.describe(name, shown.description() + '[outputs.joints]\nname = "mean"\npoints = ["nose"]\n')
        order = (0, 1, 2) if shown.colors == "rgb" else (2, 1, 0)
        if name == "mean-plain":
            for beyond, said in [("edge", '"edge"'), ("white", 1.0), ("black", 0.0)]:
                lines = f'file = "{name}.onnx"\n' + shown.description() + f"[crop]\nbeyond = {said}\nupright = true\n"
                maker.describe(f"beyond-{beyond}", lines + '[outputs.joints]\nname = "mean"\npoints = ["nose"]\n')
        maker.case("inputs", name, {"order": order, "scale": shown.scale, "mean": shown.mean, "std": shown.std})


HEAD = 'licence = "made up; for tests only"\nbody = "made-up"\nsmoothing = 0.0\n'
WEAK = '[outputs.cam]\nname = "pred_cam"\nfocal = 5000.0\n'
BETAS = '[outputs.betas]\nname = "pred_betas"\n'


def bodies(maker):
    body = maker.body

    def expected(**fixed):
        each = lambda one: [part.tolist() for part in body.expected(one, DISPLAY, **fixed)]
        return [dict(zip(("joints", "pixels"), each(one))) for one in PEOPLE]

    whole = expected()

    def made(name, outputs, lines, shown=Shown((256, 256), **IMAGENET), focal=5000.0, file=None, **more):
        if file is None:
            g = Graph()
            seen = Seen(g, shown, body, focal)
            outputs(g, seen)
            g.output("pred_betas", seen.repeated(body.BETAS), [10])
            g.output("pred_cam", seen.cam(), [3])
            g.output("place", seen.translation(), [3])
            g.output("certain", logits(g, g("Clip", seen.marks.there, np.float32(0.01), np.float32(0.99))), [1])
            maker.save(name, g, shown)
        head = HEAD + (f'file = "{file}.onnx"\n' if file else "")
        maker.describe(name, head + more.pop("settings", "") + shown.description() + more.pop("crop", "") + lines)
        maker.case("bodies", name, {"expected": more.pop("expected", whole), **more})

    def pose(name, form, numbers, first=0, second=None):
        """One output, or two that follow each other."""

        def outputs(g, seen):
            parts = [(0, second), (second, 24)] if second else [(first, 24)]
            for k, (begin, end) in enumerate(parts):
                at = form(g, seen, begin)
                if end < 24:
                    at = g("Slice", at, g.ints(0), g.ints(end - begin), g.ints(1))
                g.output(f"pose{k}", at, [end - begin, *numbers])

        names = '["pose0", "pose1"]' if second else '["pose0"]'
        lines = f'[outputs.pose]\nnames = {names}\nformat = "{name}"\n' + ("root = false\n" if first else "")
        return outputs, lines

    flat = lambda g, value, numbers: g("Reshape", value, g.ints(0, -1, numbers))
    transposed = lambda g, value: g("Transpose", value, perm=[0, 1, 3, 2])
    two = lambda g, value, axis: g("Slice", value, g.ints(0), g.ints(2), g.ints(axis))
    matrices = lambda g, seen, first: seen.joints(first, 24)
    vectors = lambda g, seen, first: seen.axis_angle(first)
    # Longer than they should be, as networks give them.
    columns = lambda g, seen, first: g("Mul", flat(g, two(g, transposed(g, seen.joints(first, 24)), 2), 6), 1.7)
    interleaved = lambda g, seen, first: g("Mul", flat(g, two(g, seen.joints(first, 24), 3), 6), 0.6)
    rows = lambda g, seen, first: flat(g, two(g, seen.joints(first, 24), 2), 6)

    # HMR2's outputs, and those of others.
    outputs, lines = pose("matrices", matrices, [3, 3], second=1)
    made("hmr2", outputs, lines + BETAS + WEAK)
    for name, form, numbers in [
        ("matrices", matrices, [3, 3]),
        ("axis-angle", vectors, [3]),
        ("6d", columns, [6]),
        ("6d-interleaved", interleaved, [6]),
        ("6d-rows", rows, [6]),
    ]:
        outputs, lines = pose(name, form, numbers)
        made(f"pose-{name}", outputs, lines + BETAS + WEAK)
    outputs, lines = pose("axis-angle", vectors, [3], first=1)
    made("no-root", outputs, lines + BETAS + WEAK, rootless=True)
    outputs, lines = pose("matrices", matrices, [3, 3])
    real = '[outputs.cam]\nname = "place"\nformat = "translation"\nfocal = 700.0\n'
    made("translation", outputs, lines + BETAS + real, focal=700.0)
    made("no-cam", outputs, lines + BETAS, placeless=True)
    wide = Shown((192, 256), layout="nhwc", colors="bgr", **BYTES)
    made("wide", outputs, lines + BETAS + WEAK, shown=wide)
    made("sure", outputs, lines + BETAS + WEAK + '[outputs.confidence]\nname = "certain"\nformat = "logits"\n')
    # The same network in other crops, and shown several people at a time.
    for name, crop in {
        "hmr2-tight": "scale = 1.0",
        "hmr2-wide": "scale = 1.6\naspect = 0.75",
        "hmr2-upright": "upright = true",
    }.items():
        made(name, None, pose("matrices", matrices, [3, 3], second=1)[1] + BETAS + WEAK, file="hmr2", crop=f"[crop]\n{crop}\n")
    fixed = expected(knee=0.5, elbow=0.3)
    for name, unit, units in [("vertices", 1.0, "metres"), ("vertices-mm", 1000.0, "millimetres")]:
        lines = f'[outputs.vertices]\nname = "vertices"\nunits = "{units}"\n'
        outputs = lambda g, seen, unit=unit: g.output("vertices", g("Mul", seen.vertices(), unit), [6890, 3])
        made(name, outputs, lines + WEAK, expected=fixed, by_vertices=True)

    # For whole clips: what `HMR2` is called there.
    pose_lines = pose("matrices", matrices, [3, 3], second=1)[1]
    sure = '[outputs.confidence]\nname = "certain"\nformat = "logits"\n'
    for name, settings, crop in [
        ("clip", "", "scale = 1.25"),
        ("clip-tight", "", "scale = 1.0\naspect = 0.75"),
        ("clip-wide", "", "scale = 1.6\naspect = 0.75\nbeyond = 0.5"),
        ("clip-upright", "", "upright = true"),
        ("clip-keyframes", 'frames = "keyframes"\n', "aspect = 0.75"),
        ("clip-refine", "refine = true\n", "aspect = 0.75"),
    ]:
        text = HEAD + 'file = "hmr2.onnx"\n' + settings + Shown((256, 256), **IMAGENET).description()
        maker.describe(name, text + f"[crop]\n{crop}\n" + pose_lines + BETAS + WEAK + sure)


def main():
    body, folder = Body(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    maker = Maker(folder, body)
    key_points(maker)
    of_clips(maker)
    inputs(maker)
    bodies(maker)
    make_detectors(maker)
    maker.cases["coco_joints"] = COCO_JOINTS
    (folder / "cases.json").write_text(json.dumps(maker.cases))


if __name__ == "__main__":
    main()
