#!/usr/bin/env python3
"""Makes the pictures of docs/gallery: the looks, views from the side and from above, the motion in Blender, the report page.

    make gallery        with MESHREEL=PROGRAM: by another program than target/release/meshreel

All of them are made from the sample clip, but show nothing of it: clips of others are not committed, and neither are pictures of
them. Therefore bodies are drawn on a plain background everywhere, in the report page's video as well.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("MESHREEL", ROOT / "target/release/meshreel")
READERS = ROOT / "tests/readers"
CLIP = ROOT / "fixtures/media/demo.mp4"
PICTURES = ROOT / "docs/gallery"
LARGEST = 150_000
RATE = 30
# Both people near each other; a jumping jack; a somersault in the air.
NEAR, JACK, SOMERSAULT = 145, 64, 172
# In FFmpeg's words, width:height:x:y of the clip's 1768 x 994 pixels: both people in NEAR, the left one in JACK.
BOTH = "450:960:475:10"
LEFT = "640:480:310:0"
LOOKS = ["mesh", "skeleton", "mask", "depth", "normals"]


def main():
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="meshreel-gallery-") as folder:
        folder = pathlib.Path(folder)
        meshreel("process", CLIP, "-o", folder, "--formats", "glb")
        motion = folder / "demo.motion.jsonl"

        def render(name, *options):
            meshreel("render", CLIP, "--motion", motion, "-o", folder / name, *options)
            return folder / name / "demo.mp4"

        looks = [render(look, "--style", look, "--dim", "1") for look in LOOKS]
        still(looks, PICTURES / "looks.jpg", f"crop={BOTH},scale=280:-2", NEAR)
        angles = render("angles", "--style", "skeleton", "--dim", "1", "--labels=angles")
        still([angles], PICTURES / "skeleton.jpg", f"crop={LEFT},scale=720:-2", JACK)
        views = render("views", "--style", "mesh", "--views", "side,top")
        still([views], PICTURES / "views.jpg", "crop=iw-360:ih:360:0,scale=1400:-2", JACK)
        blender(folder / "demo.glb", PICTURES / "blender.jpg", folder)
        render("page", "--style", "mesh,skeleton", "--report")
        page(folder / "page/demo.report.html", PICTURES / "report.jpg", folder)
    for picture in sorted(PICTURES.glob("*.jpg")):
        size = picture.stat().st_size
        print(f"{picture.relative_to(ROOT)}: {size / 1000:.0f} kB")
        if size > LARGEST:
            sys.exit(f"{picture} is larger than {LARGEST / 1000:.0f} kB")


def meshreel(*arguments):
    subprocess.run([PROGRAM, *arguments, "--progress", "none"], check=True)


def still(sources, picture, change, frame=0):
    """The frame of all sources, each changed by FFmpeg's filters, side by side."""
    inputs = [argument for source in sources for argument in ("-i", source)]
    chains = [f"[{i}]select=eq(n\\,{frame}),{change}[s{i}]" for i in range(len(sources))]
    row = "".join(f"[s{i}]" for i in range(len(sources))) + (f"hstack={len(sources)}" if len(sources) > 1 else "null")
    subprocess.run(["ffmpeg", "-v", "error", "-y", *inputs, "-filter_complex", ";".join([*chains, row]), "-frames:v", "1", "-q:v", "3",
                    picture], check=True)


def blender(glb, picture, folder):
    """The glb as Blender draws it, from the left of the camera that filmed."""
    script = folder / "draw.py"
    script.write_text(f"""
import bpy
from mathutils import Vector
for thing in list(bpy.data.objects):
    bpy.data.objects.remove(thing, do_unlink=True)
scene = bpy.context.scene
scene.render.fps = {RATE}
bpy.ops.import_scene.gltf(filepath={str(glb)!r}, disable_bone_shape=True)
scene.frame_set({SOMERSAULT})
hips = [rig.matrix_world @ rig.pose.bones[0].head for rig in bpy.data.objects if rig.type == "ARMATURE"]
middle = sum(hips, Vector()) / len(hips)
bpy.ops.mesh.primitive_plane_add(size=60, location=(middle.x, middle.y, 0))
floor = bpy.context.object
paint = bpy.data.materials.new("floor")
paint.use_nodes = True
nodes, links = paint.node_tree.nodes, paint.node_tree.links
tiles = nodes.new("ShaderNodeTexBrick")
tiles.offset = 0
for name, value in (("Color1", (0.35, 0.38, 0.42, 1)), ("Color2", (0.35, 0.38, 0.42, 1)), ("Mortar", (0.2, 0.22, 0.25, 1)),
                    ("Scale", 1), ("Mortar Size", 0.01), ("Brick Width", 1), ("Row Height", 1)):
    tiles.inputs[name].default_value = value
place = nodes.new("ShaderNodeTexCoord")
links.new(place.outputs["Object"], tiles.inputs["Vector"])
links.new(tiles.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
nodes["Principled BSDF"].inputs["Roughness"].default_value = 0.9
floor.data.materials.append(paint)
bpy.ops.object.light_add(type="SUN", rotation=(0.35, -0.2, 0))
bpy.context.object.data.energy = 3.2
bpy.context.object.data.angle = 0.1
scene.world = bpy.data.worlds.new("sky")
scene.world.use_nodes = True
scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.3, 0.36, 0.44, 1)
bpy.ops.object.camera_add(location=middle + Vector((-4.4, -6.6, 0.9)))
camera = bpy.context.object
camera.rotation_euler = (middle - Vector((0, 0, 0.25)) - camera.location).to_track_quat("-Z", "Y").to_euler()
scene.camera = camera
camera.data.lens = 40
scene.view_settings.view_transform = "Standard"
scene.render.engine = "CYCLES"
scene.cycles.samples = 48
scene.render.resolution_x, scene.render.resolution_y = 720, 540
scene.render.filepath = {str(folder / "blender.png")!r}
bpy.ops.render.render(write_still=True)
""")
    subprocess.run([READERS / ".venv-blender/bin/python", script], check=True, stdout=subprocess.DEVNULL)
    still([folder / "blender.png"], picture, "null")


def page(html, picture, folder):
    """The report page in a browser."""
    subprocess.run(["node", "screenshot.mjs", html, folder / "page.png", str(NEAR / RATE), "2f"], check=True, cwd=READERS)
    still([folder / "page.png"], picture, "null")


if __name__ == "__main__":
    main()
