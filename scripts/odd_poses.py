#!/usr/bin/env python3
"""How meshreel does with poses that hardly any clip shows, and with people whom the picture cuts off.

    make accuracy

Three kinds of pictures, each processed by itself:

- drawn: people in twenty poses, from three sides each, and cut off at the hips or below the shoulders (`rendered_people.py`), so that every joint is known;
- cut: frames of the four-camera clips (`accuracy.py`), cut off likewise, or with everything below the hips covered. True is what is found in the whole picture;
- photographs that packages carry (below): of those only whether each person is found is known, from a point on each face marked by hand, and that in others
  nobody is.

Printed: how many are found; how many are right, that is their joints in the picture are off by less than 8 % of the person's size in the mean; the mean of that
error; of drawn people the joints' error in space (shoulders to ankles, turned and scaled to fit, millimetres for somebody of 1.7 m); how many
of those who are not right are marked uncertain, and how many of those who are right. A person's size is the diagonal of the box around the joints in the picture.

Photographs: npm `@vladmandic/face-api` 1.7.15 (MIT), PyPI `scikit-image` 0.26.0 (BSD-3-Clause; the astronaut is NASA's and in the public domain, the camera man
CC0).
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np

import rendered_people as rendered
from accuracy import CLIPS, COCO, PROGRAM, ROOT, build, fetch, frames, process

MEDIA = ROOT / "fixtures/media/odd-poses"
PACKAGES = {
    "face-api": {"manager": "npm", "package": "@vladmandic/face-api", "version": "1.7.15"},
    "scikit-image": {"manager": "pip", "package": "scikit-image", "version": "0.26.0"},
}
# Each file, its package and place there, its checksum, and a point on the face of each person in it, over width and height.
PHOTOGRAPHS = [
    ("group1.jpg", "face-api", "package/demo/sample1.jpg", "8ecae4b267b2d3169e06e00c7dee97097aa2a94635d45216f7732a5f4943cb51", [(0.26, 0.37), (0.48, 0.40), (0.85, 0.25)]),
    ("group2.jpg", "face-api", "package/demo/sample2.jpg", "7d2b60ae6f13bf30f422e04df87451081a02c83de469056f25afb44b7000c691", [(0.21, 0.18), (0.49, 0.24), (0.80, 0.23)]),
    ("group3.jpg", "face-api", "package/demo/sample3.jpg", "8eb081c9efb14370fa94d9feab9e5fbeafd19a627491853a80c2bf67f7ffa936", [(0.345, 0.33), (0.625, 0.28), (0.83, 0.31)]),
    ("group4.jpg", "face-api", "package/demo/sample4.jpg", "729efa5923061d40eb4ed5f267a18cc7b8ba6f852bb2757b16d8b7e4937476fc", [(0.17, 0.205), (0.41, 0.125), (0.555, 0.19), (0.71, 0.165)]),
    ("group5.jpg", "face-api", "package/demo/sample5.jpg", "6d45095ebb182d8f975c0790e0e4eefd86fbb40609cf4b271776d92e12662938", [(0.44, 0.14), (0.325, 0.37), (0.625, 0.24), (0.79, 0.30), (0.225, 0.71)]),
    ("group6.jpg", "face-api", "package/demo/sample6.jpg", "9baad80f9d5e306fb9b8c0913d44445f1e95848df317530efb03d0934c57ba87", [(0.17, 0.41), (0.43, 0.30), (0.66, 0.235), (0.815, 0.22)]),
    ("astronaut.png", "scikit-image", "skimage/data/astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5", [(0.44, 0.236)]),
    ("camera.png", "scikit-image", "skimage/data/camera.png", "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a", [(0.50, 0.26)]),
    ("chelsea.png", "scikit-image", "skimage/data/chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb", []),
    ("coffee.png", "scikit-image", "skimage/data/coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7", []),
    ("rocket.jpg", "scikit-image", "skimage/data/rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c", []),
    ("grass.png", "scikit-image", "skimage/data/grass.png", "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89", []),
    ("gravel.png", "scikit-image", "skimage/data/gravel.png", "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12", []),
    ("brick.png", "scikit-image", "skimage/data/brick.png", "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf", []),
    ("coins.png", "scikit-image", "skimage/data/coins.png", "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba", []),
]
WIDTH, HEIGHT, FOCAL = 960, 720, 960
TURNS = (10, 60, -80)
CAMERA_HEIGHT = 1.5
# Frames that are taken of a clip at most.
OF_A_CLIP = 4
# Mean error over the person's size up to which somebody is right, and beyond which it is not them.
RIGHT, FOUND = 0.08, 0.45

UP, FRONT = (0, 1, 0), (0, 0, 1)


def both(arm, leg, **trunk):
    """A pose that is the same on both sides."""
    def mirrored(parts):
        return tuple((-x, y, z) for x, y, z in parts)

    return {**trunk, "arm.L": arm, "arm.R": mirrored(arm), "leg.L": leg, "leg.R": mirrored(leg)}


ARM = ((0.2, -1, 0), (0.1, -1, 0.15))
LEG = ((0.07, -1, 0), (0.03, -1, -0.02), (0.1, -0.3, 1))
POSES = {
    "standing": both(ARM, LEG, trunk=(UP, FRONT)),
    "plank": both(((0.15, -1, 0), (-0.05, -1, 0.05)), ((0.08, -0.25, -1), (0.05, -0.3, -1), (0, -1, -0.2)), trunk=((0, 0.25, 1), (0, -1, 0.25)), head=((0, 0.3, 1), (0, -1, 0.4))),
    "lying leg up": {"trunk": ((0, 0.02, 1), UP), "arm.L": ((0.5, -0.1, -0.8), (0.2, -0.05, -1)), "arm.R": ((-0.5, -0.1, -0.8), (-0.2, -0.05, -1)), "leg.L": ((0.05, 0.95, -0.3), (0, 1, -0.1), (0, 0.6, 0.8)), "leg.R": ((-0.1, -0.03, -1), (0, 0, -1), (-0.2, 0.9, -0.4))},
    "sitting on the floor": both(((0.35, -0.9, -0.4), (0.1, -1, -0.2)), ((0.15, 0.05, 1), (0, -0.1, 1), (0, 0.95, 0.3)), trunk=((0, 1, -0.2), (0, 0.2, 1))),
    "sitting cross-legged": both(((0.25, -0.9, 0.25), (0.15, -0.5, 0.85)), ((0.75, -0.1, 0.65), (-0.9, -0.2, 0.1), (-0.4, -0.2, 0.8)), trunk=(UP, FRONT)),
    "handstand": both(((0.15, -1, 0.05), (-0.03, -1, 0)), ((0.06, 1, 0.05), (0.02, 1, -0.05), (0, 0.9, 0.4)), trunk=((0, -1, 0.08), (0, 0.08, 1)), head=((0, -0.9, 0.4), (0, 0.4, 0.9))),
    "arm at the camera": {"trunk": (UP, FRONT), "arm.L": ARM, "arm.R": ((0.1, 0.05, 1), (0.05, 0.08, 1)), "leg.L": LEG, "leg.R": ((-0.12, -1, 0.1), (-0.05, -1, -0.1), (-0.2, -0.3, 1))},
    "both arms at the camera": both(((-0.1, 0.0, 1), (-0.12, 0.03, 1)), LEG, trunk=(UP, FRONT)),
    "crawling": {"trunk": ((0, 0.12, 1), (0, -1, 0.12)), "head": ((0, 0.6, 0.8), (0, -0.8, 0.6)), "arm.L": ((0.1, -0.9, 0.45), (0, -1, 0.2)), "arm.R": ((-0.1, -1, -0.1), (0, -1, -0.1)), "leg.L": ((0.05, -1, -0.25), (0.05, -0.12, -1), (0, -0.3, -1)), "leg.R": ((-0.05, -1, 0.35), (-0.05, -0.15, -1), (0, -0.3, -1))},
    "split": {"trunk": (UP, FRONT), "arm.L": ((0.8, -0.3, 0.2), (0.6, -0.8, 0.2)), "arm.R": ((-0.8, -0.3, 0.2), (-0.6, -0.8, 0.2)), "leg.L": ((0.1, -0.12, 1), (0.05, -0.05, 1), (0.1, 0.9, 0.4)), "leg.R": ((-0.1, -0.12, -1), (-0.05, -0.05, -1), (0, -0.3, -1))},
    "side split": both(((0.3, -0.8, 0.5), (0.1, -0.5, 0.85)), ((1, -0.12, 0.15), (1, -0.05, 0), (0.3, 0.9, 0.4)), trunk=((0, 0.95, 0.3), (0, -0.3, 0.95))),
    "riding a bicycle": {"trunk": ((0, 0.72, 0.7), (0, -0.7, 0.72)), "head": ((0, 0.95, 0.3), (0, -0.3, 0.95)), "arm.L": ((0.15, -0.75, 0.65), (-0.05, -0.45, 0.9)), "arm.R": ((-0.15, -0.75, 0.65), (0.05, -0.45, 0.9)), "leg.L": ((0.05, -0.35, 0.95), (0, -1, -0.25), (0, -0.2, 1)), "leg.R": ((-0.05, -0.95, 0.4), (0, -1, -0.15), (0, -0.35, 1))},
    "pushing a wheelchair": {"trunk": ((0, 0.93, 0.35), (0, -0.35, 0.93)), "arm.L": ((0.12, -0.8, 0.5), (0, -0.35, 0.95)), "arm.R": ((-0.12, -0.8, 0.5), (0, -0.35, 0.95)), "leg.L": ((0.05, -0.9, 0.45), (0, -1, -0.05), (0.1, -0.2, 1)), "leg.R": ((-0.05, -0.95, -0.25), (0, -0.8, -0.6), (0, -0.6, 0.8))},
    "squatting": both(((0.2, -0.5, 0.85), (0, 0.05, 1)), ((0.3, 0.12, 0.95), (0, -0.92, -0.4), (0.15, -0.1, 1)), trunk=((0, 0.85, 0.5), (0, -0.5, 0.85))),
    "lying on the side": {"trunk": ((1, 0.0, 0), FRONT), "arm.L": ((0.4, 0.55, 0.7), (0.0, -0.2, 1)), "arm.R": ((0.9, -0.35, 0.3), (0.9, 0.1, 0.2)), "leg.L": ((-0.8, 0.08, 0.6), (-0.85, -0.1, -0.5), (-0.2, -0.1, 1)), "leg.R": ((-0.95, -0.06, 0.3), (-0.9, 0, -0.45), (-0.2, -0.1, 1))},
    "lying on the back": both(((0.35, -0.05, -0.9), (0.2, -0.03, -1)), ((0.1, -0.02, -1), (0.05, 0, -1), (0.2, 0.9, -0.35)), trunk=((0, 0.02, 1), UP)),
    "bridge": both(((0.15, -0.9, 0.35), (0.05, -1, -0.1)), ((0.12, 0.0, -1), (0.05, -1, -0.12), (0, -0.15, -1)), trunk=((0, -0.3, 1), (0, 1, 0.3)), pelvis=((0, 0.45, 1), (0, 1, -0.45)), head=((0, -0.9, 0.2), (0, -0.2, -0.9))),
    "downward dog": both(((0.15, -0.6, 0.8), (0, -0.6, 0.8)), ((0.08, -0.85, -0.5), (0.04, -0.85, -0.5), (0, -0.4, 0.9)), trunk=((0, -0.6, 0.8), (0, -0.8, -0.6))),
    "back bend kneeling": both(((0.25, -0.9, -0.5), (0.1, -1, -0.1)), ((0.12, -1, 0.12), (0.05, -0.1, -1), (0, -0.15, -1)), trunk=((0, 0.35, -1), (0, 1, 0.35)), pelvis=((0, 1, -0.35), (0, 0.35, 1)), head=((0, 0.0, -1), (0, 1, 0))),
    "kick": {"trunk": ((-0.35, 0.9, 0), (0.1, 0, 1)), "arm.L": ((0.6, -0.3, 0.6), (-0.3, 0.3, 0.9)), "arm.R": ((-0.6, -0.6, 0.4), (0.1, 0.3, 0.9)), "leg.L": ((0.85, 0.45, 0.3), (0.85, 0.5, 0.15), (0.6, 0.7, 0.4)), "leg.R": ((-0.1, -1, 0.1), (0.05, -1, -0.12), (-0.5, -0.2, 0.8))},
}
# Poses of which there are also pictures cut off at the hips and below the shoulders.
CUT_OFF = ("standing", "arm at the camera", "both arms at the camera", "squatting")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["auto"], help="what to measure")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the pictures and results; by default they are removed")
    parser.add_argument("--program", type=pathlib.Path, default=PROGRAM)
    parser.add_argument("-v", action="store_true", help="tell of each picture")
    arguments = parser.parse_args()
    fetch()
    fetch_photographs()
    with tempfile.TemporaryDirectory(prefix="meshreel-odd-") as folder:
        folder = arguments.keep or pathlib.Path(folder)
        folder.mkdir(exist_ok=True, parents=True)
        pictures = {**drawn(folder), **cut(folder, arguments.program)}
        photographs = dict(photographs_in())
        for model in arguments.models:
            paths = {name: path for name, (path, *_) in {**pictures, **photographs}.items()}
            people = process(model, paths, folder / model, arguments.program)
            report(model, pictures, people, arguments.v)
            report_photographs(model, photographs, people, arguments.v)


def fetch_photographs():
    """Has the photographs in `MEDIA`, from the pinned packages."""
    for package, source in PACKAGES.items():
        missing = [row for row in PHOTOGRAPHS if row[1] == package and not (MEDIA / row[0]).exists()]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as folder:
            archive = build.download(source, pathlib.Path(folder))
            for name, _, member, checksum, _ in missing:
                build.place(MEDIA / name, lambda path: build.extract(archive, member, path))
                if build.sha256(MEDIA / name) != checksum:
                    (MEDIA / name).unlink()
                    raise build.SetupError(f"{name} is not the file that was tested")


def write(path, picture):
    """A picture, 0 to 1, as PNG."""
    raw = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{raw.shape[1]}x{raw.shape[0]}", "-i", "-", path]
    subprocess.run(command, input=raw.tobytes(), check=True)


def texture(name):
    picture = frames(MEDIA / name)[0]
    return picture / 255


def drawn(folder):
    """Path, true joints in the picture and in space, and kind, of each picture that is drawn."""
    body = rendered.Body(ROOT / "models/body.safetensors")
    floor, wall = texture("gravel.png"), texture("brick.png")
    out = {}
    for number, (pose, told) in enumerate(POSES.items()):
        for turn in TURNS:
            kinds = {"odd poses": None}
            if pose in CUT_OFF:
                kinds |= {"half length": 11, "head and shoulders": 5}
            for kind, lowest in kinds.items():
                name = f"{kind} {pose} {turn}".replace(" ", "-")
                vertices, points = body.posed(np.zeros(10), rendered.rotations(body, np.zeros(10), {**told, "turn": turn}))
                points = points[body.coco17]
                picture, points = look_at(body, vertices, points, lowest, rendered.OUTFITS[number % 3], floor, wall)
                path = folder / f"{name}.png"
                write(path, picture)
                pixels = points[:, :2] / points[:, 2:] * FOCAL + [WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5]
                out[name] = path, pixels, points, kind
    return out


def look_at(body, vertices, points, lowest, outfit, floor, wall):
    """The picture of a body that stands or lies on the floor, and its points in the camera's axes; `lowest`: a joint below which the picture ends, if any."""
    width, height, deep = np.ptp(vertices, axis=0)
    if lowest is None:
        far = max(width / (WIDTH * 0.62), height / (HEIGHT * 0.66)) * FOCAL + 0.35 * deep
        middle = (vertices.min(0) + vertices.max(0)) / 2
    else:
        top, bottom = vertices[:, 1].min(), points[[lowest, lowest + 1], 1].mean() + (0.12 if lowest == 5 else 0.03)
        far = (bottom - top) / (HEIGHT * 0.88) * FOCAL + 0.15
        middle = np.array([points[[5, 6], 0].mean(), bottom - 0.5 * HEIGHT / FOCAL * (far - 0.15), points[[5, 6], 2].mean()])
    shift = np.array([-middle[0], CAMERA_HEIGHT - vertices[:, 1].max(), max(far, 1.0) - middle[2]])
    vertices, points, middle = vertices + shift, points + shift, middle + shift
    room = rendered.Room((WIDTH, HEIGHT), FOCAL, CAMERA_HEIGHT, np.arctan2(middle[1], middle[2]), floor, wall, far + 2.5)
    picture = room.shade(vertices)
    tones = rendered.colours(body, np.zeros(10), outfit)
    return rendered.draw(picture, FOCAL, room.seen(vertices), body.faces, tones, room.turn @ [0, -1, 0]), room.seen(points)


