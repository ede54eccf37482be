"""People stand on the floor and do not float, and jumps stay jumps. No format of its own: read from npz."""

import numpy as np
from motion import require

# Metres a second by which somebody is moved onto the floor, at most, and how far it may change from one frame to the next.
FASTEST = 0.25
FEET = ["left_heel", "right_heel", "left_big_toe", "right_big_toe"]


def resting(points, seconds):
    """Frames in which a point hardly moves [T]: less than 5 cm/s, to both sides."""
    slow = np.linalg.norm(np.diff(points, axis=0), axis=-1) < 0.05 * np.diff(seconds)
    return np.r_[slow[:1], slow] & np.r_[slow, slow[-1:]] if len(slow) else np.zeros(len(points), bool)


def check(export):
    motion = export.motion
    if not motion.is_told(export.frame):
        return "camera axes, or no floor is known: nobody was moved"
    names = motion.keypoint_names
    fastest, highest = 0.0, 0.0
    for p, number in enumerate(motion.ids):
        here = motion.present[:, p]
        both = here[1:] & here[:-1]
        # Two frames may have the same time.
        both &= np.diff(motion.times) > 0
        steps = np.diff(export.shift[:, p])[both] / np.diff(motion.times)[both]
        fastest = max(fastest, np.abs(steps).max(initial=0))
        require(fastest <= FASTEST, f"person {number} is moved onto the floor at {fastest:.2f} m/s; that is not smooth")
    points = np.stack([export.to_world(p, motion.keypoints3d[:, p]) for p in range(len(motion.ids))], 1) if motion.ids else None

    for known in export.expected.get("standing", []):
        p, (first, last) = motion.ids.index(known["person"]), known["frames"]
        for foot in FEET:
            k = names.index(foot)
            # At rest in the body model: how far the key point is above the lowest vertex.
            above = motion.vertices[p][:, 1].max() - rest_height(motion, p, first, foot)
            still = [f for f in range(first, last + 1) if resting(points[:, p, k], motion.times)[f]]
            require(still, f"person {known['person']} was expected to stand still in frames {first} to {last}")
            off = np.abs(points[still, p, k, 1] - above).max()
            highest = max(highest, off)
            require(off <= 0.015, f"the {foot} of person {known['person']}, who stands, is {off * 100:.1f} cm off the floor")
    for known in export.expected.get("rise", []):
        p, k = motion.ids.index(known["person"]), names.index(known["keypoint"])
        rise = points[known["to_frame"], p, k, 1] - points[known["from_frame"], p, k, 1]
        require(abs(rise - known["metres"]) <= known["within"], f"a jump of {known['metres']:.2f} m has become one of {rise:.2f} m")
    rest = []
    for p in range(len(motion.ids)):
        for k in (names.index(foot) for foot in FEET):
            rest += points[resting(points[:, p, k], motion.times), p, k, 1].tolist()
    low = f"; feet that rest are {np.median(rest) * 100:.1f} cm up in the median" if rest else ""
    moved = f"people are moved by at most {100 * np.abs(export.shift).max(initial=0):.1f} cm and {fastest:.3f} m/s"
    return f"{moved}; those known to stand are at most {highest * 100:.1f} cm off{low}"


def rest_height(motion, person, frame, foot):
    """Where a foot's key point is at rest, down from the root joint: of somebody who stands as at rest, seen in the file itself."""
    matrix = motion.world_from_camera("world")
    point = motion.keypoints3d[frame, person, motion.keypoint_names.index(foot)]
    root = motion.root[frame, person]
    return motion.rest[person, 0, 1] - (matrix[:3, :3] @ (point - root))[1]
