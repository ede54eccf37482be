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
import os
import sys

import bpy

HERE = os.path.dirname(os.path.abspath(__file__))
GLB = os.path.join(HERE, @glb@)
VIDEO = @video@
WIDTH, HEIGHT = @width@, @height@
FPS = @fps@
FRAMES = @frames@


def set_frame_rate(scene):
    """Blender keeps a whole number and a divisor: 29.97 is 30 / 1.001."""
    whole = round(FPS) if abs(round(FPS) / 1.001 - FPS) < 1e-3 or abs(round(FPS) - FPS) < 1e-3 else int(FPS) + 1
    scene.render.fps = max(whole, 1)
    scene.render.fps_base = scene.render.fps / FPS


def set_camera(scene):
    cameras = [thing for thing in scene.objects if thing.type == "CAMERA"]
    if not cameras:
        return
    scene.camera = cameras[0]
    camera = cameras[0].data
    camera.sensor_fit = "HORIZONTAL" if WIDTH >= HEIGHT else "VERTICAL"
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
    # Before the import: it turns seconds into frames.
    set_frame_rate(scene)
    bpy.ops.import_scene.gltf(filepath=GLB)
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
    output.file("blender.py", |output, out| {
        let values = [
            ("@glb@", python(&format!("{}.glb", output.stem()))),
            ("@video@", python(&path)),
            ("@width@", video.width.to_string()),
            ("@height@", video.height.to_string()),
            ("@fps@", video.fps.to_string()),
            ("@frames@", video.frames.to_string()),
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