def cut(folder, program):
    """The same of frames of the four clips that are cut off or covered; where joints are in space is not known."""
    clips = {f"{kind}{camera}": CLIPS / f"{kind}{camera}.mp4" for kind in ("", "several-") for camera in ("cam01", "cam02", "cam03", "cam04")}
    whole = process("auto", clips, folder / "whole", program)
    out = {}
    for clip, path in clips.items():
        pictures = frames(path)
        shown_of_clip = 0
        for frame in range(2, len(pictures), 6):
            picture = pictures[frame] / 255
            rows, columns = picture.shape[:2]
            people = [np.array(person["keypoints2d"])[:, :2] for person in whole[clip][frame]]
            people = [p for p in people if stands(p) and (p > 0).all() and (p < [columns, rows]).all()]
            if not people or shown_of_clip == OF_A_CLIP:
                continue
            shown_of_clip += 1
            points = max(people, key=lambda p: np.ptp(p[:, 1]))
            for kind, lowest in (("half length", 11), ("head and shoulders", 5), ("legs covered", 11)):
                tall = points[[lowest, lowest + 1], 1].mean() - points[:5, 1].min()
                bottom = int(points[[lowest, lowest + 1], 1].mean() + (0.35 if lowest == 5 else 0.05) * tall)
                top = max(int(points[:5, 1].min() - (0.9 if lowest == 5 else 0.35) * tall), 0)
                if kind == "legs covered":
                    here, shown = points, picture.copy()
                    shown[bottom:, int(max(points[:, 0].min() - tall, 0)):int(points[:, 0].max() + tall)] = (0.45, 0.33, 0.24)
                else:
                    across = int((bottom - top) * 0.66)
                    left = int(np.clip(points[[5, 6], 0].mean() - across, 0, columns - 1))
                    right = int(np.clip(points[[5, 6], 0].mean() + across, 0, columns))
                    shown, here = enlarged(picture[top:bottom, left:right], points - [left, top])
                name = f"cut {kind} {clip} {frame}".replace(" ", "-")
                write(folder / f"{name}.png", shown)
                out[name] = folder / f"{name}.png", here, None, f"{kind}, filmed"
    return out


