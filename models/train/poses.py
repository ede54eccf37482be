"""Poses from motion capture: what is read of the data, and which of it is drawn how often.

All arrays have one entry a frame. Metres, y up.
"""

import numpy as np

# Subjects of whom nothing is trained on.
HELD_OUT = ("05", "13", "88", "127")
# How much more often rare poses are drawn: the power of their distance from the median pose.
RARITY = 1.5
# The same for activities: a frame of one with n frames is drawn in proportion to n to the power of minus this.
ACTIVITY_BALANCE = 0.5
# The pieces that a pose is compared by, as pairs of joints.
LIMBS = [("pelvis", "neck"), ("neck", "head")] + [
    (f"{side}_{one}", f"{side}_{other}")
    for side in "lr"
    for one, other in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
]


class Poses:
    """The recordings of some of the subjects, one sequence after another."""

    def __init__(self, path, held_out):
        """`held_out`: whether to take those who are held out, or the others."""
        data = np.load(path)
        ends = np.append(data["start"][1:], len(data["joints"]))
        taken = [s for s, subject in enumerate(data["subject"]) if (subject in HELD_OUT) == held_out]
        names = list(data["joint_names"])
        frames = np.concatenate([np.arange(data["start"][s], ends[s]) for s in taken])
        lengths = [ends[s] - data["start"][s] for s in taken]
        last = np.cumsum(lengths) - 1
        self.joints = data["joints"][frames].astype(np.float32) * data["unit"]
        # The first and the last frame of each frame's sequence.
        self.first = np.repeat(last - lengths + 1, lengths).astype(np.int32)
        self.last = np.repeat(last, lengths).astype(np.int32)
        self.activity = np.repeat([str(data["activity"][s]) for s in taken], lengths)
        self.names = names
        self.weight = self._weights()

    def _weights(self):
        at = {name: self.joints[:, i] for i, name in enumerate(self.names)}
        limbs = np.stack([unit(at[b] - at[a]) for a, b in LIMBS], 1)
        across = at["l_hip"] - at["r_hip"]
        heading = np.arctan2(across[:, 2], across[:, 0])
        x = limbs[..., 0] * np.cos(heading)[:, None] + limbs[..., 2] * np.sin(heading)[:, None]
        z = limbs[..., 2] * np.cos(heading)[:, None] - limbs[..., 0] * np.sin(heading)[:, None]
        poses = np.stack([x, limbs[..., 1], z], -1).reshape(len(limbs), -1)
        rarity = np.linalg.norm(poses - np.median(poses, 0), axis=-1) ** RARITY
        kinds, index, counts = np.unique(self.activity, return_inverse=True, return_counts=True)
        weight = rarity * counts[index] ** -ACTIVITY_BALANCE
        return weight / weight.sum()


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
