"""Pictures of people in poses that hardly any clip shows, drawn from meshreel's own body, so that every joint's place is known.

Used by `odd_poses.py`. The body of `models/body.safetensors` is posed, dressed by colouring its vertices, lit, and drawn with a depth buffer in front of a
wall and a floor. Axes are the camera's: x right, y down, z away, metres.
"""

import json
import struct

import numpy as np

# Skin, hair, and what they wear: shirt, trousers, shoes.
OUTFITS = [
    {"skin": (0.86, 0.64, 0.52), "hair": (0.20, 0.13, 0.09), "shirt": (0.20, 0.35, 0.62), "trousers": (0.16, 0.17, 0.20), "shoes": (0.75, 0.75, 0.76)},
    {"skin": (0.45, 0.30, 0.22), "hair": (0.06, 0.05, 0.05), "shirt": (0.80, 0.78, 0.72), "trousers": (0.28, 0.33, 0.46), "shoes": (0.12, 0.12, 0.13)},
    {"skin": (0.93, 0.75, 0.65), "hair": (0.62, 0.47, 0.25), "shirt": (0.66, 0.16, 0.18), "trousers": (0.42, 0.40, 0.36), "shoes": (0.25, 0.20, 0.18)},
]
# Where the light comes from.
LIGHT = np.array([-0.45, -0.75, -0.5]) / np.linalg.norm([-0.45, -0.75, -0.5])
# Pixels of floor and wall a metre, and the size of the cells in which shadows are told, metres.
TEXTURE = 260
SHADOW = 0.04
# Samples a pixel, each way.
FINE = 2
# Sine of the bend from which on the plane of an elbow or a knee says how the limb is twisted.
BENT = 0.15


