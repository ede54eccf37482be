"""Makes a shop-window mannequin of the skin mesh: eyes and mouth closed, chest, buttocks and pelvis smooth.

Only vertices move, so that the mesh keeps its topology and counts. First each region with fine folds is replaced by a thin
plate, slightly stretched, through the skin round it. Then chest and pelvis lose whatever is smaller than a hand. Each step is a
fixed linear map of the vertices, used alike on every phenotype, so no shape can bring back what is gone. The skin weights are
smoothed at the pelvis, so that no pose brings it back either.
"""

import numpy as np

# Vertices of MakeHuman's base mesh at the tips of the breasts, right and left, and how far round them the skin is smoothed, metres.
TIPS = (range(1778, 1794), range(8450, 8466))
TIP_RADIUS = 0.05

# Pull of a membrane beside the stiffness of the plate.
TENSION = 0.05

# The same where the skin's own distances count: over how many metres the pull is as strong as the stiffness.
TAUT = 0.2

# Features as small as this stay where the skin is not to be faired, metres.
KEPT = 0.003

# Larger than anybody, metres.
LARGE = 10.0

# The skin between the legs goes up by this share of the way to the middle of the hips. Else it would hang out between the
# thighs of those who squat: it follows the trunk there. Sideways it goes apart by this much of its own distance.
LIFT = 0.55
APART = 2.0

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
        self.steps = [self._plate(sorted(region)) for region in regions]
        for step in (self._cleft, self._crotch_lifted, self._chest, self._pelvis):
            self.steps.append(step(self(average[: self.count])))

    def __call__(self, skin, displacement=False):
        """The mannequin of `skin` (vertices, or a displacement of them, [V, 3])."""
        out = skin.copy() if displacement else skin + self.blink
        for moved, sources, weights in self.steps:
            out[moved] = weights @ out[sources]
        return out

    def smooth_weights(self, skin, weights, trunk, root):
        """The vertices whose skin weights change at the pelvis, and their new weights, [M, J].

        `skin` is the mannequin and `weights` [V, J] are those of the untouched body. From 14 cm above
        the hips on, the joint `trunk` gives its weight more and more to the joint `root`. Then the weights are smoothed
        along the skin, as if each were a height.
        """
        side, height, _ = _from_hips(skin)
        given = weights[:, trunk] * (1 - _fall(height, -0.14, 0.0))
        smooth = weights.copy()
        smooth[:, root] += given
        smooth[:, trunk] -= given
        loose = _fall(side, 0.06, 0.14) * _fall(-height, 0.0, 0.08) * _fall(height, 0.14, 0.26)
        moved, sources, shares = self._faired(skin, loose, 0.05)
        smooth[moved] = shares @ smooth[sources]
        changed = np.union1d(moved, np.nonzero(given > 0)[0])
        # A thin plate swings a little beyond the values that it joins.
        smooth = np.clip(smooth[changed], 0, None)
        return changed, smooth / smooth.sum(1, keepdims=True)

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

    def _cleft(self, skin):
        """Bridges the cleft of the buttocks from one's peak to the other's, and what is below it from thigh to thigh."""
        side, height, depth = _from_hips(skin)
        below = _fall(height, 0.11, 0.14)
        back = _fall(side, 0.07, 0.08) * _fall(-height, 0.14, 0.16) * below * (depth > 0)
        front = _fall(side, 0.05, 0.06) * _fall(-height, -0.02, 0.0) * below * (depth <= 0)
        return self._faired(skin, back + front, LARGE)

    def _crotch_lifted(self, skin):
        """Draws the skin between the legs up and a little apart."""
        side, height, depth = _from_hips(skin)
        share = _fall(side, 0.0, 0.08) * _fall(height, 0.12, 0.22) * _fall(-height, -0.06, 0.0)
        share *= LIFT * _fall(np.abs(depth), 0.06, 0.13)
        moved = np.nonzero(share > 0.005)[0]
        hips = np.nonzero((side < 0.1) & (np.abs(height) < 0.03))[0]
        left, right = hips[skin[hips, 0] > 0.01], hips[skin[hips, 0] < -0.01]
        # A point between the means of the hips' left and right half, or beyond one of them.
        fraction = APART * skin[moved, 0] / (skin[left, 0].mean() - skin[right, 0].mean())
        sources = np.concatenate([moved, left, right])
        share = share[moved, None]
        to_left = share * (0.5 + fraction[:, None]) / len(left)
        to_right = share * (0.5 - fraction[:, None]) / len(right)
        parts = [np.diag(1 - share[:, 0]), np.repeat(to_left, len(left), 1), np.repeat(to_right, len(right), 1)]
        return moved, sources, np.concatenate(parts, 1)

    def _chest(self, skin):
        """Fairs the front of the trunk from the collar bones to the belly."""
        side, height, _ = _from_hips(skin)
        depth = skin[:, 2] - skin[(side < 0.05) & (np.abs(height + 0.3) < 0.15), 2].mean()
        loose = _fall(side, 0.1, 0.17) * _fall(-height, 0.42, 0.5) * _fall(height, -0.22, -0.02) * _fall(depth, -0.06, 0.0)
        return self._faired(skin, loose, 0.06)

    def _pelvis(self, skin):
        """Fairs the pelvis all round, and the thighs as far as they touch."""
        side, height, _ = _from_hips(skin)
        return self._faired(skin, _fall(side, 0.1, 0.17) * _fall(-height, 0.12, 0.2) * _fall(height, 0.13, 0.26), 0.03)

    def _faired(self, skin, loose, length):
        """Smooths away what is smaller than `length` (metres) where `loose` is 1, less where it is less, nothing where it is 0.

        The skin is a thin plate that springs hold to where it was, the more weakly the looser it is.
        """
        moved = np.nonzero(loose > 0.01)[0]
        fixed = np.array(sorted(self._grown(moved.tolist(), 2) - set(moved.tolist())))
        sources = np.concatenate([moved, fixed])
        near = self._grown(moved.tolist(), 1)
        rows = [k for k, v in enumerate(sources.tolist()) if v in near]
        stiffness, area = _cotangents(skin, self.quads, sources)
        energy = stiffness[rows].T @ (stiffness[rows] / area[rows, None]) + stiffness / TAUT**2
        n = len(moved)
        springs = np.diag(area[:n] / (KEPT * (length / KEPT) ** loose[moved]) ** 4)
        return moved, sources, np.linalg.solve(energy[:n, :n] + springs, np.concatenate([springs, -energy[:n, n:]], 1))

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


