#!/usr/bin/env python3
"""Makes the pictures of docs/gallery of the sample clip: other looks, a view from the side, the motion in Blender, the report page.

    make gallery
"""

import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/meshreel"
READERS = ROOT / "tests/readers"
CLIP = ROOT / "fixtures/media/demo.mp4"
PICTURES = ROOT / "docs/gallery"
# Both people are in it, one in the air.
FRAME = 160
WIDTH = 880


def main():
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="meshreel-gallery-") as folder:
        folder = pathlib.Path(folder)
        meshreel("process", CLIP, "-o", folder, "--formats", "glb", "--report")
        motion = folder / "demo.motion.jsonl"
        for name, options in (
            ("skeleton", ["--style", "skeleton", "--labels=angles", "--dim", "0.5"]),
            ("views", ["--style", "mesh", "--views", "side,top"]),
        ):
            meshreel("render", CLIP, "--motion", motion, "-o", folder / name, *options)
            still(folder / name / "demo.mp4", PICTURES / f"{name}.jpg")
        blender(folder / "demo.glb", PICTURES / "blender.jpg", folder)
        page(folder / "demo.report.html", PICTURES / "report.jpg", folder)


def meshreel(*arguments):
    subprocess.run([PROGRAM, *arguments, "--progress", "none"], check=True)


def still(video, picture, select=f"select=eq(n\\,{FRAME}),"):
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", video, "-vf", f"{select}scale={WIDTH}:-2", "-frames:v", "1", "-q:v", "4", picture],
                   check=True)


def blender(glb, picture, folder):
    """The glb as Blender draws it, seen from the side of the camera that filmed."""
    script = folder / "draw.py"
    script.write_text(f"""
import math, bpy
from mathutils import Vector
for thing in list(bpy.data.objects):
    bpy.data.objects.remove(thing, do_unlink=True)
scene = bpy.context.scene
scene.render.fps = 30
bpy.ops.import_scene.gltf(filepath={str(glb)!r}, disable_bone_shape=True)
scene.frame_set({FRAME})
hips = [rig.matrix_world @ rig.pose.bones[0].head for rig in bpy.data.objects if rig.type == "ARMATURE"]
middle = sum(hips, Vector()) / len(hips)
bpy.ops.mesh.primitive_grid_add(size=40, x_subdivisions=40, y_subdivisions=40, location=(middle.x, middle.y, 0))
floor = bpy.context.object
paint = bpy.data.materials.new("floor")
paint.diffuse_color = (0.3, 0.32, 0.35, 1)
floor.data.materials.append(paint)
bpy.ops.object.light_add(type="SUN", rotation=(0.6, 0.3, 0.4))
bpy.context.object.data.energy = 3
scene.world = bpy.data.worlds.new("sky")
scene.world.color = (0.5, 0.55, 0.6)
bpy.ops.object.camera_add(location=middle + Vector((7.0, -7.0, 1.4)))
camera = bpy.context.object
camera.rotation_euler = (middle - camera.location).to_track_quat("-Z", "Y").to_euler()
scene.camera = camera
scene.render.engine = "CYCLES"
scene.cycles.samples = 24
scene.render.resolution_x, scene.render.resolution_y = {WIDTH}, {WIDTH * 9 // 16}
scene.render.filepath = {str(folder / "blender.png")!r}
bpy.ops.render.render(write_still=True)
""")
    subprocess.run([READERS / ".venv-blender/bin/python", script], check=True, stdout=subprocess.DEVNULL)
    still(folder / "blender.png", picture, "")


def page(html, picture, folder):
    """The report page in a browser."""
    subprocess.run(["node", READERS / "screenshot.mjs", html, folder / "page.png"], check=True, cwd=READERS)
    still(folder / "page.png", picture, "")


if __name__ == "__main__":
    sys.exit(main())