class Body:
    """The body as its file has it."""

    def __init__(self, path):
        with open(path, "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            data = file.read()
        kinds = {"F32": np.float32, "U32": np.uint32, "I32": np.int32}
        for name, tensor in header.items():
            if name != "__metadata__":
                start, end = tensor["data_offsets"]
                setattr(self, name, np.frombuffer(data[start:end], kinds[tensor["dtype"]]).reshape(tensor["shape"]))
        told = header["__metadata__"]
        self.names = json.loads(told["joint_names"])
        self.points = json.loads(told["keypoint_names"])
        self.coco17 = json.loads(told["coco17"])

    def joint(self, name):
        return self.names.index(name)

    def at_rest(self, shape):
        """Vertices, joints and key point parts of a shape."""
        shape = np.asarray(shape, float)
        vertices = self.vertices + np.tensordot(shape, self.shape_dirs, 1)
        joints = self.joints + np.tensordot(shape, self.joints_shape, 1)
        points = self.keypoint_points + np.tensordot(shape, self.keypoint_shape, 1)
        return vertices, joints, points

    def posed(self, shape, rotations):
        """Vertices and key points of rotations against the camera's axes, one a joint; the root joint at the origin."""
        vertices, joints, points = self.at_rest(shape)
        places = np.zeros_like(joints)
        for j, parent in enumerate(self.parents):
            if parent >= 0:
                places[j] = places[parent] + rotations[parent] @ (joints[j] - joints[parent])
        shift = places - np.einsum("jab,jb->ja", rotations, joints)
        moved = np.zeros_like(vertices)
        for k in range(4):
            j, w = self.skin_indices[:, k], self.skin_weights[:, k, None]
            moved += w * (np.einsum("vab,vb->va", rotations[j], vertices) + shift[j])
        seen = np.einsum("jab,kjb->ka", rotations, points) + self.keypoint_weights @ shift
        return moved, seen


def unit(v):
    v = np.asarray(v, float)
    return v / np.linalg.norm(v)


def frame(up, right):
    """Axes with `up` as it is and `right` as near as can be."""
    up = unit(up)
    right = unit(np.asarray(right, float) - up * np.dot(up, right))
    return np.column_stack([right, up, np.cross(right, up)])


def between(a, b):
    """The shortest rotation of one direction to another."""
    a, b = unit(a), unit(b)
    axis, cosine = np.cross(a, b), np.dot(a, b)
    if cosine < -0.9999:
        axis = np.cross(a, unit([0.3, 0.9, 0.2]))
        return about(axis, np.pi)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + k + k @ k / (1 + cosine)


def about(axis, angle):
    x, y, z = unit(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def rotations(body, shape, pose):
    """Rotations against the camera's axes of a pose told by directions (x to the person's left, y up, z to their front, before `turn`).

    `trunk`: where the chest's up and front are; `pelvis` likewise, where it differs; `head` likewise. For each side `arm` and `leg`: directions of the upper
    and the lower part, and of legs that of the foot.
    """
    _, joints, _ = body.at_rest(shape)
    # The pose's axes to the camera's for somebody who faces the camera: left is right in the picture.
    to_camera = np.diag([1.0, -1.0, -1.0])
    turn = about([0, 1, 0], np.radians(pose.get("turn", 0.0)))

    def there(v):
        return to_camera @ turn @ unit(v)

    def trunk(up, front):
        # At rest up is -y and front is -z.
        return frame(there(up), np.cross(there(front), there(up))) @ frame([0, -1, 0], np.cross([0, 0, -1], [0, -1, 0])).T

    j = body.joint
    out = np.tile(np.eye(3), (len(joints), 1, 1))
    chest = trunk(*pose["trunk"])
    pelvis = trunk(*pose.get("pelvis", pose["trunk"]))
    head = trunk(*pose.get("head", pose["trunk"]))
    out[j("root")] = pelvis
    axis_angle = chest @ pelvis.T
    angle = np.arccos(np.clip((np.trace(axis_angle) - 1) / 2, -1, 1))
    axis = np.array([axis_angle[2, 1] - axis_angle[1, 2], axis_angle[0, 2] - axis_angle[2, 0], axis_angle[1, 0] - axis_angle[0, 1]])
    for share, name in zip((1 / 3, 2 / 3, 1), ("spine05", "spine03", "spine01")):
        out[j(name)] = about(axis, angle * share) @ pelvis if np.linalg.norm(axis) > 1e-6 else pelvis
    out[j("neck01")] = out[j("head")] = head
    for side, sign in (("L", 1.0), ("R", -1.0)):
        out[j(f"clavicle.{side}")] = chest
        names = [f"{part}.{side}" for part in ("upperarm01", "lowerarm01", "wrist")]
        upper, lower = (there(v) for v in pose[f"arm.{side}"])
        at_rest = [joints[j(names[1])] - joints[j(names[0])], joints[j(names[2])] - joints[j(names[1])]]
        a, b = hinged(chest, at_rest, (upper, lower), np.cross(unit(at_rest[0]), [0, 0, -1]))
        out[j(names[0])], out[j(names[1])], out[j(names[2])] = a, b, b
        names = [f"{part}.{side}" for part in ("upperleg01", "lowerleg01", "foot")]
        upper, lower, foot = (there(v) for v in pose[f"leg.{side}"])
        at_rest = [joints[j(names[1])] - joints[j(names[0])], joints[j(names[2])] - joints[j(names[1])]]
        a, b = hinged(pelvis, at_rest, (upper, lower), np.array([1.0, 0, 0]))
        out[j(names[0])], out[j(names[1])] = a, b
        out[j(names[2])] = between(b @ [0, 0.25, -0.97], foot) @ b
    for k, parent in enumerate(body.parents):
        if body.names[k].startswith("finger"):
            out[k] = out[parent]
    return out


def hinged(parent, at_rest, seen, axis):
    """Rotations of a limb's two parts against the camera's axes; the plane of the bend says how it is twisted."""
    upper, lower = seen
    rotation = between(parent @ at_rest[0], upper) @ parent
    normal = np.cross(upper, lower)
    if np.linalg.norm(normal) > BENT:
        hinge = rotation @ axis
        hinge = unit(hinge - upper * np.dot(upper, hinge))
        angle = np.arctan2(np.dot(np.cross(hinge, normal), upper), np.dot(hinge, normal))
        rotation = about(upper, angle) @ rotation
    return rotation, between(rotation @ at_rest[1], lower) @ rotation


def colours(body, shape, outfit):
    """A colour for each vertex, by the joint that carries it."""
    vertices, joints, points = body.at_rest(shape)
    main = body.skin_indices[np.arange(len(vertices)), body.skin_weights.argmax(1)]
    out = np.tile(np.array(outfit["shirt"]), (len(vertices), 1))
    for k, name in enumerate(body.names):
        mine = main == k
        if name.startswith(("wrist", "finger", "lowerarm", "neck", "head")):
            out[mine] = outfit["skin"]
        elif name.startswith(("upperleg", "lowerleg", "root")):
            out[mine] = outfit["trousers"]
        elif name.startswith("foot"):
            out[mine] = outfit["shoes"]
    rest = np.einsum("kj,kja->ka", np.ones_like(body.keypoint_weights), points)
    named = {name: rest[k] for k, name in enumerate(body.points)}
    ears = (named["left_ear"] + named["right_ear"]) / 2
    top = vertices[main == body.joint("head"), 1].min()
    head = np.isin(main, [body.joint("head"), body.joint("neck01")])
    # Hair: above the forehead, and behind the ears down to the neck.
    line = named["left_eye"][1] - 0.42 * (named["left_eye"][1] - top)
    hair = head & ((vertices[:, 1] < line) | ((vertices[:, 2] > ears[2] - 0.005) & (vertices[:, 1] < named["nose"][1] + 0.04)))
    out[hair] = outfit["hair"]
    for eye in ("left_eye", "right_eye"):
        away = np.abs(vertices - named[eye])
        out[head & (away[:, 0] < 0.017) & (away[:, 1] < 0.006) & (vertices[:, 2] < ears[2] - 0.03)] = (0.12, 0.08, 0.07)
        brow = np.abs(vertices - named[eye] + [0, 0.02, 0])
        out[head & (brow[:, 0] < 0.022) & (brow[:, 1] < 0.004) & (vertices[:, 2] < ears[2] - 0.03)] = outfit["hair"]
    mouth = np.abs(vertices - named["nose"] - [0, 0.038, 0])
    out[head & (mouth[:, 0] < 0.024) & (mouth[:, 1] < 0.007) & (vertices[:, 2] < ears[2] - 0.03)] = (0.62, 0.30, 0.28)
    return out


class Room:
    """A floor, a wall, and a camera that looks at them from `height` metres above the floor, `pitch` radians down."""

    def __init__(self, size, focal, height, pitch, floor, wall, wall_at):
        self.focal, self.height, self.turn = focal, height, about([1, 0, 0], pitch)
        columns, rows = size
        y, x = np.mgrid[0:rows, 0:columns] + 0.5
        rays = np.stack([(x - columns / 2) / focal, (y - rows / 2) / focal, np.ones(x.shape)], -1) @ self.turn
        with np.errstate(divide="ignore"):
            to_floor = np.where(rays[..., 1] > 1e-6, height / rays[..., 1], np.inf)
        self.on_floor = to_floor * rays[..., 2] < wall_at
        self.places = rays * np.where(self.on_floor, to_floor, wall_at / rays[..., 2])[..., None]
        across, down, deep = (np.moveaxis(self.places, -1, 0) + 50) * TEXTURE

        def sample(texture, u, v):
            return texture[v.astype(int) % len(texture), u.astype(int) % texture.shape[1]]

        ground = sample(floor, across, deep) * [0.78, 0.72, 0.66]
        back = (0.35 + 0.55 * sample(wall, across, down)) * [0.95, 0.96, 1.0]
        self.picture = np.clip(np.where(self.on_floor[..., None], ground, back), 0, 1)

    def seen(self, points):
        """Places in the room (x right, y down from the camera's height, z away) in the camera's axes."""
        return points @ self.turn.T

    def shade(self, vertices):
        """The picture with the floor under a body darker, softly, where light from above would be stopped."""
        low = vertices[:, [0, 2]].min(0) - 0.5
        size = ((vertices[:, [0, 2]].max(0) + 0.5 - low) / SHADOW).astype(int) + 1
        over = np.zeros(size)
        at = ((vertices[:, [0, 2]] - low) / SHADOW).astype(int)
        np.maximum.at(over, (at[:, 0], at[:, 1]), np.exp(-np.maximum(self.height - vertices[:, 1], 0) / 0.5))
        for _ in range(4):
            over = (over + np.roll(over, 1, 0) + np.roll(over, -1, 0) + np.roll(over, 1, 1) + np.roll(over, -1, 1)) / 5
        i, j = np.moveaxis(((self.places[..., [0, 2]] - low) / SHADOW).astype(int), -1, 0)
        inside = self.on_floor & (i >= 0) & (j >= 0) & (i < size[0]) & (j < size[1])
        dark = np.zeros(inside.shape)
        dark[inside] = over[i[inside], j[inside]]
        return self.picture * (1 - 0.6 * dark[..., None])


def draw(picture, focal, vertices, faces, tones, up):
    """Draws a body into a picture (rows, columns, 3; 0 to 1), with the camera at the origin and the picture's
    middle on its axis; `up` is where the sky is."""
    rows, columns = picture.shape[:2]
    image = np.repeat(np.repeat(picture, FINE, 0), FINE, 1)
    depth = np.full(image.shape[:2], np.inf)
    normals = np.zeros_like(vertices)
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for k in range(3):
        np.add.at(normals, faces[:, k], face_normals)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    facing = np.einsum("fa,fa->f", face_normals, corners[:, 0])
    if np.einsum("va,va->v", normals, vertices - vertices.mean(0)).mean() < 0:
        normals, facing = -normals, -facing
    lit = np.clip(normals @ LIGHT, 0, 1)
    sky = 0.5 + 0.5 * normals @ up
    shaded = np.clip(tones * (0.30 + 0.25 * sky + 0.55 * lit)[:, None], 0, 1)
    z = np.maximum(vertices[:, 2], 0.05)
    flat = np.column_stack([vertices[:, 0] / z * focal + columns / 2, vertices[:, 1] / z * focal + rows / 2]) * FINE
    shown = (facing < 0) & (corners[:, :, 2].min(1) > 0.06)
    for face in faces[shown]:
        a, b, c = flat[face]
        low = np.maximum(np.floor(np.minimum(np.minimum(a, b), c)), 0).astype(int)
        high = np.minimum(np.ceil(np.maximum(np.maximum(a, b), c)), [columns * FINE - 1, rows * FINE - 1]).astype(int)
        if (high < low).any():
            continue
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-9:
            continue
        y, x = np.ogrid[low[1]:high[1] + 1, low[0]:high[0] + 1]
        x, y = x + 0.5, y + 0.5
        u = ((b[0] - x) * (c[1] - y) - (b[1] - y) * (c[0] - x)) / area
        v = ((c[0] - x) * (a[1] - y) - (c[1] - y) * (a[0] - x)) / area
        w = 1 - u - v
        inside = (u >= 0) & (v >= 0) & (w >= 0)
        if not inside.any():
            continue
        near = 1 / (u / z[face[0]] + v / z[face[1]] + w / z[face[2]])
        part = depth[low[1]:high[1] + 1, low[0]:high[0] + 1]
        inside &= near < part
        part[inside] = near[inside]
        tone = u[..., None] * shaded[face[0]] + v[..., None] * shaded[face[1]] + w[..., None] * shaded[face[2]]
        image[low[1]:high[1] + 1, low[0]:high[0] + 1][inside] = tone[inside]
    return image.reshape(rows, FINE, columns, FINE, 3).mean((1, 3))
