"""Makes motion files of the synthetic kind: the body model's skeleton, posed, with all that a motion file holds of it."""

import base64
import json
import pathlib

import numpy as np
from motion import BASE, COCO, matrices

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = {"F32": "<f4", "U32": "<u4", "I32": "<i4"}


def rotation(axis, degrees):
    """Quaternions [..., 4] that turn by `degrees` about `axis` (world axes: x the body's left, y up, z its front)."""
    half = np.radians(np.asarray(degrees, float))[..., None] / 2
    return np.concatenate([np.cos(half), np.sin(half) * np.asarray(axis, float)], -1)


def times(a, b):
    """The product of quaternions."""
    w, v, u, s = a[..., :1], a[..., 1:], b[..., 1:], b[..., :1]
    return np.concatenate([w * s - np.sum(v * u, -1, keepdims=True), w * u + s * v + np.cross(v, u)], -1)


def quaternion(matrix):
    """The quaternion of one rotation matrix."""
    trace = np.trace(matrix)
    k = np.array(
        [
            [trace, *[matrix[c, b] - matrix[b, c] for b, c in ((1, 2), (2, 0), (0, 1))]],
            [0, 2 * matrix[0, 0] - trace, matrix[0, 1] + matrix[1, 0], matrix[0, 2] + matrix[2, 0]],
            [0, 0, 2 * matrix[1, 1] - trace, matrix[1, 2] + matrix[2, 1]],
            [0, 0, 0, 2 * matrix[2, 2] - trace],
        ]
    )
    return np.linalg.eigh(k, UPLO="U")[1][:, -1]


class Body:
    def __init__(self, path=ROOT / "models/body.safetensors"):
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        head = json.loads(data[8 : 8 + length])
        about = head.pop("__metadata__")

        def tensor(entry):
            begin, end = entry["data_offsets"]
            return np.frombuffer(data[8 + length + begin : 8 + length + end], KINDS[entry["dtype"]]).reshape(entry["shape"])

        self.tensors = {name: tensor(entry) for name, entry in head.items()}
        self.name, self.licence = about["name"], about["licence"]
        self.joint_names = json.loads(about["joint_names"])
        self.parents = self.tensors["parents"].tolist()
        self.coco = json.loads(about["coco17"])
        self.keypoint_names = names = json.loads(about["keypoint_names"])
        self.extras = [k for k in range(len(names)) if k not in self.coco]
        self.extra_names = [names[k] for k in self.extras]
        self.choose_mesh()

    def choose_mesh(self):
        """A few hundred of the body's vertices: for each joint those that move most with it, and the soles."""
        weights, indices = self.tensors["skin_weights"], self.tensors["skin_indices"].astype(int)
        height = self.tensors["vertices"][:, 1]
        chosen, triangles = [], []
        groups = []
        for j in range(len(self.joint_names)):
            of = np.where(indices == j, weights, 0).max(1)
            groups.append(np.argsort(-of, kind="stable")[:6])
            # Vertices that several joints share.
            groups.append(np.argsort(np.abs(of - 0.5), kind="stable")[:6])
        groups.append(np.argsort(-height, kind="stable")[:12])
        for group in groups:
            start = len(chosen)
            chosen += group.tolist()
            triangles += [[start + i, start + i + 1, start + i + 2] for i in range(0, len(group), 3)]
        self.chosen, self.faces = np.array(chosen), np.array(triangles, "<u2")
        # Bytes that sum to 255; the places without weight keep whatever joint they name, as a hard case.
        exact = weights[self.chosen].astype(float)
        exact *= 255 / exact.sum(1, keepdims=True)
        whole = np.floor(exact).astype(int)
        for row, rest in zip(whole, exact - whole):
            row[np.argsort(-rest, kind="stable")[: 255 - row.sum()]] += 1
        self.skin_weights = whole.astype("u1")
        self.skin_indices = indices[self.chosen].astype("u1")
        self.skin_indices[self.skin_weights == 0] = len(self.joint_names) - 1

    def of_shape(self, shape):
        """Rest joints, mesh vertices, key points' moments and the crown of the body of a shape."""
        t, s = self.tensors, np.array(shape, float)
        rest = t["joints"] + np.tensordot(s, t["joints_shape"], 1)
        vertices = t["vertices"] + np.tensordot(s, t["shape_dirs"], 1)
        moments = t["keypoint_points"] + np.tensordot(s, t["keypoint_shape"], 1)
        return rest, vertices[self.chosen], moments, vertices[np.argmin(vertices[:, 1])], vertices[:, 1].max()


