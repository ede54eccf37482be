#!/usr/bin/env python3
"""Writes small, hard, made-up motion files into a folder: make_motion.py DIR.

Beside NAME.motion.jsonl lies NAME.expect.json where the motion is known beforehand: how high somebody jumps, how far a joint bends.
The same on every run.
"""

import json
import pathlib
import sys

import numpy as np
from body import Body, Person, header_line, person_rows, rotation, times
from motion import BASE, least_rotation

SIZE, FOCAL = (1280, 720), 1100.0
X, Y, Z = np.eye(3)
TALL = [0.0] * 10
OTHER = [0.8, -0.5, 0.4, 0.3, -0.2, 0.1, 0.0, 0.2, -0.1, 0.3]


def camera(pitch=0.0, roll=0.0, height=1.4, source="feet+body"):
    """A camera `height` metres above the floor that looks down by `pitch` degrees and leans by `roll`: the header's `world` and the matrix to it."""
    p, r = np.radians([pitch, roll])
    up = np.array([np.sin(r) * np.cos(p), -np.cos(r) * np.cos(p), -np.sin(p)])
    up = np.round(up / np.linalg.norm(up), 6)
    matrix = np.eye(4)
    matrix[:3, :3] = least_rotation(BASE @ up / np.linalg.norm(up), Y) @ BASE
    matrix[1, 3] = height
    known = {"up": up.tolist(), "floor": height, "source": source, "sigma_deg": 3.0}
    unknown = {"up": [0.0, -1.0, 0.0], "floor": None, "source": "none", "sigma_deg": None}
    return (unknown if source == "none" else known), matrix


def steady(fps, frames):
    return np.arange(frames) / fps


def walk(t, phase=0.0):
    """Arms and legs swing; nobody's real gait."""
    swing = np.sin(2 * np.pi * 0.9 * t + phase)
    bend = 20 + 20 * np.sin(2 * np.pi * 0.9 * t + phase + 1.5)
    return {
        "upperleg01.L": rotation(X, -25 * swing),
        "upperleg01.R": rotation(X, 25 * swing),
        "lowerleg01.L": rotation(X, bend),
        "lowerleg01.R": rotation(X, 40 - bend),
        "upperarm01.L": times(rotation(Z, -35 + 0 * t), rotation(X, 30 * swing)),
        "upperarm01.R": times(rotation(Z, 35 + 0 * t), rotation(X, -30 * swing)),
        "lowerarm01.L": rotation(X, -20 - 10 * swing),
        "neck01": rotation(Y, 25 * np.sin(1.3 * t)),
        "spine03": times(rotation(Y, 8 * swing), rotation(X, 4 * swing)),
    }


def standing(t, x, z, sole):
    """The root of somebody whose soles are on the floor when the legs are as at rest."""
    return np.stack([x + 0 * t, sole + 0 * t, z + 0 * t], 1)


def write(folder, name, body, people, frame_times, fps, view, corrupt=(), expect=None):
    world, matrix = view
    rows = [person_rows(person, matrix, SIZE, FOCAL) for person in people]
    with open(folder / f"{name}.motion.jsonl", "w", encoding="utf-8") as out:
        out.write(header_line(body, people, frame_times, fps, SIZE, FOCAL, world))
        for f, time in enumerate(frame_times):
            here = [row[f] for row in rows if row[f] is not None]
            line = {"frame": f, "time": round(float(time), 6), **({"corrupt": True} if f in corrupt else {}), "people": here}
            out.write(json.dumps(line) + "\n")
    if expect:
        (folder / f"{name}.expect.json").write_text(json.dumps(expect, indent=1) + "\n")


def two_people(body, t, present, uncertain=(), numbers=(1, 2)):
    """Two who walk to and fro, turning as they do; the root quaternion passes through a change of sign."""
    one = Person(body, numbers[0], TALL, {}, np.zeros((len(t), 3)), present[0])
    two = Person(body, numbers[1], OTHER, {}, np.zeros((len(t), 3)), present[1], uncertain)
    one.pose = {**walk(t), "root": rotation(Y, 40 + 90 * t)}
    two.pose = {**walk(t, 2.0), "root": rotation(Y, -60 - 30 * t)}
    one.root = standing(t, -0.7, -4.0, one.sole) + np.stack([0.2 * np.sin(t), 0 * t, 0.3 * t], 1)
    two.root = standing(t, 0.8, -4.5, two.sole) + np.stack([-0.1 * t, 0 * t, 0.1 * np.cos(t)], 1)
    return [one, two]


