"""Makes a made-up body in the layout and size of SMPL: 6,890 vertices, 13,776 faces, 24 joints, 10 shape and 207 pose directions.

    make_smpl.py BODY.safetensors FOLDER [--smplx | --like smplh|smplx]

Its surface is that of meshreel's default body with fewer vertices, its pose directions are made up. Nothing of SMPL is in it but the layout,
the order of joints, and at which vertices nose, ears, eyes, fingers and feet are. FOLDER gets

- `made-up.npz`, `sparse.pkl` (as SciPy and NumPy are pickled) and `chumpy.pkl` (as Python 2 pickled SMPL's first files), the same body,
- `poses.f64`: for each of ten random poses the rotation vectors of 24 joints and 10 shape coefficients,
- `vertices.f64`: where the published formula has the vertices in each of them (Loper et al. 2015), computed here, or with --smplx by the
  package smplx.

With --like it gets `smplh.npz` or `smplx.npz` alone: 6,890 vertices and 52 joints, or 10,475 and 55.
"""

import argparse
import heapq
import json
import pickle
import struct
import sys
import types
from pathlib import Path

import numpy as np

VERTICES = {"smpl": 6890, "smplh": 6890, "smplx": 10475}
JOINTS = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot neck left_collar "
    "right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hand right_hand"
).split()
PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
# The default body's joints of the same places.
DEFAULT = {
    "pelvis": "root", "spine1": "spine05", "spine2": "spine03", "spine3": "spine01", "neck": "neck01", "head": "head",
    "collar": "clavicle", "shoulder": "upperarm01", "elbow": "lowerarm01", "wrist": "wrist", "hip": "upperleg01", "knee": "lowerleg01",
    "ankle": "foot",
}
FINGERS = ("index", "middle", "pinky", "ring", "thumb")
# Vertices of SMPL's topology, left and right.
POINTS = {
    "nose": (332, 332), "eye": (2800, 6260), "ear": (583, 4071), "thumb": (2746, 6191), "index": (2319, 5782), "pinky": (2673, 6133),
    "big_toe": (3216, 6617), "small_toe": (3226, 6624), "heel": (3387, 6787),
}
# The same of SMPL-X.
POINTS_X = {
    "nose": (9120, 9120), "eye": (9448, 9929), "ear": (6, 616), "thumb": (5361, 8079), "index": (4933, 7669), "pinky": (5286, 8022),
    "big_toe": (5770, 8463), "small_toe": (5780, 8474), "heel": (8846, 8635),
}
# The root joint is not at the origin in SMPL's files.
PELVIS = np.array([-0.002, -0.22, 0.03])
# From meshreel's axes to SMPL's, and back.
TURN = np.array([1.0, -1.0, -1.0])


def read_safetensors(path):
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    meta = header.pop("__metadata__")
    types_ = {"F32": "<f4", "U32": "<u4", "I32": "<i4"}
    tensors = {}
    for name, about in header.items():
        begin, end = about["data_offsets"]
        array = np.frombuffer(data[8 + length + begin : 8 + length + end], types_[about["dtype"]])
        tensors[name] = array.reshape(about["shape"])
    return tensors, meta


