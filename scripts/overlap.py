#!/usr/bin/env python3
"""How far off a person is whom another large person covers in the picture.

    make accuracy

A woman is cut out of one clip by the segmentation network's mask and put into the clip of a man, in front of him or behind: passing by or
standing beside him, at two sizes. (Clips: the demo of Pose2Sim, BSD-3-Clause, as in `accuracy.py`.) What meshreel finds of either person
without the other is taken for true. Printed of the person behind, by how much of them is covered in a frame:

- frames: how many there are,
- lost: in how many of them nobody is found there,
- error: of shoulders to ankles in the picture, mean, in percent of the person's height,
- turned: in how many of the frames found left and right are exchanged,
- merged: in how many the body is nearer to the other person than to the right one,
- ids: how many different numbers the person has in a clip, mean.

Every clip is processed several times, begun with different frames: whether somebody is followed behind another hangs on which frames are
looked at closely, so that a single beginning says little. In the lines of the single clips the share that is lost follows for each beginning.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import onnxruntime

from accuracy import CLIPS, COCO, PROGRAM, ROOT, SIDE, STARTS, crop, fetch, frames, process, sigmoid

# Pixels of the pictures that are made.
WIDTH, HEIGHT = 540, 960
# The frames of a clip are shown forwards and backwards.
ROUNDS = 2
# Side of the square that is cut out over the person's height.
AROUND = 1.3
# Shares of the person that are covered: the parts in which errors are told.
PARTS = [0, 0.05, 0.25, 0.5, 0.75, 1.01]
# Another person's body is nearer to them by so much when it is merged with theirs.
MERGED = 0.5
# Somebody farther off than this, over their height, is not found.
LOST = 0.3
# Number of somebody who is not in the picture, and of somebody who is not found.
OUTSIDE, NOBODY = -2, -1
EXCHANGED = [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]


def scenes():
    """Name, clip of the man, clip of the woman, her height over his, whether she is in front, her place over time.

    The place is that of her hips from his, in heights of the man; time goes from 0 to 1.
    """
    def passes(t):
        return 1.8 * t - 0.9

    for man, woman, size in (("cam02", "several-cam02", 1.1), ("cam03", "several-cam01", 0.9), ("cam01", "several-cam02", 0.8)):
        for is_in_front in (True, False):
            way = "front" if is_in_front else "behind"
            yield f"{man}-passes-{way}", man, woman, size, is_in_front, passes
            yield f"{man}-stands-{way}", man, woman, size, is_in_front, lambda t: 0.12


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["auto", "heavy"], help="what to measure")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the clips and results; by default they are removed")
    parser.add_argument("--scenes", nargs="*", help="names of the clips to measure; by default all")
    parser.add_argument("--program", type=pathlib.Path, default=PROGRAM)
    arguments = parser.parse_args()
    fetch()
    with tempfile.TemporaryDirectory(prefix="meshreel-overlap-") as folder:
        folder = arguments.keep or pathlib.Path(folder)
        folder.mkdir(exist_ok=True, parents=True)
        for model in arguments.models:
            own = folder / model
            own.mkdir(exist_ok=True)
            report(model, measure(model, own, arguments.program, arguments.scenes))


def measure(model, folder, program, wanted):
    """What `compare` says of each wanted scene from each start."""
    if not all((folder / f"{scene[0]}.npz").exists() for scene in scenes()):
        make(model, folder, program)
    names = [scene[0] for scene in scenes() if not wanted or scene[0] in wanted]
    clips = {(name, start): folder / f"{name}-{start}.mp4" for name in names for start in STARTS}
    found = process(model, clips, folder / program.name, program)
    true = {name: np.load(folder / f"{name}.npz") for name in names}
    return {(name, start): compare(found[name, start], *(true[name][key][start:] for key in ("behind", "front", "covered"))) for name, start in clips}


def make(model, folder, program):
    """Writes the clips of all scenes and where their people are."""
    plain = {}
    for _, man, woman, *_ in scenes():
        plain.setdefault(man, (None, -1))
        plain.setdefault(woman, (None, 0))
    for name in plain:
        path = folder / f"{name}.mp4"
        if not path.exists():
            write(path, [f for f in pingpong(small(CLIPS / f"{name}.mp4"))])
    alone = process(model, {name: folder / f"{name}.mp4" for name in plain}, folder / "alone", program)
    people = {name: follow(rows, name.startswith("several")) for name, rows in alone.items()}
    pictures = {name: frames(folder / f"{name}.mp4") for name in plain}
    masks = {name: mask(folder / f"{name}-mask.npy", pictures[name], people[name]) for name in plain}
    for scene in scenes():
        compose(scene, pictures, people, masks, folder)


def small(path):
    """The pictures of a clip at the size used here."""
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-vf", f"scale={WIDTH}:{HEIGHT}", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
                         capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)


def pingpong(pictures):
    for n in range(ROUNDS):
        yield from pictures[::1 if n % 2 == 0 else -1]


def write(path, pictures):
    """Makes a video of pictures."""
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "60", "-i", "-", "-c:v",
               "libx264", "-crf", "14", "-preset", "veryfast", "-pix_fmt", "yuv420p", path]
    subprocess.run(command, input=b"".join(np.ascontiguousarray(p).tobytes() for p in pictures), check=True)


def follow(rows, is_woman):
    """Points (12, 2) of the man or woman in each frame: the largest person, in the women's clips the one farthest down."""
    def size(person):
        x, y, w, h = person["box"]
        return y + h if is_woman else h
    first = max(rows[0], key=size)["id"]
    found = [next((np.array(p["keypoints2d"])[COCO, :2] for p in row if p["id"] == first), None) for row in rows]
    assert all(points is not None for points in found), "the person is not found without the other"
    return np.array(found)


