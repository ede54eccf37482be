"""Builds `body.safetensors`: a neutral mannequin of MakeHuman's body on a small skeleton, its shape linear in ten numbers.

The layout is the one that `src/body/model.rs` reads and README.md describes.
"""

import json

import numpy as np

import tensors
from makehuman import AVERAGE, MakeHuman, Phenotype
from mannequin import Mannequin

SHAPES = 10
SAMPLES = 300
INFLUENCES = 4
GRID = 1e-6  # metres; rounding to it hides the last bits, which differ from one linear algebra library to another

TRUNK = {"root": None, "spine05": "root", "spine03": "spine05", "spine01": "spine03", "neck01": "spine01", "head": "neck01"}
LIMBS = {
    "clavicle": "spine01",
    "upperarm01": "clavicle",
    "lowerarm01": "upperarm01",
    "wrist": "lowerarm01",
    "upperleg01": "root",
    "lowerleg01": "upperleg01",
    "foot": "lowerleg01",
}
SIDES = (".L", ".R")

# The rig's fingers, thumb first, of three joints each, and what their four points are called: the joints from the palm on, and the tip.
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
THUMB_POINTS = ("cmc", "mcp", "ip", "tip")
FINGER_POINTS = ("mcp", "pip", "dip", "tip")

# BlazePose's 33 landmarks by the names of our key points (we have none for the corners of eyes and mouth),
# and COCO-17 as a choice of them.
BLAZEPOSE = (
    "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear right_ear "
    "mouth_left mouth_right left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
    "left_pinky right_pinky left_index right_index left_thumb right_thumb left_hip right_hip left_knee right_knee "
    "left_ankle right_ankle left_heel right_heel left_big_toe right_big_toe"
).split()
COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)

# Where BlazePose's networks see a point, as a mixture of the regressors' points, which lie elsewhere: wrists, for one, a
# centimetre and a half nearer the elbow. Found from what 38 fits to real people leave over (docs/accuracy.md).
SEEN = {
    "ear": {"ear": 0.7, "nose": 0.3},
    "shoulder": {"shoulder": 1.025, "hip": -0.025},
    "wrist": {"wrist": 1.1, "elbow": -0.1},
    "pinky": {"pinky": 0.8, "index": 0.2},
    "thumb": {"thumb": 0.6, "index": 0.4},
    "hip": {"hip": 1.03, "shoulder": -0.03},
    "ankle": {"ankle": 0.98, "knee": 0.02},
    "big_toe": {"big_toe": 0.74, "small_toe": 0.2, "heel": 0.06},
}


def skeleton():
    """Joint names, parents first and fingers last, and each one's parent."""
    parents = dict(TRUNK)
    for side in SIDES:
        for joint, parent in LIMBS.items():
            parents[joint + side] = parent + side if parent in LIMBS else parent
    for side in SIDES:
        for finger in range(1, 6):
            for bone, parent in (("1", "wrist"), ("2", f"finger{finger}-1"), ("3", f"finger{finger}-2")):
                parents[f"finger{finger}-{bone}{side}"] = parent + side
    return parents


def skin_weights(human, rig, parents):
    """Weight of every joint on every vertex, [V, J]: each bone's goes to its nearest ancestor that is a joint."""
    joints = list(parents)
    weights = np.zeros((len(human.vertices), len(joints)))
    for bone, influences in human.skin().items():
        if bone.startswith("pelvis"):
            bone = "root"
        while bone not in parents:
            bone = rig[bone]["parent"]
        for vertex, weight in influences:
            weights[vertex, joints.index(bone)] += weight
    return strongest(weights / weights.sum(1, keepdims=True))


def strongest(weights):
    """The `INFLUENCES` largest weights of each row, scaled to sum to one, the rest zero."""
    top = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    kept = np.zeros_like(weights)
    np.put_along_axis(kept, top, np.take_along_axis(weights, top, 1), 1)
    return kept / kept.sum(1, keepdims=True)


def keypoint_regressors(human, rig):
    """Key points by name, each a weight per vertex that sums to one."""
    out = human.coco_regressors()

    def mean_of(vertices):
        weights = np.zeros(len(human.vertices))
        weights[list(vertices)] = 1 / len(vertices)
        return weights

    for side, name in zip(SIDES, ("left", "right")):
        for finger, bone in (("pinky", "finger5-1"), ("index", "finger2-1"), ("thumb", "finger1-2")):
            out[f"{name}_{finger}"] = mean_of(human.end_of_bone(rig[bone + side]["head"]))
    out = {name: weights / weights.sum() for name, weights in out.items()}

    def seen(name):
        side, _, point = name.partition("_")
        of = lambda other: out[other if other in out else f"{side}_{other}"]
        return sum(share * of(other) for other, share in SEEN.get(point, {name: 1.0}).items())

    return {name: seen(name) for name in out}


