#!/usr/bin/env python3
"""Opens an exported glb in Blender, and runs the script beside it: .venv-blender/bin/python blender.py FOLDER MOTION.jsonl

Joints of all people at several times within 0.1 mm, the camera within 0.1 px; NAME.blender.py sets frame rate, range, picture size and
camera, and writes an FBX. Needs the npz beside the glb (for how people were moved onto the floor). Exits 1 when something is wrong.
"""

import json
import pathlib
import runpy
import struct
import sys
import tempfile

import bpy
import numpy as np
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from motion import Motion, Wrong, require, to_world

NEAR = 1e-4
# glTF's axes (y up) to Blender's (z up).
TO_BLENDER = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)


def joint_names(path):
    """{person: names of the joint nodes in the file's order}."""
    data = path.read_bytes()
    document = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    nodes = document.get("nodes", [])
    parents = {child: i for i, node in enumerate(nodes) for child in node.get("children", [])}
    people = {}
    for skin in document.get("skins", []):
        at = skin["joints"][0]
        while at in parents and not nodes[at]["name"].startswith("person_"):
            at = parents[at]
        people[int(nodes[at]["name"].removeprefix("person_"))] = [nodes[j]["name"] for j in skin["joints"]]
    return people


def armature_with(name):
    for thing in bpy.data.objects:
        if thing.type == "ARMATURE" and name in thing.pose.bones:
            return thing
    raise Wrong(f"Blender has no armature with the bone {name}")


def go_to(frame):
    whole = int(np.floor(frame))
    bpy.context.scene.frame_set(whole, subframe=min(float(frame - whole), 0.999999))


def is_shown(person, names):
    scale = armature_with(names[person][0]).matrix_world.to_scale()
    return max(abs(s) for s in scale) > 0.5


def people_off(motion, matrix, shift, names, offset, frames):
    """The greatest distance of any joint, in metres, at some of the video's frames; `offset`: the scene's frame of the video's first."""
    scene, worst = bpy.context.scene, 0.0
    fps = scene.render.fps / scene.render.fps_base
    for f in frames:
        at = offset + motion.times[f] * fps
        # A bit later, so that what changes at this frame has changed: glTF's times are rounded.
        go_to(at + 0.002)
        shown = [is_shown(number, names) for number in motion.ids]
        go_to(at)
        for p, number in enumerate(motion.ids):
            require(shown[p] == motion.present[f, p], f"person {number} is {'shown' if shown[p] else 'hidden'} in frame {f}")
            # At the very frame it may still be hidden by a rounding.
            if not shown[p] or not is_shown(number, names):
                continue
            armature = armature_with(names[number][0])
            joints = motion.pose(p, motion.rotations[[f], p], motion.root[[f], p])[0][0]
            wanted = to_world(matrix, joints, shift[f, p]) @ TO_BLENDER.T
            found = np.array([armature.matrix_world @ armature.pose.bones[name].head for name in names[number]])
            worst = max(worst, np.abs(found - wanted).max())
    return worst


def camera_off(motion, matrix):
    """How many pixels the scene's camera is off, seen from the picture's middle."""
    scene = bpy.context.scene
    width, height = motion.size
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    bpy.context.view_layer.update()
    focal, worst = motion.camera[[0, 1], [0, 1]], 0.0
    for point in ((x, y, z) for x in (-0.8, 0.0, 1.0) for y in (-0.5, 0.6) for z in (2.5, 5.0)):
        placed = TO_BLENDER @ to_world(matrix, np.array([point]))[0]
        seen = world_to_camera_view(scene, scene.camera, Vector(placed))
        pixel = np.array([(seen.x - 0.5) * width, (0.5 - seen.y) * height])
        worst = max(worst, np.abs(pixel - np.array(point[:2]) / point[2] * focal).max())
    return worst


def looked_at(motion):
    frames = len(motion.times)
    changes = np.flatnonzero((motion.present[1:] != motion.present[:-1]).any(1))
    return sorted(set(np.linspace(0, frames - 1, min(frames, 12)).astype(int)) | set(changes) | set(changes + 1))


