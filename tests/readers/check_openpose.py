"""openpose: a file a frame, 17 COCO points or Pose2Sim's Halpe-26."""

import json

import numpy as np
from motion import require


def check(export):
    motion, folder = export.motion, export.folder / f"{export.motion.name}.openpose"
    require(folder.is_dir(), f"{folder} is missing")
    paths = sorted(folder.iterdir())
    wanted = [f"{motion.name}_{f:012d}_keypoints.json" for f in range(len(motion.times))]
    require([p.name for p in paths] == wanted, f"{folder.name} has {len(paths)} files, not {len(wanted)} from {wanted[:1]} on")
    kinds = set()
    for f, path in enumerate(paths):
        people = json.loads(path.read_text())["people"]
        present = np.flatnonzero(motion.present[f])
        require(len(people) == len(present), f"{path.name} has {len(people)} people, not {len(present)}")
        for person, p in zip(people, present):
            points = np.array(person["pose_keypoints_2d"], float).reshape(-1, 3)
            kinds.add(len(points))
            require(len(points) in (17, 26), f"{path.name} has {len(points)} points; Pose2Sim takes 17 (COCO) or 26 (Halpe)")
            off = np.abs(points[:17] - motion.keypoints2d[f, p]).max()
            require(off <= 0.006, f"{path.name}: a point is {off:.2f} off")
            if len(points) == 26:
                feet(export, path, f, p, points)
            hands(export, path, f, p, person)
    return f"{len(paths)} files, {' and '.join(map(str, sorted(kinds))) or 'no'} points"


def hands(export, path, f, p, person):
    """21 points of each hand that was seen, with how surely; none of another."""
    motion = export.motion
    for side, name in enumerate(("left", "right")):
        points = np.array(person[f"hand_{name}_keypoints_2d"], float).reshape(-1, 3)
        seen = motion.hands[f, p, side]
        if seen == 0 or f"{name}_index_tip" not in motion.keypoint_names:
            require(len(points) == 0, f"{path.name} has points of a {name} hand that was not seen")
            continue
        require(len(points) == 21, f"{path.name} has {len(points)} points of a {name} hand, not 21")
        require(np.abs(points[:, 2] - seen).max() < 1e-3, f"{path.name}: the confidence of a {name} hand is not {seen}")
        # The wrist, and the tips of thumb and little finger.
        for k, point in ((0, "wrist"), (4, "thumb_tip"), (20, "pinky_tip")):
            place = motion.keypoints3d[f, p, motion.keypoint_names.index(f"{name}_{point}")]
            off = np.abs(points[k, :2] - motion.project(place)).max()
            require(off <= 0.1, f"{path.name}: {name}_{point} is {off:.2f} px off")


def feet(export, path, f, p, points):
    """Head, neck, hip, toes and heels of Halpe-26."""
    markers = export.motion.markers(p)
    names = {17: "Head", 20: "LBigToe", 21: "RBigToe", 22: "LSmallToe", 23: "RSmallToe", 24: "LHeel", 25: "RHeel"}
    for k, name in names.items():
        off = np.abs(points[k, :2] - export.motion.project(markers[name][f])).max()
        require(off <= 0.05, f"{path.name}: {name} is {off:.2f} px off")
    for k, sides in ((18, (5, 6)), (19, (11, 12))):
        off = np.abs(points[k, :2] - points[list(sides), :2].mean(0)).max()
        require(off <= 0.5, f"{path.name}: point {k} is not in the middle of points {sides}")