def stands(points):
    """Whether somebody is upright: shoulders above hips above ankles."""
    levels = [points[pair].mean(0) for pair in ([5, 6], [11, 12], [15, 16])]
    steps = np.diff(levels, axis=0)
    return (steps[:, 1] > 4 * np.abs(steps[:, 0])).all()


def enlarged(picture, points):
    """A small picture as large as pictures are: half a thousand rows; and points in it."""
    times = max(1, round(540 / picture.shape[0]))
    rows, columns = picture.shape[:2]
    y, x = [np.clip((np.arange(n * times // 2 * 2) + 0.5) / times - 0.5, 0, n - 1.001) for n in (rows, columns)]
    (top, left), fy, fx = (y.astype(int), x.astype(int)), (y % 1)[:, None, None], (x % 1)[None, :, None]
    upper, lower = picture[top], picture[np.minimum(top + 1, rows - 1)]
    mixed = upper * (1 - fy) + lower * fy
    right = np.minimum(left + 1, columns - 1)
    return mixed[:, left] * (1 - fx) + mixed[:, right] * fx, (points + 0.5) * times - 0.5


def photographs_in():
    """Name, path and faces of each photograph."""
    for name, _, _, _, faces in PHOTOGRAPHS:
        yield name.split(".")[0], (MEDIA / name, faces)


def upper(kind):
    """The joints of COCO's that count: of people who are cut off or covered those that are to be seen, shoulders at least."""
    if kind.startswith("head"):
        return [0, 5, 6]
    return [5, 6, 7, 8, 11, 12] if kind.startswith(("half", "legs")) else COCO


def compare(pixels, points, kind, people):
    """Error in the picture over the person's size, error in space in millimetres, and whether it is marked; of who is nearest, or nothing."""
    joints = upper(kind)
    size = np.hypot(*np.ptp(pixels[COCO] if kind == "odd poses" else pixels[[0, 5, 6, 11, 12]], axis=0))
    best = None
    for person in people:
        found = np.array(person["keypoints2d"])[:, :2]
        off = np.linalg.norm(found[joints] - pixels[joints], axis=1).mean() / size
        if off < FOUND and (best is None or off < best[0]):
            space = np.nan if points is None else fitted(np.array(person["joints3d"])[COCO], points[COCO])
            best = off, space, person.get("uncertain", False)
    return best


def fitted(found, true):
    """Mean distance in millimetres after the best turn, scale and shift."""
    a, b = found - found.mean(0), true - true.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (s * np.diag(sign)).sum() / (a**2).sum()
    return 1000 * np.linalg.norm(scale * a @ u @ sign @ vt - b, axis=1).mean()


def report(model, pictures, people, verbose):
    rows = {}
    for name, (_, pixels, points, kind) in pictures.items():
        result = compare(pixels, points, kind, people[name][0])
        rows.setdefault(kind, []).append(result)
        if verbose:
            print(f"{name:50}", "not found" if result is None else f"{100 * result[0]:6.1f}% {result[1]:6.0f} mm {'uncertain' if result[2] else ''}")
    print(f"{model:8}{'':28}{'people':>8}{'found':>8}{'right':>8}{'error':>8}{'space':>8}   marked: wrong ones, right ones")
    for kind, results in rows.items():
        found = np.array([r for r in results if r is not None], float).reshape(-1, 3)
        right = found[:, 0] < RIGHT
        print(f"{model:8}{kind:28}{len(results):8}{100 * len(found) / len(results):7.0f}%{100 * right.sum() / len(results):7.0f}%{100 * found[:, 0].mean():7.1f}%"
              f"{np.nanmean(found[:, 1]) if kind != '' and not np.isnan(found[:, 1]).all() else np.nan:8.0f}   {int(found[~right, 2].sum())} of {(~right).sum()}, {int(found[right, 2].sum())} of {right.sum()}")


def report_photographs(model, photographs, people, verbose):
    there = seen = others = 0
    for name, (path, faces) in photographs.items():
        height, width = frames(path)[0].shape[:2]
        noses = [np.array(person["keypoints2d"])[0, :2] / [width, height] for person in people[name][0]]
        is_there = [min((np.hypot(*(nose - face) * [1, height / width]) for nose in noses), default=1) < 0.08 for face in faces]
        extra = len(noses) - sum(is_there)
        there, seen, others = there + len(faces), seen + sum(is_there), others + extra
        if verbose:
            print(f"{name:50} {sum(is_there)} of {len(faces)}, {extra} elsewhere")
    print(f"{model:8}photographs: {seen} of {there} people found, {others} bodies where nobody is")


if __name__ == "__main__":
    main()