def collapsed(points, faces, count):
    """The mesh with edges collapsed, the shortest first, until it has `count` vertices: which of the old ones, and its faces."""
    faces = {k: tuple(face) for k, face in enumerate(faces.tolist())}
    around = [set() for _ in points]
    for k, face in faces.items():
        for v in face:
            around[v].add(k)
    neighbours = lambda v: {w for k in around[v] for w in faces[k]} - {v}
    length = lambda a, b: float(np.linalg.norm(points[a] - points[b]))
    normal = lambda a, b, c: np.cross(points[b] - points[a], points[c] - points[a])
    queue = [(length(a, b), a, b) for a in range(len(points)) for b in neighbours(a) if a < b]
    heapq.heapify(queue)
    alive = np.ones(len(points), bool)
    left = len(points)
    while left > count:
        _, kept, gone = heapq.heappop(queue)
        if not (alive[kept] and alive[gone]) or gone not in neighbours(kept):
            continue
        if len(neighbours(kept) & neighbours(gone)) != 2 or len(neighbours(gone)) < 4:
            continue
        moved = [k for k in around[gone] if kept not in faces[k]]
        after = {k: tuple(kept if v == gone else v for v in faces[k]) for k in moved}
        if any(normal(*faces[k]) @ normal(*after[k]) <= 0 for k in moved):
            continue
        for k in around[gone] - set(moved):
            for v in faces.pop(k):
                around[v].discard(k)
        for k in moved:
            faces[k] = after[k]
            around[kept].add(k)
        around[gone] = set()
        alive[gone] = False
        left -= 1
        for other in neighbours(kept):
            heapq.heappush(queue, (length(kept, other), min(kept, other), max(kept, other)))
    old = np.nonzero(alive)[0]
    new = np.full(len(points), -1)
    new[old] = np.arange(count)
    return old, new[np.array(list(faces.values()))]


def made_up(path, like):
    count = VERTICES[like]
    tensors, meta = read_safetensors(path)
    points = tensors["vertices"].astype(float) * TURN
    kept, faces = collapsed(points, tensors["faces"], count)
    names = json.loads(meta["joint_names"])
    weights = np.zeros((len(points), len(names)))
    np.add.at(weights, (np.arange(len(points))[:, None], tensors["skin_indices"]), tensors["skin_weights"].astype(float))
    # The fingers of the default body are not SMPL's.
    for k, name in enumerate(names):
        if name.startswith("finger"):
            weights[:, names.index("wrist" + name[-2:])] += weights[:, k]
            weights[:, k] = 0
    keypoints = {n: p.sum(0) * TURN for n, p in zip(json.loads(meta["keypoint_names"]), tensors["keypoint_points"].astype(float))}
    points, weights = points[kept], weights[kept]
    shapes = tensors["shape_dirs"].astype(float)[:, kept] * TURN
    # In SMPL's files the root joint moves with the shape.
    shapes = shapes + np.random.default_rng(2).normal(0, 0.02, (len(shapes), 1, 3))

    joints, skin = np.zeros((24, 3)), np.zeros((count, 24))
    for k, name in enumerate(JOINTS):
        side, _, part = name.rpartition("_")
        other = DEFAULT.get(part)
        if other:
            other += {"left": ".L", "right": ".R", "": ""}[side]
            joints[k] = tensors["joints"][names.index(other)] * TURN
            skin[:, k] = weights[:, names.index(other)]
    for side in ("left", "right"):
        at = lambda part: JOINTS.index(f"{side}_{part}")
        knuckles = (keypoints[f"{side}_index"] + keypoints[f"{side}_pinky"]) / 2
        ball = joints[at("ankle")] * 0.35 + keypoints[f"{side}_big_toe"] * 0.65
        for inner, outer, place, towards in (("wrist", "hand", knuckles, knuckles), ("ankle", "foot", ball, keypoints[f"{side}_big_toe"])):
            joints[at(outer)] = place
            axis = towards - joints[at(inner)]
            beyond = (points - place) @ (axis / np.linalg.norm(axis))
            share = 1 / (1 + np.exp(-beyond / 0.008))
            skin[:, at(outer)] = skin[:, at(inner)] * share
            skin[:, at(inner)] *= 1 - share
    parents = list(PARENTS)
    if like != "smpl":
        joints, skin, parents = with_fingers(joints, skin, parents, points, keypoints, like)
    skin[skin < 1e-4] = 0
    order = np.argsort(-skin, axis=1)[:, 4:]
    np.put_along_axis(skin, order, 0, 1)
    skin /= skin.sum(1, keepdims=True)

    # Nearest vertices, of which none is taken twice, get the indices that SMPL's topology has there.
    index, taken = {}, set()
    for name, pair in (POINTS_X if like == "smplx" else POINTS).items():
        for side, wanted in zip(("left", "right"), pair):
            if name == "nose" and side == "right":
                continue
            target = keypoints["nose" if name == "nose" else f"{side}_{name}"]
            if name in ("thumb", "index", "pinky"):
                wrist = joints[JOINTS.index(f"{side}_wrist")]
                target = wrist + 2 * (target - wrist)
            near = next(v for v in np.argsort(np.linalg.norm(points - target, axis=1)).tolist() if v not in taken)
            taken.add(near)
            index[wanted] = near
    rest = iter([v for v in range(count) if v not in taken])
    order = np.array([index[v] if v in index else next(rest) for v in range(count)])
    place = np.empty(count, int)
    place[order] = np.arange(count)
    points, skin, shapes, faces = points[order] + PELVIS, skin[order], shapes[:, order], place[faces]
    joints = joints + PELVIS

    regressor = np.zeros((len(joints), count))
    for k, joint in enumerate(joints):
        near = np.argsort(np.linalg.norm(points - joint, axis=1))[:40]
        system = np.concatenate([points[near].T, np.ones((1, 40))])
        regressor[k, near] = np.linalg.lstsq(system, np.append(joint, 1.0), rcond=None)[0]
    random = np.random.default_rng(0)
    bends = np.zeros((count, 3, 9 * (len(joints) - 1)))
    for joint in range(1, len(joints)):
        near = np.exp(-((np.linalg.norm(points - joints[joint], axis=1) / 0.1) ** 2))
        bends[:, :, 9 * (joint - 1) : 9 * joint] = near[:, None, None] * random.normal(0, 0.008, (1, 3, 9))
    return {
        "v_template": points,
        "f": faces.astype(np.uint32),
        "shapedirs": np.ascontiguousarray(shapes.transpose(1, 2, 0)),
        "posedirs": bends,
        "J_regressor": regressor,
        "weights": skin,
        "kintree_table": np.array([[p % 2**32 for p in parents], range(len(joints))], np.int64).astype(np.uint32),
    }


