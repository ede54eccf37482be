"""A motion file in numpy, and what the exported files ought to say: forward kinematics, world frame, times.

Written from the description of the motion file, not from the exporters, so that both can be wrong only apart.
"""

import base64
import bisect
import json
import pathlib

import numpy as np

COCO = """nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist
left_hip right_hip left_knee right_knee left_ankle right_ankle""".split()
# Camera axes (x right, y down, z away) to glTF's (y up, z towards the camera).
BASE = np.diag([1.0, -1.0, -1.0])
# Marker names of Pose2Sim's Halpe-26 set, and the key point of each.
SIDES = {"R": "right", "L": "left"}
PARTS = {"Shoulder": "shoulder", "Elbow": "elbow", "Wrist": "wrist", "Hip": "hip", "Knee": "knee", "Ankle": "ankle"}
FEET = {"BigToe": "big_toe", "SmallToe": "small_toe", "Heel": "heel"}
MARKERS = {"Nose": "nose"} | {s + p: f"{side}_{k}" for s, side in SIDES.items() for p, k in (PARTS | FEET).items()}


class Wrong(Exception):
    """An exported file is not as it should be."""


def require(condition, sentence):
    if not condition:
        raise Wrong(sentence)


def decode(text, kind, shape):
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape)


def matrices(q):
    """Rotation matrices [..., 3, 3] of quaternions [..., 4] in the order w, x, y, z."""
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    w, x, y, z = np.moveaxis(q, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(r, -1) for r in rows], -2)


def slerp(a, b, t):
    """Between quaternions `a` and `b` [..., 4], the shorter way."""
    dot = np.sum(a * b, -1, keepdims=True)
    b, dot = np.where(dot < 0, -b, b), np.abs(dot)
    angle = np.arccos(np.clip(dot, -1, 1))
    small = angle < 1e-6
    safe = np.where(small, 1.0, angle)
    of_a = np.where(small, 1 - t, np.sin((1 - t) * safe) / np.sin(safe))
    of_b = np.where(small, t, np.sin(t * safe) / np.sin(safe))
    return of_a * a + of_b * b


def turn_between(a, b):
    """Degrees by which unit quaternions `a` and `b` differ."""
    return np.degrees(2 * np.arccos(np.clip(np.abs(np.sum(a * b, -1)), 0, 1)))


def least_rotation(a, b):
    """The least rotation that takes the unit vector `a` to `b`."""
    cross, dot = np.cross(a, b), a @ b
    require(dot > -0.999999, "the motion file's `up` points straight down the picture's up axis turned over")
    k = np.array([[0, -cross[2], cross[1]], [cross[2], 0, -cross[0]], [-cross[1], cross[0], 0]])
    return np.eye(3) + k + k @ k / (1 + dot)