def hand_points(human, rig):
    """For each point of the hands beyond the wrists: its name, the joint that carries it, and the vertices in whose middle it is."""
    for side, name in zip(SIDES, ("left", "right")):
        for number, finger in enumerate(FINGERS, 1):
            bones = [f"finger{number}-{k}{side}" for k in (1, 2, 3)]
            ends = [rig[bone]["head"] for bone in bones] + [rig[bones[-1]]["tail"]]
            for point, joint, end in zip(THUMB_POINTS if finger == "thumb" else FINGER_POINTS, [*bones, bones[-1]], ends):
                yield f"{name}_{finger}_{point}", joint, human.end_of_bone(end)


def phenotypes():
    """People to learn the shape directions from: all builds and heights, mostly adults, one in four a child or a youth."""
    random = np.random.default_rng(0)
    ages = (1 / 3, 0.5, 2 / 3, 2 / 3, 2 / 3, 0.8, 1.0)
    for _ in range(SAMPLES):
        yield Phenotype(random.random(), random.choice(ages), *random.random(4))


def principal_directions(samples):
    """The `SHAPES` directions of largest variance of `samples` [N, V, 3], each as long as one standard deviation."""
    spread = (samples - samples.mean(0)).reshape(len(samples), -1)
    values, vectors = np.linalg.eigh(spread @ spread.T / (len(samples) - 1))
    directions = []
    for k in range(1, SHAPES + 1):
        direction = vectors[:, -k] @ spread / np.sqrt(len(samples) - 1)
        largest = direction[np.argmax(np.abs(np.round(direction, 9)))]
        directions.append((direction * np.sign(largest)).reshape(samples.shape[1:]))
    explained = values[::-1][:SHAPES].sum() / values.sum()
    return np.array(directions), explained


def on_grid(points):
    return (np.round(points / GRID) * GRID).astype("<f4")


def build(archive, path):
    """Reads the wheel `archive`, writes the body to `path` and returns a line about it."""
    human = MakeHuman(archive)
    rig, parents = human.rig(), skeleton()
    joints = list(parents)
    average = human.rest(AVERAGE)
    mannequin = Mannequin(human, average)
    skin = mannequin.count

    joint_regressor = np.zeros((len(joints), len(human.vertices)))
    for k, joint in enumerate(joints):
        head = human.end_of_bone(rig[joint]["head"])
        joint_regressor[k, head] = 1 / len(head)
    average = average - joint_regressor[0] @ average

    samples = np.array([human.rest(p) for p in phenotypes()])
    samples -= np.einsum("v,nvd->nd", joint_regressor[0], samples)[:, None]
    directions, explained = principal_directions(samples)

    average_skin = mannequin(average[:skin])
    # What the body is fitted to hangs on no finger: those are fitted apart.
    weights = skin_weights(human, rig, {joint: parent for joint, parent in parents.items() if not joint.startswith("finger")})
    weights = np.pad(weights, [(0, 0), (0, len(joints) - weights.shape[1])])
    regressors = keypoint_regressors(human, rig)
    names = list(regressors)
    moments = np.array(list(regressors.values()))[:, :, None] * weights
    for name, joint, vertices in hand_points(human, rig):
        names.append(name)
        moment = np.zeros((1, *weights.shape))
        moment[0, vertices, joints.index(joint)] = 1 / len(vertices)
        moments = np.concatenate([moments, moment])
    # Only the skin follows the fingers and the smooth weights: key points, and with them the fit, keep those of the untouched body.
    drawn = skin_weights(human, rig, parents)[:skin]
    changed, smooth = mannequin.smooth_weights(average_skin, drawn, joints.index("spine05"), joints.index("root"))
    drawn[changed] = strongest(np.round(smooth, 6))
    top = np.argsort(-drawn, axis=1, kind="stable")[:, :INFLUENCES]
    quads = mannequin.quads
    # The blink moves the lids as far in every shape: it is part of the template and of no direction.
    tensors.write(
        path,
        {
            "vertices": on_grid(average_skin),
            "faces": np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1).reshape(-1, 3).astype("<u4"),
            "shape_dirs": on_grid(np.array([mannequin(d[:skin], displacement=True) for d in directions])),
            "joints": on_grid(joint_regressor @ average),
            "joints_shape": on_grid(joint_regressor @ directions),
            "parents": np.array([joints.index(p) if p else -1 for p in parents.values()], "<i4"),
            "skin_indices": top.astype("<u4"),
            "skin_weights": np.take_along_axis(drawn, top, 1).astype("<f4"),
            "keypoint_weights": moments.sum(1).astype("<f4"),
            "keypoint_points": on_grid(np.einsum("kvj,vd->kjd", moments, average, optimize=True)),
            "keypoint_shape": on_grid(np.einsum("kvj,svd->skjd", moments, directions, optimize=True)),
        },
        {
            "format": "meshreel-body 1",
            "name": "MakeHuman mannequin",
            "licence": "CC0-1.0",
            "joint_names": json.dumps(joints),
            "keypoint_names": json.dumps(names),
            "coco17": json.dumps([names.index(BLAZEPOSE[i]) for i in COCO]),
            "blazepose33": json.dumps([names.index(n) if n in names else -1 for n in BLAZEPOSE]),
        },
    )
    return f"{skin} vertices, {2 * len(quads)} faces, {SHAPES} shapes that explain {explained:.4%} of the variance"