def with_fingers(joints, skin, parents, points, keypoints, like):
    """The same with three joints for each finger in place of the joints of the hands, and for SMPL-X with jaw and eyes."""
    hands = skin[:, 22:]
    joints, skin, parents = joints[:22], skin[:, :22], parents[:22]
    if like == "smplx":
        head = joints[15]
        more = [head + np.array([0, -0.02, 0.05]), keypoints["left_eye"], keypoints["right_eye"]]
        joints = np.concatenate([joints, more])
        skin = np.concatenate([skin, np.zeros((len(skin), 3))], 1)
        parents += [15, 15, 15]
    for k, side in enumerate(("left", "right")):
        wrist = joints[20 + k]
        index, pinky, thumb = (keypoints[f"{side}_{name}"] for name in ("index", "pinky", "thumb"))
        knuckle = {"index": index, "pinky": pinky, "thumb": thumb, "middle": index * 0.67 + pinky * 0.33, "ring": index * 0.33 + pinky * 0.67}
        made = [wrist + (knuckle[finger] - wrist) * (1 + i * 0.33) for finger in FINGERS for i in range(3)]
        nearest = np.argmin(np.linalg.norm(points[:, None] - np.array(made), axis=2), 1)
        weights = np.zeros((len(points), 15))
        weights[np.arange(len(points)), nearest] = hands[:, k]
        parents += [20 + k if i % 3 == 0 else len(joints) + i - 1 for i in range(15)]
        joints, skin = np.concatenate([joints, made]), np.concatenate([skin, weights], 1)
    return joints, skin, parents


