"""Windows of key points as a camera sees them, made of recorded poses, and the depths that belong to them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

# Frames of a window, at 30 a second; the answer is about the one in the middle.
FRAMES = 27
MIDDLE = FRAMES // 2
# Key points. Left comes before right.
POINTS = ["l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist", "l_hip", "r_hip", "l_knee", "r_knee", "l_ankle",
          "r_ankle", "ears", "l_toes", "r_toes"]
MIRRORED = [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 14, 13]
ARMS, LEGS = [0, 1, 2, 3, 4, 5], [8, 9, 10, 11, 13, 14]
HIPS, SHOULDERS = (6, 7), (0, 1)
# Bones: from the middle of two key points to the middle of two others. Each one's depth is a share of its length.
BONES = [((7, 7), (6, 6)), ((1, 1), (0, 0)), ((6, 7), (0, 1)), ((0, 1), (12, 12)), ((0, 0), (2, 2)), ((1, 1), (3, 3)), ((2, 2), (4, 4)),
         ((3, 3), (5, 5)), ((6, 6), (8, 8)), ((7, 7), (9, 9)), ((8, 8), (10, 10)), ((9, 9), (11, 11)), ((10, 10), (13, 13)),
         ((11, 11), (14, 14))]
BONE_NAMES = ["hips", "shoulders", "torso", "neck", "l_upper_arm", "r_upper_arm", "l_forearm", "r_forearm", "l_thigh", "r_thigh",
              "l_shank", "r_shank", "l_foot", "r_foot"]
# Lengths between the key points of our own body (models/body.safetensors at rest), metres, and by how much they grow with the first of the
# directions in which its shapes vary at a height, from tall and slim to short and wide.
LENGTHS = {"torso": (0.569, 0.045), "hips": (0.195, 0.085), "shoulders": (0.355, 0.07), "upper_arm": (0.304, -0.02),
           "forearm": (0.289, 0.02), "thigh": (0.415, -0.065), "shank": (0.421, -0.035), "neck": (0.205, 0.08), "foot": (0.2075, 0.04)}
# Besides each varies by itself, and all together (standard deviations of the logarithm).
LENGTH_SIGMA, SCALE_SIGMA = 0.05, 0.04
# Limbs are turned at shoulder or hip: radians in each direction, constant in a window.
LIMB_SIGMA = 0.15
STATURE = 1.70

# Motion is played at other speeds (standard deviation of the logarithm), and backwards.
SPEED_SIGMA, BACKWARDS = 0.15, 0.3
# Share of the windows that reach over an end of the track: what is beyond it is as at the end.
AT_END = 0.15
# Share that lacks some frames in a row, and how many at most.
GAP, LONGEST_GAP = 0.08, 10
# Share of clips with few frames a second, of which only every so many are there; and of pictures, which stand still.
SPARSE, SPARSEST = 0.03, 27
STILL = 0.02

# Cameras. Radians, metres, and shares of the distance.
ROLL_SIGMA, ANY_ROLL = 0.12, 0.12
PITCH, PITCH_SIGMA, STEEP_PITCH_SIGMA, STEEP = 0.12, 0.22, 0.7, 0.08
DISTANCE = (2.0, 12.0)
ASIDE, ABOVE = 0.35, 0.3
# The focal length is guessed (standard deviation of the logarithm).
FOCAL_SIGMA = 0.2

# What is wrong with key points, in shares of a person's height in the picture (1.7 m over the distance). Measured on the networks' own
# points in the clips of four calibrated cameras (`make accuracy`), against where the joints are in three dimensions: off by 0.0055 in the
# median of one coordinate, as a constant for the clip 0.0045, round that 0.004 to 0.015 (correlated by 0.66, 0.45 and 0.13 over one, two and
# five 30ths of a second); where visibility is 1, 0.9, 0.75, 0.5 and 0.1, by 0.008, 0.011, 0.018, 0.026 and 0.033 (root mean square).
NOISE = (0.0035, 0.014)  # per point and window, log-uniform
MEMORY = 0.66  # correlation from a frame to the next
OFFSET = 0.0045  # constant in a window
BLUR = 4.0  # noise of a point grows by so many times one minus its visibility
# Visibility of a point: shares of the windows, and between what it lies then. As in the same clips, a tennis serve and the sample clip.
VISIBILITY = [(0.70, 0.95, 1.0), (0.14, 0.8, 0.95), (0.09, 0.4, 0.8), (0.07, 0.0, 0.4)]
# Share of the points with low visibility that are seen well in some frames.
HIDDEN_FOR_A_WHILE = 0.5
# Points that are wild for some frames: share, how far, and how long at most.
WILD, WILD_OFF, LONGEST_WILD = 0.03, 0.05, 6
LOST_POINT = 0.02
# Arms or legs exchanged for some frames: share of the windows.
EXCHANGED, LONGEST_EXCHANGE = 0.04, 10
# Share of people who are cut off at the border of the picture.
CUT_OFF = 0.12
# Unsureness of the size in the picture, which tells the distance: standard deviation of the logarithm.
SIZE_SIGMA = 0.12


def unit(v):
    return v / jnp.maximum(jnp.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def assembled(joints, names, key):
    """Key points [FRAMES, 15, 3] of a body of our own whose bones point as those of the recorded joints [FRAMES, 21, 3] do."""
    at = {name: joints[:, i] for i, name in enumerate(names)}
    keys = jax.random.split(key, 6)
    scale = jnp.exp(SCALE_SIGMA * jax.random.normal(keys[0]))
    build = jax.random.normal(keys[4])
    varied = jnp.exp(LENGTH_SIGMA * jax.random.normal(keys[1], (len(LENGTHS),))) * scale
    length = {name: mean * jnp.exp(by_build * build) * varied[i] for i, (name, (mean, by_build)) in enumerate(LENGTHS.items())}
    hips, shoulders = unit(at["l_hip"] - at["r_hip"]), unit(at["l_shoulder"] - at["r_shoulder"])
    shoulder_middle = (at["l_shoulder"] + at["r_shoulder"]) / 2
    torso = unit(shoulder_middle - at["pelvis"])
    out = {}
    middle = at["pelvis"] * scale
    out["l_hip"], out["r_hip"] = middle + hips * length["hips"] / 2, middle - hips * length["hips"] / 2
    top = middle + torso * length["torso"]
    out["l_shoulder"], out["r_shoulder"] = top + shoulders * length["shoulders"] / 2, top - shoulders * length["shoulders"] / 2
    # The ears lie before the neck, and the recordings do not know where a head turns.
    forward = unit(jnp.cross(shoulders, torso))
    nod = 0.3 + 0.25 * jax.random.normal(keys[2])
    aside = 0.15 * jax.random.normal(keys[3])
    out["ears"] = top + unit(unit(at["head"] - shoulder_middle) + nod * forward + aside * shoulders) * length["neck"]
    turns = LIMB_SIGMA * jax.random.normal(keys[5], (2, 2, 3))
    for s in "lr":
        for n, (start, end, name) in enumerate((("shoulder", "elbow", "upper_arm"), ("elbow", "wrist", "forearm"),
                                                ("hip", "knee", "thigh"), ("knee", "ankle", "shank"))):
            turn = turns["lr".index(s), n // 2]
            along = unit(at[f"{s}_{end}"] - at[f"{s}_{start}"])
            out[f"{s}_{end}"] = out[f"{s}_{start}"] + unit(along + jnp.cross(turn, along)) * length[name]
        # Recorded is the ball of the foot, seen is its tip, which lies higher.
        foot, shank = unit(at[f"{s}_toe"] - at[f"{s}_ankle"]), unit(at[f"{s}_ankle"] - at[f"{s}_knee"])
        ahead = unit(foot - shank * (foot * shank).sum(-1, keepdims=True))
        out[f"{s}_toes"] = out[f"{s}_ankle"] + unit(foot + 0.25 * ahead) * length["foot"]
    return jnp.stack([out[name] for name in POINTS], 1)


def turn_onto_axis(ray):
    """The least turn [3, 3] that brings a ray (x, y, 1) onto the camera's axis."""
    x, y, z = unit(ray)
    # Rodrigues' formula for the axis (ray x z).
    k = 1 / (1 + z)
    return jnp.array([[1 - k * x * x, -k * x * y, -x], [-k * x * y, 1 - k * y * y, -y], [x, y, z]])


