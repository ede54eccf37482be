"""Makes a shop-window mannequin of the skin mesh: eyes and mouth closed, no nipples, a smooth crotch.

Only vertices move, so that the mesh keeps its topology and counts. Each region is replaced by a thin plate,
slightly stretched, through the skin round it. That is a fixed linear map of the vertices, used alike on
every phenotype, so no shape can bring back what is gone.
"""

import numpy as np

# Vertices of MakeHuman's base mesh at the tips of the breasts, right and left, and how far round them the skin is smoothed, metres.
TIPS = (range(1778, 1794), range(8450, 8466))
TIP_RADIUS = 0.05

# Pull of a membrane beside the stiffness of the plate.
TENSION = 0.05

# Directions out of the face, z to the front being negative: what none of them leaves is hidden.
LOOKS = np.array([(x, y, -1.0) for x in (-0.9, -0.4, 0.0, 0.4, 0.9) for y in (-0.9, -0.4, 0.0, 0.4, 0.9)])


class Mannequin:
    """The linear map for one mesh, found on its average shape."""

    def __init__(self, human, average):
        self.quads = human.body_quads()
        self.count = self.quads.max() + 1
        self.neighbours = _neighbours(self.quads, self.count)
        self.blink = (human.face_target("eyeBlinkLeft") + human.face_target("eyeBlinkRight"))[: self.count]
        skin = average[: self.count] + self.blink

        lids = _moved(self.blink)
        lips = _moved(human.target("mouth/mouth-scale-vert-incr")[: self.count])
        self.eye_pouches = self._pouch(skin, lids)
        self.mouth_pouch = self._pouch(skin, lips)
        regions = [
            self._grown(self.eye_pouches, 2),
            self._grown(self.mouth_pouch, 2),
            *(self._round(skin, tip) for tip in TIPS),
            self._crotch(skin),
        ]
        self.plates = [self._plate(sorted(region)) for region in regions]

    def __call__(self, skin, displacement=False):
        """The mannequin of `skin` (vertices, or a displacement of them, [V, 3])."""
        out = skin.copy() if displacement else skin + self.blink
        for inside, outside, weights in self.plates:
            out[inside] = weights @ out[outside]
        return out

    def _grown(self, region, rings):
        region = set(region)
        for _ in range(rings):
            region |= {n for v in region for n in self.neighbours[v]}
        return region

    def _pouch(self, skin, seeds):
        """The vertices from which one cannot look out of the face, near `seeds`: eye sockets, inside of the mouth."""
        low, high = skin[sorted(seeds)].min(0) - 0.005, skin[sorted(seeds)].max(0) + 0.005
        high[2] += 0.06
        inside = ((skin > low) & (skin < high)).all(1)
        points = np.nonzero(inside)[0]
        corners = self.quads[inside[self.quads].any(1)]
        triangles = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
        normals = _normals(skin, self.quads)
        start = skin[points] + 3e-4 * normals[points]
        seen = np.zeros(len(points), bool)
        for look in LOOKS:
            seen |= ~_hits(start, look / np.linalg.norm(look), skin[triangles])
        hidden = set(points[~seen].tolist())
        return {v for v in hidden if sum(n in hidden for n in self.neighbours[v]) >= 2}

    def _round(self, skin, tip):
        """The vertices within `TIP_RADIUS` of the middle of `tip`."""
        distance = np.linalg.norm(skin - skin[list(tip)].mean(0), axis=1)
        return set(np.nonzero(distance < TIP_RADIUS)[0].tolist())

    def _crotch(self, skin):
        """The skin between the legs, from the pubis to the perineum and up between the buttocks."""
        hip = skin[:, 1].min() + np.ptp(skin[:, 1]) * 0.5
        side, height = np.abs(skin[:, 0]), skin[:, 1] - hip
        middle = (side < 0.1) & (np.abs(height) < 0.05)
        depth = skin[:, 2] - skin[middle, 2].mean()
        front = (side < 0.035) & (height > -0.06) & (height < 0.09) & (depth < 0.0)
        back = (side < 0.04) & (height > -0.13) & (height < 0.09) & (depth >= 0.0)
        return set(np.nonzero(front | back)[0].tolist())

    def _plate(self, inside):
        """Weights that give the vertices `inside` as a thin plate through the two rings round them."""
        outside = sorted(self._grown(inside, 2) - set(inside))
        rows = sorted(self._grown(inside, 1))
        columns = {v: k for k, v in enumerate([*inside, *outside])}
        laplacian = np.zeros((len(rows), len(columns)))
        for k, v in enumerate(rows):
            laplacian[k, columns[v]] = 1.0
            for n in self.neighbours[v]:
                laplacian[k, columns[n]] -= 1 / len(self.neighbours[v])
        n = len(inside)
        energy = laplacian.T @ laplacian
        # A little tension keeps a plate from bulging over a ring whose slopes meet in a peak.
        energy[:n] += TENSION * laplacian[[rows.index(v) for v in inside]]
        return np.array(inside), np.array(outside), np.linalg.solve(energy[:n, :n], -energy[:n, n:])


def _moved(displacement):
    return set(np.nonzero(np.linalg.norm(displacement, axis=1) > 1e-4)[0].tolist())


def _neighbours(quads, count):
    out = [set() for _ in range(count)]
    for a, b in np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)]).tolist():
        out[a].add(b)
        out[b].add(a)
    return [sorted(n) for n in out]


def _normals(points, quads):
    corner = points[quads]
    area = np.cross(corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 1])
    out = np.zeros_like(points)
    for k in range(4):
        np.add.at(out, quads[:, k], area)
    return out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-12)


def _hits(start, direction, triangles):
    """Whether each ray meets a triangle (Moeller and Trumbore)."""
    a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    p = np.cross(direction, ac)
    inverse = (ab * p).sum(1)
    inverse = np.where(np.abs(inverse) > 1e-15, 1 / np.where(inverse == 0, 1, inverse), 0)
    hit = np.zeros(len(start), bool)
    for k, origin in enumerate(start):
        t = origin - a
        u = (t * p).sum(1) * inverse
        q = np.cross(t, ab)
        v = (q @ direction) * inverse
        far = (ac * q).sum(1) * inverse
        hit[k] = ((u >= 0) & (v >= 0) & (u + v <= 1) & (far > 1e-6) & (inverse != 0)).any()
    return hit