def tall(points):
    """Height of a person in pixels by shoulders to ankles."""
    return np.ptp(points[:, 1])


def mask(path, pictures, points):
    """The share of each pixel that is the person's, 0..1, by the segmentation network."""
    if path.exists():
        return np.load(path)
    network = onnxruntime.InferenceSession(ROOT / "models/pose_landmark_heavy_segmentation.onnx")
    masks = np.zeros(pictures.shape[:3], np.float32)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for n, (picture, at) in enumerate(zip(pictures, points)):
        center = (at.min(0) + at.max(0)) / 2 - [0, 0.1 * tall(at)]
        side = AROUND * 1.4 * np.ptp(at, axis=0).max()
        logits = network.run(["segmentation"], {"input": crop(picture, center, side, np.eye(2))[None]})[0].reshape(SIDE, SIDE)
        x, y = (columns - center[0]) / side * SIDE + SIDE / 2, (rows - center[1]) / side * SIDE + SIDE / 2
        inside = (x >= 0) & (x < SIDE - 1) & (y >= 0) & (y < SIDE - 1)
        masks[n][inside] = bilinear(sigmoid(logits), x[inside], y[inside])
    np.save(path, masks)
    return masks


def bilinear(values, x, y):
    left, top = x.astype(int), y.astype(int)
    fx, fy = x - left, y - top
    if values.ndim == 3:
        fx, fy = fx[:, None], fy[:, None]
    upper = values[top, left] * (1 - fx) + values[top, left + 1] * fx
    return upper * (1 - fy) + (values[top + 1, left] * (1 - fx) + values[top + 1, left + 1] * fx) * fy