def about(axis, angle):
    c, s = jnp.cos(angle), jnp.sin(angle)
    one, none = jnp.ones_like(c), jnp.zeros_like(c)
    rows = {"x": [[one, none, none], [none, c, -s], [none, s, c]], "y": [[c, none, s], [none, one, none], [-s, none, c]],
            "z": [[c, -s, none], [s, c, none], [none, none, one]]}
    return jnp.array(rows[axis])


def depths(points):
    """Each bone's depth along the axis over its length, of key points [15, 3] whose axis is the third: [14]."""
    a, b = np.array([bone[0] for bone in BONES]), np.array([bone[1] for bone in BONES])
    vectors = points[b].mean(1) - points[a].mean(1)
    return vectors[:, 2] / jnp.maximum(jnp.linalg.norm(vectors, axis=-1), 1e-6)


def features(seen, confidence):
    """What the network sees: [FRAMES, 45], of the rays (x, y) [FRAMES, 15, 2] and how sure they are [FRAMES, 15]; and one number a window.

    The window is turned so that the middle of the hips in its middle frame lies on the axis, which becomes the origin, and is divided by
    the points' usual distance from the middle of their frame.
    """
    middle = seen[MIDDLE, np.array(HIPS)].mean(0)
    turn = turn_onto_axis(jnp.append(middle, 1.0))
    rays = jnp.concatenate([seen, jnp.ones_like(seen[..., :1])], -1) @ turn.T
    plane = rays[..., :2] / jnp.maximum(rays[..., 2:], 0.1)
    weight = confidence[..., None]
    center = (plane * weight).sum(1, keepdims=True) / jnp.maximum(weight.sum(1, keepdims=True), 1e-6)
    spread = ((plane - center) ** 2 * weight).sum() / jnp.maximum(weight.sum(), 1e-6)
    size = jnp.maximum(jnp.sqrt(spread), 1e-4)
    inputs = jnp.concatenate([plane / size * weight, weight - 0.5], -1).reshape(FRAMES, -1)
    return inputs, jnp.log(6 * size)