def check_glb(motion, path, matrix, shift):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    # The importer counts in whole frames a second; what is left, NAME.blender.py has to put right.
    scene.render.fps, scene.render.fps_base = round(motion.fps), 1.0
    bpy.ops.import_scene.gltf(filepath=str(path))
    names = joint_names(path)
    require(sorted(names) == sorted(motion.ids), f"the people are {sorted(names)}, not {motion.ids}")
    joints = people_off(motion, matrix, shift, names, 0.0, looked_at(motion))
    require(joints <= NEAR, f"joints are {joints * 1000:.2f} mm off in Blender")
    cameras = [thing for thing in bpy.data.objects if thing.type == "CAMERA"]
    require(len(cameras) == 1, f"there are {len(cameras)} cameras")
    scene.camera = cameras[0]
    pixels = camera_off(motion, matrix)
    require(pixels <= 0.1, f"the camera is {pixels:.3f} px off in Blender")
    return f"{len(names)} people, joints {joints * 1000:.4f} mm, camera {pixels:.4f} px off at most"


def check_script(motion, path, glb, matrix, shift):
    """Runs NAME.blender.py as `blender --python NAME.blender.py -- --fbx FILE` would, in this process."""
    bpy.ops.wm.read_factory_settings(use_empty=False)
    with tempfile.TemporaryDirectory() as folder:
        fbx = pathlib.Path(folder) / "out.fbx"
        before, sys.argv = sys.argv, ["blender", "--python", str(path), "--", "--fbx", str(fbx)]
        try:
            runpy.run_path(str(path), run_name="__main__")
        finally:
            sys.argv = before
        require(fbx.exists() and fbx.read_bytes()[:18] == b"Kaydara FBX Binary", f"{path.name} --fbx wrote no FBX")
        size = fbx.stat().st_size
    scene = bpy.context.scene
    fps = scene.render.fps / scene.render.fps_base
    require(abs(fps - motion.fps) < 0.01, f"{path.name} sets {fps:.3f} fps, not {motion.fps}")
    require(
        (scene.render.resolution_x, scene.render.resolution_y) == motion.size, f"{path.name} sets another picture size than {motion.size}"
    )
    require(scene.camera is not None, f"{path.name} makes no camera active")
    length, last = scene.frame_end - scene.frame_start, (motion.times[-1] - motion.times[0]) * fps
    require(abs(length - last) <= 1, f"{path.name} sets {scene.frame_start} to {scene.frame_end}; the motion is {last:.1f} frames long")
    names = joint_names(glb)
    joints = people_off(motion, matrix, shift, names, float(scene.frame_start), looked_at(motion))
    require(
        joints <= NEAR,
        f"after {path.name} joints are {joints * 1000:.2f} mm off in Blender, with the video's first frame at {scene.frame_start}",
    )
    pixels = camera_off(motion, matrix)
    require(pixels <= 0.1, f"after {path.name} the camera is {pixels:.3f} px off")
    pictures = len(scene.camera.data.background_images)
    require(pictures or not pathlib.Path(motion.header["video"]["path"]).exists(), "the video is not behind the camera")
    return f"{fps:.3f} fps, frames {scene.frame_start} to {scene.frame_end}, {pictures} background, FBX {size // 1024} kB"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, motion = pathlib.Path(sys.argv[1]), Motion(sys.argv[2])
    with np.load(folder / f"{motion.name}.npz", allow_pickle=False) as data:
        frame, shift = str(data["frame"]), np.nan_to_num(data["floor_shift"])
    matrix = motion.world_from_camera(frame)
    glb, script = folder / f"{motion.name}.glb", folder / f"{motion.name}.blender.py"
    try:
        print(f"{motion.name}: Blender: glb: right: {check_glb(motion, glb, matrix, shift)}", flush=True)
        require(script.exists(), f"{script} is missing")
        print(f"{motion.name}: Blender: script: right: {check_script(motion, script, glb, matrix, shift)}", flush=True)
    except Wrong as wrong:
        print(f"{motion.name}: Blender: WRONG: {wrong}")
        sys.exit(1)


if __name__ == "__main__":
    main()
