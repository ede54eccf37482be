"""Where the joints of a body in SMPL's layout are, by the published formula (Loper et al. 2015), for the poses that the test's networks make of
three marks in a picture. Nothing of meshreel is in it.

A body's root joint (pelvis) is where mark A is. The way from A to B is 0.6 m long in the picture, at the root's distance, and says which way up
the body is. The distance from A to C over that from A to B bends the right knee, and the green in C the left elbow.
"""

import numpy as np

PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
# Joints that are key points: shoulders, elbows, wrists, hips, knees and ankles, the left one first, as COCO has them after the head's five.
COCO_JOINTS = [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]


def turn(x, y, z):
    """The matrix of a rotation vector (Rodrigues)."""
    angle = np.linalg.norm([x, y, z])
    if angle == 0:
        return np.eye(3)
    x, y, z = np.array([x, y, z]) / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def towards(direction):
    """The least rotation that brings the axis z to a direction."""
    direction = direction / np.linalg.norm(direction)
    axis = np.cross([0, 0, 1], direction)
    return turn(*axis / max(np.linalg.norm(axis), 1e-12) * np.arctan2(np.linalg.norm(axis), direction[2]))


class Body:
    """The made-up body with a shape and a pose that only its marks change."""

    METRES = 0.6
    KNEE, ELBOW = 5, 18
    ELBOW_PER_GREEN = 1.0
    # From SMPL's axes (y up, the body faces z) to those of a camera that it faces, and a bit aside.
    FACING = turn(0.0, 0.3, 0.0) @ turn(np.pi, 0.0, 0.0)
    BETAS = np.array([0.6, -0.8, 0.5, -0.3, 0.4, 0.2, -0.6, 0.3, -0.2, 0.1])
    # Somebody who stands with hanging arms.
    POSE = np.array([turn(*v) for v in np.random.default_rng(3).normal(0, 0.07, (24, 3))])
    POSE[16], POSE[17] = turn(0.1, -0.1, -0.6), turn(0.1, 0.1, 0.6)

    def __init__(self, file):
        data = np.load(file)
        self.posedirs, self.weights = data["posedirs"], data["weights"]
        self.shaped = data["v_template"] + data["shapedirs"] @ self.BETAS
        self.rest = data["J_regressor"] @ self.shaped

    @property
    def pelvis(self):
        return self.rest[0]

    @staticmethod
    def knee(ratio, g=None):
        """How far the knee is bent: for a number, or in a network."""
        return 1.2 * (ratio - 0.2) if g is None else g("Mul", g("Sub", ratio, 0.2), 1.2)

    def rotations(self, root, knee, elbow):
        all_ = self.POSE.copy()
        all_[0], all_[self.KNEE], all_[self.ELBOW] = root, turn(knee, 0, 0), turn(0, elbow, 0)
        return all_

    def joints(self, rotations):
        """All joints, the root's place being the origin, and the matrices that vertices follow."""
        world, at = [rotations[0]], [np.zeros(3)]
        for joint in range(1, 24):
            parent = PARENTS[joint]
            at.append(at[parent] + world[parent] @ (self.rest[joint] - self.rest[parent]))
            world.append(world[parent] @ rotations[joint])
        return np.array(at), np.array(world)

    def posed_vertices(self, knee=0.5, elbow=0.3):
        """All vertices with the root at rest, in the axes and with the origin of the file."""
        rotations = self.rotations(np.eye(3), knee, elbow)
        vertices = self.shaped + self.posedirs @ (rotations[1:] - np.eye(3)).ravel()
        at, world = self.joints(rotations)
        moved = np.einsum("jab,vjb->vja", world, vertices[:, None] - self.rest) + at + self.pelvis
        return np.einsum("vj,vja->va", self.weights, moved)

    def expected(self, marks, display, knee=None, elbow=None):
        """Joints [24,3] in the camera of a clip (focal length: its longer side), metres, and in the picture [24,2]."""
        a, b, c = (np.array(marks[name], float) for name in "abc")
        focal, middle = max(display), (np.array(display, float) - 1) / 2
        length = np.linalg.norm(b - a)
        ray = np.append((a - middle) / focal, 1)
        root = ray * focal * self.METRES / length
        sine, cosine = (b - a)[0] / length, -(b - a)[1] / length
        roll = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        knee = self.knee(np.linalg.norm(c - a) / length) if knee is None else knee
        elbow = self.ELBOW_PER_GREEN * marks["green"] if elbow is None else elbow
        at, _ = self.joints(self.rotations(towards(ray) @ roll @ self.FACING, knee, elbow))
        joints = root + at
        return joints, joints[:, :2] / joints[:, 2:] * focal + middle