def sight(joints, key, names):
    """What a camera sees of one window: rays (x, y) [FRAMES, 15, 2], how sure they are [FRAMES, 15], the error of the logarithm of the size, and
    the true key points [15, 3] of the middle frame from the middle of the hips, in axes of which the third leads there.
    """
    keys = iter(jax.random.split(key, 80))
    uniform = lambda *shape, low=0.0, high=1.0: jax.random.uniform(next(keys), shape, minval=low, maxval=high)
    normal = lambda *shape: jax.random.normal(next(keys), shape)
    points = assembled(joints, names, next(keys))

    # Into the axes of a camera: x right, y down, z away.
    heading = about("y", uniform(low=-jnp.pi, high=jnp.pi))
    roll = jnp.where(uniform() < ANY_ROLL, uniform(low=-jnp.pi, high=jnp.pi), ROLL_SIGMA * normal())
    pitch = jnp.where(uniform() < STEEP, STEEP_PITCH_SIGMA, PITCH_SIGMA) * normal() + PITCH
    flipped = np.diag([1.0, -1.0, -1.0]).astype(np.float32)
    distance = jnp.exp(uniform(low=np.log(DISTANCE[0]), high=np.log(DISTANCE[1])))
    bearing = jnp.stack([ASIDE * uniform(low=-1.0), ABOVE * uniform(low=-1.0), 1.0])
    # Looking down from above: what stands leans towards the camera at the top.
    look = turn_onto_axis(bearing).T @ about("z", roll) @ about("x", pitch) @ flipped @ heading
    origin = points[MIDDLE, np.array(HIPS)].mean(0)
    placed = (points - origin) @ look.T + bearing * distance
    true_turn = turn_onto_axis(bearing)
    answer = (placed[MIDDLE] - bearing * distance) @ true_turn.T
    seen = placed[..., :2] / jnp.maximum(placed[..., 2:], 0.2)

    # What is wrong with key points.
    height = STATURE / distance
    count = len(POINTS)
    when = jnp.arange(FRAMES)

    def run(longest, *shape):
        """Some frames in a row, [*shape, FRAMES]."""
        first = jnp.floor(uniform(*shape, low=-longest, high=FRAMES))[..., None]
        length = jnp.floor(uniform(*shape, low=1.0, high=longest + 1.0))[..., None]
        return (when >= first) & (when < first + length)

    shares, low, high = (jnp.array(column, jnp.float32) for column in zip(*VISIBILITY))
    kind = jnp.searchsorted(jnp.cumsum(shares), uniform(count) * 0.9999)
    visibility = low[kind] + (high[kind] - low[kind]) * uniform(count)
    seen_well = run(FRAMES, count).T & (uniform(count) < HIDDEN_FOR_A_WHILE)
    confidence = jnp.where(seen_well, jnp.maximum(visibility, 0.97), visibility)
    sigma = jnp.exp(uniform(count, low=np.log(NOISE[0]), high=np.log(NOISE[1]))) * (1 + BLUR * (1 - confidence))
    steps = normal(FRAMES, count, 2)
    drift = jnp.sqrt(1 - MEMORY**2)
    _, walk = jax.lax.scan(lambda at, step: ((MEMORY * at + drift * step),) * 2, steps[0], steps)
    offset = OFFSET * normal(count, 2) * (1 + BLUR * (1 - confidence))[..., None]
    wild = run(LONGEST_WILD, count).T & (uniform(count) < WILD)
    error = walk * sigma[..., None] + offset + wild[..., None] * WILD_OFF * normal(count, 2)

    # Cut off at a border, mostly the lower one: points beyond it are guessed, and said to be.
    angle = jnp.where(uniform() < 0.6, jnp.pi / 2, uniform(low=-jnp.pi, high=jnp.pi))
    outward = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    out = (seen - seen[MIDDLE, np.array(HIPS)].mean(0)) @ outward
    reach = out[MIDDLE].min() + uniform(low=0.4, high=1.0) * (out[MIDDLE].max() - out[MIDDLE].min())
    beyond = (out > reach) & (uniform() < CUT_OFF)
    error = jnp.where(beyond[..., None], error * 3 + 0.05 * normal(count, 2), error)
    confidence = jnp.where(beyond, uniform(count, low=0.02, high=0.3), confidence)
    seen = seen + error * height

    # Left and right exchanged.
    for limbs in (ARMS, LEGS):
        at = run(LONGEST_EXCHANGE) & (uniform() < EXCHANGED)
        order = np.arange(count)
        order[limbs] = np.array(MIRRORED)[limbs]
        seen = jnp.where(at[:, None, None], seen[:, order], seen)
        confidence = jnp.where(at[:, None], confidence[:, order], confidence)

    lost = (uniform(count) < LOST_POINT) & ~np.isin(np.arange(count), HIPS)
    gap = run(LONGEST_GAP) & (uniform() < GAP) & (when != MIDDLE)
    sparse = ((when - MIDDLE) % jnp.floor(uniform(low=3.0, high=SPARSEST + 1.0)) != 0) & (uniform() < SPARSE)
    confidence = jnp.where(lost | (gap | sparse)[:, None], 0.0, confidence)

    seen = seen * jnp.exp(FOCAL_SIGMA * normal())
    return seen, confidence, SIZE_SIGMA * normal(), answer