def compose(scene, pictures, people, masks, folder):
    """Writes the clip of a scene from each start, and by frame the points of the one behind and of the one in front and the covered share."""
    name, man, woman, size, is_in_front, place = scene
    hips = lambda points: points[[6, 7]].mean(0)
    # The size of each stays the same over the clip.
    scale = size * np.median([tall(p) for p in people[man]]) / np.median([tall(p) for p in people[woman]])
    count = len(pictures[man])
    middle = np.median([hips(p) for p in people[man]], axis=0)
    step = np.median([tall(p) for p in people[man]]) * 2
    hers = np.median([hips(p) for p in people[woman]], axis=0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    out, behind, front, covered = [], [], [], []
    for n in range(count):
        target = middle + [place(n / (count - 1)) * step, 0.03 * step if is_in_front else -0.03 * step]
        # Where each pixel of the picture is in hers.
        x, y = (columns - target[0]) / scale + hers[0], (rows - target[1]) / scale + hers[1]
        inside = (x >= 0) & (x < WIDTH - 1) & (y >= 0) & (y < HEIGHT - 1)
        cut, her_mask = np.zeros((HEIGHT, WIDTH, 3)), np.zeros((HEIGHT, WIDTH))
        her_mask[inside] = bilinear(masks[woman][n], x[inside], y[inside])
        cut[inside] = bilinear(pictures[woman][n].astype(np.float32), x[inside], y[inside])
        his_mask = masks[man][n]
        share = her_mask if is_in_front else her_mask * (1 - his_mask)
        out.append((pictures[man][n] * (1 - share[..., None]) + cut * share[..., None]).round().astype(np.uint8))
        both = (her_mask > 0.5) & (his_mask > 0.5)
        her_points = (people[woman][n] - hers) * scale + target
        behind.append(people[man][n] if is_in_front else her_points)
        front.append(her_points if is_in_front else people[man][n])
        covered.append(both.sum() / max(((his_mask if is_in_front else her_mask) > 0.5).sum(), 1))
    for start in STARTS:
        write(folder / f"{name}-{start}.mp4", out[start:])
    np.savez(folder / f"{name}.npz", behind=behind, front=front, covered=covered)


def compare(rows, behind, front, covered):
    """By frame: covered share; of the one behind and then of the one in front the error over height (not a number where lost), whether the sides
    are exchanged, whether the body is the other's, and its number."""
    result = []
    for row, points, other, share in zip(rows, behind, front, covered):
        if is_inside(points):
            bodies = [(np.array(p["keypoints2d"])[COCO, :2], p["id"]) for p in row]
            in_front = judge(bodies, other, points) if is_inside(other) else (np.nan, np.nan, np.nan, OUTSIDE)
            result.append((share, *judge(bodies, points, other), *in_front))
    return np.array(result)


def is_inside(points):
    """Whether somebody is in the picture but for a hand or foot."""
    return np.all((points > 0) & (points < [WIDTH, HEIGHT]), axis=-1).mean() > 0.8


def judge(bodies, points, other):
    """Of the body that is somebody's, who is at these points: error, exchanged, other's, number."""
    def off(body, at):
        return np.linalg.norm(body[0] - at, axis=-1).mean() / tall(at)

    # Each body is of whom it fits better, but that nobody has two.
    if len(bodies) > 1 and is_inside(other):
        pairs = [(i, j) for i in range(len(bodies)) for j in range(len(bodies)) if i != j]
        mine = bodies[min(pairs, key=lambda pair: min(off(bodies[pair[0]], points), 1) + min(off(bodies[pair[1]], other), 1))[0]]
    else:
        mine = min(bodies, key=lambda body: off(body, points), default=None)
    if mine is None or off(mine, points) > LOST:
        return np.nan, np.nan, np.nan, NOBODY
    exchanged = off((mine[0][EXCHANGED], 0), points) < 0.7 * off(mine, points)
    merged = is_inside(other) and off(mine, other) < MERGED * off(mine, points)
    return off(mine, points), exchanged, merged, mine[1]


def report(model, rows):
    def told(part, first):
        part = part[part[:, first + 3] != OUTSIDE]
        found = part[~np.isnan(part[:, first])]
        if not len(found):
            return f"{'all lost' if len(part) else '-':>32}"
        return (f"{100 - 100 * len(found) / len(part):7.1f}%{100 * found[:, first].mean():7.2f}%{100 * found[:, first + 1].mean():7.1f}%"
                f"{100 * found[:, first + 2].mean():7.1f}%")

    every = np.concatenate(list(rows.values()))
    print(f"{'':8}{'':24}{'covered':>12}{'frames':>8}{'lost':>8}{'error':>8}{'turned':>8}{'merged':>8}   in front: the same")
    for low, high in zip(PARTS, PARTS[1:]):
        part = every[(every[:, 0] >= low) & (every[:, 0] < high)]
        if len(part):
            print(f"{model:8}{'all':24}{100 * low:5.0f}-{min(100 * high, 100):3.0f} %{len(part):8}{told(part, 1)}  {told(part, 5)}")
    for name in dict.fromkeys(name for name, _ in rows):
        starts = [part for (of, _), part in rows.items() if of == name]
        part = np.concatenate(starts)
        ids = [np.mean([len(set(start[:, at]) - {OUTSIDE, NOBODY}) for start in starts]) for at in (4, 8)]
        lost = ", ".join(f"{100 * np.isnan(start[:, 1]).mean():.0f}" for start in starts)
        print(f"{model:8}{name:24}{100 * part[:, 0].mean():8.0f} % {len(part):8}{told(part, 1)}  {told(part, 5)}  {ids[0]:.1f} and {ids[1]:.1f} ids; lost {lost} %")


if __name__ == "__main__":
    main()