def jump_height(t, start, high):
    """How far somebody is off the floor who leaves it at `start` for a jump of `high` metres."""
    speed = np.sqrt(2 * 9.81 * high)
    since = t - start
    return np.maximum(0, np.where(since > 0, speed * since - 9.81 / 2 * since**2, 0)) * (since < 2 * speed / 9.81)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    body = Body()

    fps, n = 30000 / 1001, 120
    t, frames = steady(fps, n), np.arange(n)
    broken = (frames >= 50) & (frames < 58)
    present = [~broken, (frames >= 43) & (frames < 100) & ~broken]
    people = two_people(body, t, present, uncertain=range(70, 80))
    write(folder, "walk", body, people, t, fps, camera(pitch=8, roll=-3), corrupt=set(np.flatnonzero(broken)))

    # As a phone records: every time a bit off, and half a second without a frame.
    t = steady(30.0, 90) + 0.004 * np.sin(np.arange(90) * 2.39)
    t[50:] += 0.5
    t -= t[0]
    frames = np.arange(90)
    people = two_people(body, t, [frames >= 0, (frames > 20) & ~((frames >= 35) & (frames < 41))], numbers=(2, 5))
    write(folder, "phone", body, people, t, 90 / (t[-1] + 1 / 30), camera(pitch=5))

    # As some screen recorders: a frame may have the time of the one before, and somebody comes, to the eye, half a frame before the next of a
    # constant rate: at 20.5005 frames.
    t = steady(30.0, 90)
    t[7], t[61] = t[6], t[60]
    t[40:] += 0.21
    t[20:23] = np.array([19.9, 20.5005, 21.9]) / 30
    frames = np.arange(90)
    people = two_people(body, t, [(frames != 50), (frames >= 21) & (frames < 85)], numbers=(1, 4))
    write(folder, "stutter", body, people, t, 30.0, camera(pitch=5))

    write(folder, "empty", body, [], steady(25.0, 10), 25.0, camera(source="none"))
    people = two_people(body, np.zeros(1), [[True], [True]])[:1]
    write(folder, "photo", body, people, np.zeros(1), 25.0, camera(pitch=4))
    t = steady(25.0, 30)
    everywhere = np.ones(30, bool)
    write(folder, "unknown", body, two_people(body, t, [everywhere] * 2), t, 25.0, camera(source="none"))

    # Two somersaults while turning about the upright axis, with arms that go all the way round.
    fps, n = 60.0, 150
    t = steady(fps, n)
    person = Person(body, 1, TALL, {}, np.zeros((n, 3)), np.ones(n, bool))
    turn = np.clip((t - 0.4) / 1.6, 0, 1) * 720
    person.pose = {
        "root": times(rotation(Y, 70 * t), times(rotation(X, turn), rotation(Z, 30 * np.sin(5 * t)))),
        "upperarm01.L": times(rotation(X, -300 * t), rotation(Z, 80 * np.sin(4 * t))),
        "upperarm01.R": times(rotation(Y, 170 * np.sin(2 * t)), rotation(X, -250 * t)),
        "lowerarm01.L": rotation(X, -60 - 60 * np.sin(7 * t)),
        "upperleg01.L": rotation(X, -60 + 60 * np.cos(6 * t)),
        "upperleg01.R": rotation(X, -60 + 60 * np.cos(6 * t)),
        "lowerleg01.R": rotation(X, 60 - 60 * np.cos(6 * t)),
    }
    person.root = standing(t, 0.1, -5.0, person.sole) + np.outer(0.9 * np.sin(np.pi * np.clip((t - 0.3) / 1.8, 0, 1)), Y)
    write(folder, "somersault", body, [person], t, fps, camera(pitch=10, roll=5))

    # One stands still on a floor that is tilted in the picture, jumps 0.4 m and stands again; the other was put 6 cm too high.
    fps, n = 50.0, 200
    t = steady(fps, n)
    one = Person(body, 1, TALL, {}, np.zeros((n, 3)), np.ones(n, bool))
    two = Person(body, 2, OTHER, {}, np.zeros((n, 3)), np.ones(n, bool))
    arms = {"upperarm01.L": rotation(Z, -30 + 5 * np.sin(t)), "upperarm01.R": rotation(Z, 30 + 0 * t)}
    one.pose, two.pose = {**arms, "root": rotation(Y, 30 + 0 * t)}, {**arms, "root": rotation(Y, -20 + 0 * t)}
    air = jump_height(t, 1.5, 0.4)
    one.root = standing(t, -0.6, -4.0, one.sole) + np.outer(air, Y)
    two.root = standing(t, 0.7, -4.4, two.sole) + [0, 0.06, 0]
    top = int(np.argmax(air))
    rise = {"person": 1, "keypoint": "left_ankle", "from_frame": 50, "to_frame": top, "metres": float(air[top]), "within": 0.02}
    expect = {"rise": [rise], "standing": [{"person": 1, "frames": [0, 60]}, {"person": 2, "frames": [0, 199]}]}
    write(folder, "jump", body, [one, two], t, fps, camera(pitch=14, roll=9, height=1.7), expect=expect)

    # Joints that bend one after the other by known angles, seen from the side.
    fps, n = 25.0, 100
    t = steady(fps, n)

    def bend(start, degrees):
        return degrees * np.clip((np.arange(n) - start) / 8, 0, 1)

    person = Person(body, 7, TALL, {}, np.zeros((n, 3)), np.ones(n, bool))
    person.pose = {
        "root": rotation(Y, 90 + 0 * t),
        "upperleg01.R": rotation(X, -bend(10, 40)),
        "lowerleg01.R": rotation(X, bend(30, 60)),
        "foot.R": rotation(X, -bend(50, 15)),
        "upperleg01.L": rotation(X, bend(70, 15)),
    }
    person.root = standing(t, 0.0, -4.0, person.sole)
    changes = [("hip_flexion_r", 5, 25, 40), ("knee_angle_r", 25, 45, 60), ("ankle_angle_r", 45, 65, 15), ("hip_flexion_l", 65, 85, -15)]
    angles = [{"person": 7, "column": c, "from_frame": a, "to_frame": b, "change": d, "within": 4} for c, a, b, d in changes]
    write(folder, "bends", body, [person], t, fps, camera(), expect={"angles": angles})


if __name__ == "__main__":
    main()