def _from_hips(skin):
    """For each vertex how far it is from the middle of the hips: sideways, down and back, metres."""
    hips = skin[:, 1].min() + np.ptp(skin[:, 1]) * 0.5
    side, height = np.abs(skin[:, 0]), skin[:, 1] - hips
    depth = skin[:, 2] - skin[(side < 0.1) & (np.abs(height) < 0.05), 2].mean()
    return side, height + 0.055, depth


def _fall(value, full, none):
    """1 up to `full`, 0 from `none` on, smooth between."""
    t = np.clip((none - value) / (none - full), 0, 1)
    return t * t * (3 - 2 * t)


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


def _cotangents(points, quads, chosen):
    """Laplacian of the surface (cotangent weights) between the vertices `chosen`, and each one's area, square metres."""
    index = np.full(len(points), -1)
    index[chosen] = np.arange(len(chosen))
    laplacian, area = np.zeros((len(chosen), len(chosen))), np.zeros(len(chosen))
    # Both ways to halve a quad, each for half of it.
    for corners in ((0, 1, 2), (0, 2, 3), (1, 2, 3), (1, 3, 0)):
        triangles = quads[:, corners]
        triangles = triangles[(index[triangles] >= 0).all(1)]
        for turn in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            i, j, k = triangles[:, turn].T
            u, v = points[i] - points[k], points[j] - points[k]
            double = np.linalg.norm(np.cross(u, v), axis=1)
            # Flat triangles have no bounded weight.
            weight = np.clip((u * v).sum(1) / np.maximum(double, 1e-12), 0.05, 5.0) / 4
            i, j, k = index[i], index[j], index[k]
            np.add.at(laplacian, (i, j), -weight)
            np.add.at(laplacian, (j, i), -weight)
            np.add.at(laplacian, (i, i), weight)
            np.add.at(laplacian, (j, j), weight)
            np.add.at(area, k, double / 12)
    return laplacian, area


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