class Person:
    """Somebody's motion in world axes; `pose` {joint name: quaternions [T, 4]}, `root` [T, 3] of the root joint, metres, y up."""

    def __init__(self, body, number, shape, pose, root, present, uncertain=()):
        self.body, self.number, self.shape = body, number, list(shape)
        self.rest, self.vertices, self.moments, self.head_top, self.sole = body.of_shape(shape)
        at_rest = dict(zip(body.keypoint_names, self.moments.sum(1)))
        below = lambda point: [at_rest[point][0], self.sole, at_rest[point][2]]
        self.soles = np.array([[below(f"{side}_{part}") for part in ("heel", "big_toe")] for side in ("left", "right")])
        self.pose, self.root = pose, np.asarray(root, float)
        self.present, self.uncertain = np.asarray(present, bool), set(uncertain)

    def in_camera(self, world):
        """Local rotations [T, J, 4] and root [T, 3] in camera axes; `world`: 4x4 from camera axes to the world's."""
        frames, names = len(self.root), self.body.joint_names
        q = np.zeros((frames, len(names), 4))
        q[..., 0] = 1
        for name, turn in self.pose.items():
            q[:, names.index(name)] = turn
        q = q * [1, 1, -1, -1]
        to_camera = world[:3, :3].T
        q[:, 0] = times(quaternion(to_camera @ BASE)[None], q[:, 0])
        return q, (self.root - world[:3, 3]) @ world[:3, :3]

    def keypoints(self, q, root):
        """Key points [T, K, 3] in camera axes, as the body model's moments define them."""
        t = self.body.tensors
        local = matrices(q)
        turned, at = np.empty_like(local), np.empty((*local.shape[:2], 3))
        for j, parent in enumerate(self.body.parents):
            if parent < 0:
                turned[:, j], at[:, j] = local[:, j], root
            else:
                turned[:, j] = turned[:, parent] @ local[:, j]
                at[:, j] = at[:, parent] + turned[:, parent] @ (self.rest[j] - self.rest[parent])
        offset = at - np.einsum("tjab,jb->tja", turned, self.rest)
        return np.einsum("tjab,kjb->tka", turned, self.moments) + np.einsum("kj,tja->tka", t["keypoint_weights"], offset)


def rounded(values, decimals):
    return (np.round(values, decimals) + 0.0).tolist()


def text(array, kind):
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()


def direction(moves):
    """What a coefficient of the shape adds to vertices [V, 3], in whole steps."""
    unit = np.abs(moves).max() / 32767
    return {"unit": unit, "steps": text(np.round(moves / unit), "<i2")}


def header_line(body, people, frame_times, fps, size, focal, world):
    """The motion file's first line; `world` {"up", "floor", "source", "sigma_deg"}."""

    def about(person):
        frames = np.flatnonzero(person.present)
        return {
            "id": person.number,
            "first_frame": int(frames[0]),
            "last_frame": int(frames[-1]),
            "frames": len(frames),
            "color": [0.45, 0.72, 0.95],
            "rest": rounded(person.rest, 5),
            "soles": rounded(person.soles, 5),
            "head_top": rounded(person.head_top, 5),
            "shape": rounded(np.array(person.shape), 4),
        }

    mesh = {
        "vertices": len(body.chosen),
        "faces": text(body.faces, "<u2"),
        "skin_indices": text(body.skin_indices, "u1"),
        "skin_weights": text(body.skin_weights, "u1"),
        "mean": text(body.tensors["vertices"][body.chosen], "<f4"),
        "directions": [direction(d[body.chosen]) for d in body.tensors["shape_dirs"].astype(float)],
    }
    line = {
        "meshreel": 1,
        "video": {"path": "synthetic.mp4", "width": size[0], "height": size[1], "fps": round(fps, 4), "frames": len(frame_times)},
        "clock": {"zero": "first frame", "video_start": 0.0, "source_start": 0.0},
        "body": {"name": body.name, "licence": body.licence, "joints": body.joint_names, "parents": body.parents},
        "camera": {"fx": focal, "fy": focal, "cx": (size[0] - 1) / 2, "cy": (size[1] - 1) / 2},
        "keypoints": "coco17",
        "extra_keypoints": body.extra_names,
        "world": world,
        "people": [about(person) for person in people],
        "mesh": mesh,
    }
    return json.dumps(line) + "\n"


def person_rows(person, world, size, focal):
    """What each frame's line says of somebody: a list of dictionaries, None where absent."""
    q, root = person.in_camera(world)
    q, root = np.round(q, 5), np.round(root, 4)
    points = person.keypoints(q / np.linalg.norm(q, axis=-1, keepdims=True), root)
    pixels = points[..., :2] / points[..., 2:] * focal + (np.array(size) - 1) / 2
    coco, extra = points[:, person.body.coco], points[:, person.body.extras]
    seen = pixels[:, person.body.coco]
    rows = []
    for f in range(len(root)):
        if not person.present[f]:
            rows.append(None)
            continue
        low, high = pixels[f].min(0), pixels[f].max(0)
        confidence = 0.5 + 0.5 * np.abs(np.sin(np.arange(17) + 0.1 * f))
        row = {
            "id": person.number,
            "box": rounded(np.concatenate([low, high - low]), 2),
            "score": round(0.8 + 0.1 * np.sin(0.05 * f), 3),
            **({"uncertain": True} if f in person.uncertain else {}),
            "keypoints2d": rounded(np.concatenate([np.round(seen[f], 2), np.round(confidence, 3)[:, None]], 1), 3),
            "joints3d": rounded(coco[f], 4),
            "extra3d": rounded(extra[f], 4),
            "root": {"position": rounded(root[f], 4)},
            "rotations": rounded(q[f], 5),
            "shape": rounded(np.array(person.shape), 4),
            # Now one hand is seen and now the other, now both and now neither.
            **({"hands": hands} if any(hands := [0.9 * (f % 2), 0.6 * (f // 2 % 2)]) else {}),
        }
        rows.append(row)
    return rows


assert len(COCO) == 17