def window(joints, key, names):
    """One window: features, the size feature, each bone's depth, and the key points [15, 3]."""
    seen, confidence, size_error, points = sight(joints, key, names)
    inputs, size = features(seen, confidence)
    return inputs, size + size_error, depths(points), points


def times(key, first, last, middle):
    """At which times of the recordings the frames of a window are."""
    keys = jax.random.split(key, 6)
    speed = jnp.exp(SPEED_SIGMA * jax.random.normal(keys[0])) * jnp.where(jax.random.uniform(keys[1]) < BACKWARDS, -1.0, 1.0)
    steps = jnp.arange(FRAMES) - MIDDLE
    ends = jax.random.randint(keys[2], (2,), 0, MIDDLE + 1)
    at_end = jax.random.uniform(keys[3], (2,)) < AT_END / 2
    low, high = jnp.where(at_end, ends, MIDDLE) * (jax.random.uniform(keys[4]) >= STILL)
    return jnp.clip(middle + speed * jnp.clip(steps, -low, high), first, last)


def drawn(key, joints, first, last, cumulative, count, names):
    """Joints [count, FRAMES, 21, 3] of so many windows, drawn by weight (`cumulative`: summed up over the frames), a key for each, and the
    frame in the middle of each.
    """
    keys = jax.random.split(key, 4)
    middle = jnp.searchsorted(cumulative, jax.random.uniform(keys[0], (count,)) * cumulative[-1])
    middle = jnp.clip(middle, 0, len(joints) - 1)
    at = jax.vmap(times)(jax.random.split(keys[1], count), first[middle], last[middle], middle)
    low = jnp.floor(at).astype(jnp.int32)
    high = jnp.minimum(low + 1, last[middle][:, None])
    part = (at - low)[..., None, None]
    taken = joints[low] * (1 - part) + joints[high] * part
    mirror = jax.random.uniform(keys[2], (count, 1, 1, 1)) < 0.5
    sides = [names.index({"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:]) for name in names]
    taken = jnp.where(mirror, taken[:, :, np.array(sides)] * np.array([-1.0, 1.0, 1.0], np.float32), taken)
    return taken, jax.random.split(keys[3], count), middle


@functools.partial(jax.jit, static_argnames=("count", "names"))
def batch(key, joints, first, last, cumulative, count, names):
    """So many windows, and the frame in the middle of each."""
    taken, keys, middle = drawn(key, joints, first, last, cumulative, count, names)
    return jax.vmap(lambda joints, key: window(joints, key, names))(taken, keys), middle
