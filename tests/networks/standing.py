"""Somebody who stands and lets the arms hang."""

import numpy as np

# BlazePose's points relative to the middle of the hips, metres, y down.
STANDING = [
    (0, -0.68), (0.03, -0.71), (0.04, -0.71), (0.05, -0.71), (-0.03, -0.71), (-0.04, -0.71), (-0.05, -0.71), (0.08, -0.69), (-0.08, -0.69),
    (0.03, -0.64), (-0.03, -0.64), (0.19, -0.5), (-0.19, -0.5), (0.25, -0.22), (-0.25, -0.22), (0.27, 0.03), (-0.27, 0.03), (0.29, 0.12),
    (-0.29, 0.12), (0.27, 0.13), (-0.27, 0.13), (0.25, 0.09), (-0.25, 0.09), (0.11, 0), (-0.11, 0), (0.12, 0.42), (-0.12, 0.42), (0.13, 0.82),
    (-0.13, 0.82), (0.12, 0.87), (-0.12, 0.87), (0.17, 0.92), (-0.17, 0.92),
]  # fmt: skip
# Where the marks A and B are.
PELVIS, NECK = (0.03, 0.05), (-0.02, -0.53)


def along_and_across():
    """The points seen from A: so many parts of the way to B away, and so many across it (to the right of it, y down); [33] each."""
    way = np.subtract(NECK, PELVIS)
    across = np.array([-way[1], way[0]])
    seen = np.array(STANDING) - PELVIS
    return seen @ way / (way @ way), seen @ across / (way @ way)


def places(a, b):
    """The points in a picture with these marks, [33,2]."""
    along, across = along_and_across()
    way = b - a
    return a + along[:, None] * way + across[:, None] * np.array([-way[1], way[0]])
