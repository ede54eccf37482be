//! A script beside the glb that does in Blender what glTF cannot say: frame rate, frame range, resolution, the video behind the camera; and that
//! writes FBX, for which Blender is the best open writer.

use std::io::Write;

use super::error::ExportError;
use super::output::Output;
use super::selection::Selection;

/// The script; `@name@` stand for values, as Python literals.
const SCRIPT: &str = r#"# Opens the motion in Blender (3.6 or newer) as it was filmed: frame rate, resolution, camera, and the video behind it.
#
#     blender --python THIS_FILE                                in Blender's window
#     blender --background --python THIS_FILE -- --fbx OUT.fbx  writes an FBX file
#     blender --background --python THIS_FILE -- --blend OUT.blend
#
# Written by meshreel.

import argparse
import glob
import os
import sys

import bpy

# Beside this file, and called the same.
GLB = os.path.abspath(__file__)[: -len(".blender.py")] + ".glb"
VIDEO = @video@
if "\ufffd" in VIDEO:
    # What is no text in the file's name is not known any more.
    VIDEO = next(iter(glob.glob(glob.escape(VIDEO).replace("\ufffd", "*"))), VIDEO)
WIDTH, HEIGHT = @width@, @height@
FPS = @fps@
# Blender keeps a whole number and a divisor: 29.97 is 30 / 1.001.
WHOLE_FPS = max(round(FPS), 1)
# Of the scene, from 0 on: as many as the last frame is late.
FRAMES = @frames@


def move_keys():
    """Moves what was imported from whole frames a second to the frame rate: the importer knows no other, so that 29.97 would be late by a frame in a thousand."""
    share = FPS / WHOLE_FPS
    if share == 1:
        return
    for action in bpy.data.actions:
        if hasattr(action, "layers"):
            bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
        else:
            bags = [action]
        for bag in bags:
            for curve in bag.fcurves:
                for key in curve.keyframe_points:
                    for point in (key.co, key.handle_left, key.handle_right):
                        point.x *= share
                curve.update()


def import_motion():
    try:
        # Without the shapes that the importer makes for bones: they would be exported as bodies.
        bpy.ops.import_scene.gltf(filepath=GLB, disable_bone_shape=True)
    except TypeError:
        bpy.ops.import_scene.gltf(filepath=GLB)


def set_camera(scene):
    cameras = [thing for thing in scene.objects if thing.type == "CAMERA"]
    if not cameras:
        return
    scene.camera = cameras[0]
    camera = cameras[0].data
    if not os.path.exists(VIDEO):
        print("the video is not at", VIDEO, "- there is no background")
        return
    camera.show_background_images = True
    background = camera.background_images.new()
    background.source = "MOVIE_CLIP"
    background.clip = bpy.data.movieclips.load(VIDEO)
    background.clip.frame_start = 0
    background.alpha = 1.0
    background.display_depth = "BACK"


def main():
    parser = argparse.ArgumentParser(description="Opens motion by meshreel in Blender.")
    parser.add_argument("--fbx", metavar="FILE", help="write an FBX file")
    parser.add_argument("--blend", metavar="FILE", help="write a Blender file")
    after = sys.argv.index("--") + 1 if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[after:])

    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing, do_unlink=True)
    scene = bpy.context.scene
    # Before the import, which turns seconds into frames.
    scene.render.fps, scene.render.fps_base = WHOLE_FPS, 1.0
    import_motion()
    move_keys()
    scene.render.fps_base = WHOLE_FPS / FPS
    scene.frame_start, scene.frame_end = 0, max(FRAMES - 1, 0)
    scene.frame_set(0)
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.resolution_percentage = 100
    set_camera(scene)
    if arguments.blend:
        bpy.ops.wm.save_as_mainfile(filepath=os.path.abspath(arguments.blend))
    if arguments.fbx:
        bpy.ops.export_scene.fbx(filepath=os.path.abspath(arguments.fbx), add_leaf_bones=False, bake_anim_simplify_factor=0.0)


main()
"#;

/// Writes `NAME.blender.py`.
pub fn write(selection: &Selection<'_>, output: &mut Output<'_>) -> Result<(), ExportError> {
    let video = &selection.clip.header.video;
    let path =
        std::path::absolute(&video.path).map_or_else(|_| video.path.clone(), |p| p.to_string_lossy().into_owned());
    let last = selection.clip.times.last().map_or(0.0, |last| last * video.fps);
    let frames = last.round() as u64 + 1;
    output.file("blender.py", |_, out| {
        let values = [
            ("@video@", python(&path)),
            ("@width@", video.width.to_string()),
            ("@height@", video.height.to_string()),
            ("@fps@", video.fps.to_string()),
            ("@frames@", frames.to_string()),
        ];
        let script = values.iter().fold(SCRIPT.to_owned(), |script, (name, value)| script.replacen(name, value, 1));
        Ok(out.write_all(script.as_bytes())?)
    })
}

/// A text as a Python literal, in ASCII: names of files are not to be trusted.
fn python(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            ' '..='~' => c.to_string(),
            _ => format!("\\U{:08x}", u32::from(c)),
        })
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::python;

    #[test]
    fn names_stay_inside_their_quotes() {
        assert_eq!(python("a\"; b\\\né"), "\"a\\\"; b\\\\\\U0000000a\\U000000e9\"");
    }
}