class Motion:
    """All of a motion file. `T` frames, `P` people, `J` joints; camera axes and metres; NaN where somebody is absent.

    `only`: leaves out everybody else, as `--person` does.
    """

    def __init__(self, path, only=None):
        self.path = pathlib.Path(path)
        self.name = self.path.name.removesuffix(".jsonl").removesuffix(".motion")
        with open(path, encoding="utf-8") as lines:
            self.header = header = json.loads(next(lines))
            self.rows = [json.loads(line) for line in lines]
        body, video = header["body"], header["video"]
        self.joint_names, self.parents = body["joints"], body["parents"]
        self.fps, self.size = video["fps"], (video["width"], video["height"])
        self.keypoint_names = COCO + header["extra_keypoints"]
        camera = header["camera"]
        self.camera = np.array([[camera["fx"], 0, camera["cx"]], [0, camera["fy"], camera["cy"]], [0, 0, 1]])
        self.world = header["world"]
        self.times = np.array([row["time"] for row in self.rows], float)
        self.corrupt = np.array([row.get("corrupt", False) for row in self.rows], bool)
        people = [person for person in header["people"] if only in (None, person["id"])]
        self.ids = [person["id"] for person in people]
        self.read_people(people)
        self.read_rows()

    def read_people(self, people):
        joints = len(self.joint_names)
        mesh = self.header["mesh"]
        vertices = mesh["vertices"]
        self.faces = decode(mesh["faces"], "<u2", (-1, 3))
        self.skin_indices = decode(mesh["skin_indices"], "u1", (vertices, 4))
        self.skin_weights = decode(mesh["skin_weights"], "u1", (vertices, 4)) / 255.0
        self.rest = np.array([p["rest"] for p in people], float).reshape(-1, joints, 3)
        self.head_top = np.array([p["head_top"] for p in people], float).reshape(-1, 3)
        self.first_frames = [p["first_frame"] for p in people]
        mean = decode(mesh["mean"], "<f4", (vertices, 3)).astype(float)
        moves = [d["unit"] * decode(d["steps"], "<i2", (vertices, 3)) for d in mesh["directions"]]
        self.vertices = np.array([mean + sum(c * move for c, move in zip(p["shape"], moves)) for p in people])

    def read_rows(self):
        frames, people, joints = len(self.rows), len(self.ids), len(self.joint_names)

        def empty(*shape):
            return np.full((frames, people, *shape), np.nan)

        self.rotations, self.root = empty(joints, 4), empty(3)
        self.keypoints3d, self.keypoints2d = empty(len(self.keypoint_names), 3), empty(17, 3)
        self.box, self.score, self.hands = empty(4), empty(), empty(2)
        self.present = np.zeros((frames, people), bool)
        self.uncertain = np.zeros((frames, people), bool)
        at = {person: i for i, person in enumerate(self.ids)}
        for f, row in enumerate(self.rows):
            for person in row["people"]:
                if person["id"] not in at:
                    continue
                p = at[person["id"]]
                self.present[f, p] = True
                self.uncertain[f, p] = person.get("uncertain", False)
                self.rotations[f, p] = person["rotations"]
                self.root[f, p] = person["root"]["position"]
                self.keypoints3d[f, p] = person["joints3d"] + person["extra3d"]
                self.keypoints2d[f, p] = person["keypoints2d"]
                self.box[f, p], self.score[f, p] = person["box"], person["score"]
                self.hands[f, p] = person.get("hands", [0, 0])
        self.rotations /= np.linalg.norm(self.rotations, axis=-1, keepdims=True)

    def pose(self, person, rotations, root):
        """Joints' positions [N, J, 3] and rotations [N, J, 3, 3] in camera axes."""
        local, rest = matrices(rotations), self.rest[person]
        turned, positions = np.empty_like(local), np.empty((*local.shape[:2], 3))
        for j, parent in enumerate(self.parents):
            if parent < 0:
                turned[:, j], positions[:, j] = local[:, j], root
            else:
                turned[:, j] = turned[:, parent] @ local[:, j]
                positions[:, j] = positions[:, parent] + turned[:, parent] @ (rest[j] - rest[parent])
        return positions, turned

    def joints(self, person):
        """Joints [T, J, 3] in camera axes."""
        return self.pose(person, self.rotations[:, person], self.root[:, person])[0]

    def crown(self, person):
        """Top of the head [T, 3] in camera axes: moves with the joint `head`."""
        positions, turned = self.pose(person, self.rotations[:, person], self.root[:, person])
        head = self.joint_names.index("head")
        return positions[:, head] + turned[:, head] @ (self.head_top[person] - self.rest[person, head])

    def skinned(self, person, frame):
        """The mesh [V, 3] in camera axes by linear blend skinning."""
        positions, turned = self.pose(person, self.rotations[[frame], person], self.root[[frame], person])
        moved = np.einsum("jab,vjb->vja", turned[0], self.vertices[person][:, None] - self.rest[person]) + positions[0]
        of = np.take_along_axis(moved, self.skin_indices[..., None].astype(int), 1)
        return np.sum(of * self.skin_weights[..., None], 1)

    def markers(self, person):
        """The 22 markers of the trc file {name: [T, 3]} in camera axes."""
        points = {m: self.keypoints3d[:, person, self.keypoint_names.index(k)] for m, k in MARKERS.items()}
        points["Neck"] = (points["LShoulder"] + points["RShoulder"]) / 2
        points["Hip"] = (points["LHip"] + points["RHip"]) / 2
        points["Head"] = self.crown(person)
        return points

    def project(self, points):
        """Pixels [..., 2] of points in camera axes."""
        seen = points @ self.camera.T
        return seen[..., :2] / seen[..., 2:]

    def is_told(self, frame):
        """Whether the frame of the exported files is the world (else the camera's axes, turned)."""
        return frame == "world" and self.world["source"] != "none"

    def world_from_camera(self, frame):
        """The 4x4 matrix from camera axes to those of the exported files."""
        matrix = np.eye(4)
        matrix[:3, :3] = BASE
        if self.is_told(frame):
            up = np.array(self.world["up"], float)
            matrix[:3, :3] = least_rotation(BASE @ up / np.linalg.norm(up), np.array([0.0, 1.0, 0.0])) @ BASE
            matrix[1, 3] = self.world["floor"] or 0.0
        return matrix

    def is_constant_rate(self):
        """Whether no time is off by more than half a frame: then nothing is resampled."""
        if len(self.times) == 0:
            return True
        off = self.times - self.times[0] - np.arange(len(self.times)) / self.fps
        return bool(np.max(np.abs(off)) <= 0.5 / self.fps + 1e-6)

    def bracket(self, time):
        """Where `time` lies: (frame, next frame, how far between them)."""
        after = min(max(bisect.bisect_right(self.times, time), 1), len(self.times) - 1)
        before = max(after - 1, 0)
        length = self.times[after] - self.times[before]
        return before, after, (time - self.times[before]) / length if length > 0 else 0.0

    def at(self, person, time):
        """What a file of constant rate says about `time`: (state, frame, next frame, part of the way).

        `state` is "present", "absent", or "edge": beside an absence, where the nearest frame or nothing may be written.
        """
        if self.is_constant_rate():
            f = int(np.clip(round((time - self.times[0]) * self.fps), 0, len(self.times) - 1))
            return ("present" if self.present[f, person] else "absent"), f, f, 0.0
        a, b, t = self.bracket(time)
        close = 5e-5 / max(self.times[b] - self.times[a], 1e-9)
        a, b, t = (a, a, 0.0) if t < close else (b, b, 0.0) if t > 1 - close else (a, b, t)
        here = self.present[[a, b], person]
        return ("present" if here.all() else "absent" if not here.any() else "edge"), a, b, t

    def joints_at(self, person, a, b, t):
        """Joints [J, 3] in camera axes at a time between two frames: turned by slerp, moved linearly."""
        q = slerp(self.rotations[[a], person], self.rotations[[b], person], t)
        root = self.root[[a], person] * (1 - t) + self.root[[b], person] * t
        return self.pose(person, q, root)[0][0]


def to_world(matrix, points, shift=0.0):
    """Points [..., 3] in the axes of the exported files; `shift` [...]: metres up."""
    moved = points @ matrix[:3, :3].T + matrix[:3, 3]
    moved[..., 1] += shift
    return moved
