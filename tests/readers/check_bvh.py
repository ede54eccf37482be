"""bvh: joints as bvhio sees them, the T-pose, and no flips in the numbers."""

import re

import bvhio
import numpy as np
from motion import require, to_world, turn_between

NEAR = 1e-4
# The rest direction of each bone, by its name's ending: world axes, the body faces +Z with its left at +X.
SIDEWAYS, DOWN = ("Arm", "ForeArm"), ("UpLeg", "Leg")


def numbers(path):
    """Frame time and channel values [N, C] in the file's own text."""
    text = path.read_text()
    motion = text[text.index("MOTION") :].splitlines()
    count = int(re.match(r"Frames:\s*(\d+)", motion[1])[1])
    step = re.match(r"Frame Time:\s*(\S+)", motion[2])[1]
    rows = np.array([[float(v) for v in line.split()] for line in motion[3:] if line.strip()])
    require(len(rows) == count, f"{path.name} says {count} frames and has {len(rows)}")
    require(len(step.split(".")[-1]) >= 8, f"the frame time {step} has fewer than 8 decimals")
    return float(step), rows


def check(export):
    motion = export.motion
    worst, files = 0.0, []
    for p, number in enumerate(motion.ids):
        firsts = [motion.first_frames[p]]
        if not motion.is_constant_rate():
            # Frames of the file's own rate; of one in the middle of two either.
            place = (motion.times[firsts[0]] - motion.times[0]) * motion.fps
            firsts = sorted({round(place - 0.001), round(place + 0.001)})
        names = [f"p{number}.bvh" if first == 0 else f"p{number}.f{first}.bvh" for first in firsts]
        files.append(export.file(next((n for n in names if (export.folder / f"{motion.name}.{n}").exists()), names[0])))
        worst = max(worst, check_person(export, p, files[-1]))
    found = {path.name for path in export.folder.glob(f"{motion.name}.p*.bvh")}
    require(found == {f.name for f in files}, f"{sorted(found)} are there, not {sorted(f.name for f in files)}")
    return f"{len(files)} files, joints {worst * 1000:.3f} mm off at most, T-pose, no flips"


def check_person(export, p, path):
    motion = export.motion
    step, rows = numbers(path)
    require(abs(step - 1 / motion.fps) < 1e-6, f"the frame time of {path.name} is {step}, not {1 / motion.fps:.8f}")
    tree = bvhio.readAsBvh(str(path)).Root
    nodes = [joint for joint, _, _ in tree.layout()]
    names = [joint.Name for joint in nodes]
    require(len(names) == len(motion.joint_names), f"{path.name} has {len(names)} joints, not {len(motion.joint_names)}")
    require(
        not [n for n in names if "." in n or " " in n] and len(set(names)) == len(names),
        "joint names have dots or blanks, or are not unique",
    )
    require(names[0] == "Hips" and np.allclose(np.array(nodes[0].Offset), 0), "the root is not Hips with offset 0")
    t_pose(nodes)
    order = places(motion, nodes)

    # Where this file's first row lies in time; a file of a constant rate may begin between two frames of the video.
    first = motion.first_frames[p]
    starts = (
        [first / motion.fps]
        if motion.is_constant_rate()
        else [motion.times[first], *[round_up(motion.times[first] * motion.fps) / motion.fps for round_up in (np.floor, np.round, np.ceil)]]
    )
    skeleton = bvhio.readAsHierarchy(str(path))
    joints = [joint for joint, _, _ in skeleton.layout()]
    found = np.zeros((len(rows), len(joints), 3))
    for row in range(len(rows)):
        skeleton.loadPose(row)
        found[row] = [[*joint.PositionWorld] for joint in joints]
    found = found[:, order] / 100
    worst = min((compare(export, p, found, start) for start in starts), key=lambda w: w[0])
    require(worst[0] <= NEAR, f"a joint in {path.name} is {worst[0] * 1000:.2f} mm off, {worst[1]}")
    require(worst[1] != "", f"{path.name} has no row in which the person is present")
    present = np.flatnonzero(motion.present[:, p])
    last = starts[0] + (len(rows) - 1) / motion.fps
    require(
        abs(last - motion.times[present[-1]]) <= 2 / motion.fps,
        f"{path.name} ends at {last:.3f} s, the person at {motion.times[present[-1]]:.3f} s",
    )
    no_flips(path, rows)
    return worst[0]


def compare(export, p, found, start):
    motion, worst, where = export.motion, 0.0, ""
    for row, joints in enumerate(found):
        time = start + row / motion.fps
        state, a, b, t = motion.at(p, time)
        if state != "present":
            continue
        wanted = to_world(export.matrix, motion.joints_at(p, a, b, t), export.shift_at(p, a, b, t))
        off = np.abs(joints - wanted).max()
        if off > worst:
            worst, where = off, f"row {row} at {time:.3f} s"
    return worst, where


def places(motion, nodes):
    """For each of the motion file's joints its place in the bvh, which goes depth first: the tree has to be the same."""
    children = {}
    for j, parent in enumerate(motion.parents):
        children.setdefault(parent, []).append(j)
    order = []

    def go(j, node):
        order.append((j, node))
        below = [k for k in children.get(j, [])]
        require(len(node.Children) == len(below), f"{node.Name} has {len(node.Children)} children, not {len(below)}")
        for k, child in zip(below, node.Children):
            go(k, child)

    go(motion.parents.index(-1), nodes[0])
    at = {id(node): i for i, node in enumerate(nodes)}
    places = [0] * len(order)
    for j, node in order:
        places[j] = at[id(node)]
    return places


def t_pose(nodes):
    """Arms to the sides, legs down, within 2 degrees."""
    for node in nodes:
        side = 1 if node.Name.startswith("Left") else -1
        part = node.Name.removeprefix("Left").removeprefix("Right")
        wanted = [side, 0, 0] if part in SIDEWAYS else [0, -1, 0] if part in DOWN else None
        if wanted and node.Children:
            bone = np.array(node.Children[0].Offset)
            angle = np.degrees(np.arccos(np.clip(bone @ wanted / np.linalg.norm(bone), -1, 1)))
            require(angle < 2, f"{node.Name} is {angle:.0f} degrees from a T-pose at rest")


def quaternions(angles):
    """Of Z, X, Y degrees [..., 3]: R = Rz Rx Ry."""
    z, x, y = np.moveaxis(np.radians(angles) / 2, -1, 0)
    cz, sz, cx, sx, cy, sy = np.cos(z), np.sin(z), np.cos(x), np.sin(x), np.cos(y), np.sin(y)
    return np.stack(
        [cz * cx * cy - sz * sx * sy, cz * sx * cy - sz * cx * sy, cz * cx * sy + sz * sx * cy, cz * sx * sy + sz * cx * cy], -1
    )


def no_flips(path, rows):
    angles = rows[:, 3:].reshape(len(rows), -1, 3)
    if len(rows) < 2:
        return
    q = quaternions(angles)
    turned = turn_between(q[1:], q[:-1])
    steps = np.abs(np.diff(angles, axis=0)).max(-1)
    bad = np.argwhere((steps > 90) & (turned < 20))
    require(
        len(bad) == 0,
        f"{path.name}: angles of joint {bad[0][1] if len(bad) else 0} jump by {steps.max():.0f} degrees between rows where it hardly turned, {len(bad)} times",
    )