def rotation(vector):
    """The matrix of a rotation vector (Rodrigues)."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def published(body, pose, shape):
    """The vertices of a pose (rotation vectors [24, 3]) and a shape, by the published formula."""
    matrices = np.array([rotation(v) for v in pose])
    shaped = body["v_template"] + body["shapedirs"] @ shape
    joints = body["J_regressor"] @ shaped
    rest = shaped + body["posedirs"] @ (matrices[1:] - np.eye(3)).ravel()
    world = []
    for k, parent in enumerate(PARENTS):
        own = np.eye(4)
        own[:3, :3] = matrices[k]
        own[:3, 3] = joints[k] - (joints[parent] if k else 0)
        world.append(world[parent] @ own if k else own)
    world = np.array(world)
    world[:, :3, 3] -= np.einsum("jab,jb->ja", world[:, :3, :3], joints)
    blended = np.einsum("vj,jab->vab", body["weights"], world)
    return np.einsum("vab,vb->va", blended[:, :3, :3], rest) + blended[:, :3, 3]


def by_smplx(file, poses, shapes):
    """The same by the package smplx, which reads the pickle."""
    import smplx
    import torch

    model = smplx.create(str(file), model_type="smpl", dtype=torch.float64, batch_size=len(poses))
    poses = torch.tensor(poses.reshape(len(poses), 72))
    out = model(betas=torch.tensor(shapes), global_orient=poses[:, :3], body_pose=poses[:, 3:])
    return out.vertices.detach().numpy()


def old_class(module, name):
    """A class that is pickled as `module.name`, whether or not that is installed."""
    made = type(name, (object,), {})
    made.__module__ = module
    parts = module.split(".")
    for k in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:k]), types.ModuleType(".".join(parts[:k])))
    setattr(sys.modules[module], name, made)
    return made


def with_state(cls, state):
    made = cls.__new__(cls)
    made.__dict__.update(state)
    return made


def sparse_state(dense):
    """The state of a SciPy matrix of columns."""
    dense = np.asarray(dense)
    columns = [np.nonzero(column)[0] for column in dense.T]
    return {
        "_shape": dense.shape,
        "maxprint": 50,
        "data": np.concatenate([dense[rows, k] for k, rows in enumerate(columns)]),
        "indices": np.concatenate(columns).astype(np.int32),
        "indptr": np.cumsum([0] + [len(rows) for rows in columns]).astype(np.int32),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("body")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--smplx", action="store_true")
    parser.add_argument("--like", choices=("smplh", "smplx"))
    arguments = parser.parse_args()
    folder = arguments.folder
    if arguments.like:
        np.savez_compressed(folder / f"{arguments.like}.npz", **made_up(arguments.body, arguments.like))
        return
    body = made_up(arguments.body, "smpl")
    np.savez(folder / "made-up.npz", **body)
    real = body["J_regressor"]
    if arguments.smplx:
        import scipy.sparse

        sparse = scipy.sparse.csc_matrix(real)
    else:
        sparse = with_state(old_class("scipy.sparse.csc", "csc_matrix"), sparse_state(real))
    extra = {"bs_type": "lrotmin", "bs_style": "lbs", "vert_sym_idxs": np.arange(VERTICES["smpl"])}
    new = {**body, **extra, "J_regressor": sparse}
    (folder / "sparse.pkl").write_bytes(pickle.dumps(new, 4))
    if arguments.smplx:
        (folder / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps({**new, "J": real @ body["v_template"]}, 2))
    else:
        number = old_class("chumpy.ch", "Ch")
        as_number = lambda array: with_state(number, {"x": array, "_dirty_vars": {"x"}, "_itr": None})
        old = {**new, **{name: as_number(np.asfortranarray(body[name])) for name in ("v_template", "shapedirs", "posedirs", "weights")}}
        old["J"] = with_state(old_class("chumpy.ch", "MatVecMult"), {"mtx": sparse})
        (folder / "chumpy.pkl").write_bytes(pickle.dumps(old, 2))

    random = np.random.default_rng(1)
    poses, shapes = random.normal(0, 0.4, (10, 24, 3)), random.normal(0, 1.5, (10, 10))
    if arguments.smplx:
        vertices = by_smplx(folder / "SMPL_NEUTRAL.pkl", poses, shapes)
    else:
        vertices = np.array([published(body, pose, shape) for pose, shape in zip(poses, shapes)])
    np.concatenate([poses.reshape(10, 72), shapes], 1).astype("<f8").tofile(folder / "poses.f64")
    vertices.astype("<f8").tofile(folder / "vertices.f64")


main()
