//! What is drawn: looks, further views, labels, pictures instead of videos, and drawing a motion file again.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use common::{ffmpeg, ffprobe, meshreel, motion, names, run, sample};
use serde_json::Value;

/// Of the clip that most tests draw.
const SIZE: [usize; 2] = [884, 496];
/// The frame that they look at.
const FRAME: usize = 10;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A short clip with two people, small enough to be drawn often, and its motion; made once.
fn clip() -> (PathBuf, PathBuf) {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("clip.mp4");
        ffmpeg(
            "-ss 2.5 -i {} -t 0.6 -an -vf scale=884:496 -c:v libx264 -preset ultrafast -crf 8 -pix_fmt yuv420p {}",
            &[&sample(), &clip],
        );
        let output = run(meshreel(folder.path()).arg("process").arg(&clip).args(["-o", "out"]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        folder
    });
    (folder.path().join("clip.mp4"), folder.path().join("out/clip.motion.jsonl"))
}

/// Draws the clip again with these arguments, into `out` of the folder.
fn render(folder: &Path, arguments: &[&str]) -> Output {
    let (clip, motion) = clip();
    let (mut command, places) = (meshreel(folder), [clip, motion]);
    run(command.arg("render").arg(&places[0]).arg("--motion").arg(&places[1]).args(["-o", "out"]).args(arguments))
}

/// A frame of a video as it is displayed.
struct Picture {
    width: usize,
    rgb: Vec<u8>,
}

impl Picture {
    fn of(path: &Path, frame: usize) -> Self {
        let raw = path.with_extension("raw");
        let select = format!("-i {{}} -vf select=eq(n\\,{frame}) -frames:v 1 -pix_fmt rgb24 -f rawvideo {{}}");
        ffmpeg(&select, &[path, &raw]);
        let rgb = std::fs::read(&raw).unwrap();
        std::fs::remove_file(raw).unwrap();
        let entries = "-select_streams v:0 -show_entries stream=width,height -of csv=p=0";
        let told = ffprobe(entries, path);
        let sides: Vec<usize> =
            told.trim().trim_end_matches(',').split(',').map(|side| side.parse().unwrap()).collect();
        // Turned by a player, a picture has as many pixels.
        let width = if rgb.len() == sides[0] * sides[1] * 3 { sides[0] } else { panic!("{told}: {}", rgb.len()) };
        Self { width, rgb }
    }

    fn height(&self) -> usize {
        self.rgb.len() / 3 / self.width
    }

    fn at(&self, x: f64, y: f64) -> [i32; 3] {
        let at = (y.round() as usize * self.width + x.round() as usize) * 3;
        [0, 1, 2].map(|c| i32::from(self.rgb[at + c]))
    }
}

fn off(a: [i32; 3], b: [i32; 3]) -> i32 {
    (0..3).map(|c| (a[c] - b[c]).abs()).max().unwrap()
}

/// Everybody in the frame that is looked at: their rows in the motion file.
fn people() -> Vec<Value> {
    motion(&clip().1)[1 + FRAME]["people"].as_array().unwrap().clone()
}

/// A COCO key point of a person: its pixel, and its distance in metres.
fn keypoint(person: &Value, index: usize) -> ([f64; 2], f64) {
    let pixel = [0, 1].map(|axis| person["keypoints2d"][index][axis].as_f64().unwrap());
    (pixel, person["joints3d"][index][2].as_f64().unwrap())
}

/// The middle of the trunk.
fn trunk(person: &Value) -> ([f64; 2], f64) {
    let add = |([x, y], z): ([f64; 2], f64), ([px, py], pz): ([f64; 2], f64)| ([x + px, y + py], z + pz);
    let sum = [5, 6, 11, 12].map(|index| keypoint(person, index)).into_iter().fold(([0.0; 2], 0.0), add);
    (sum.0.map(|v| v / 4.0), sum.1 / 4.0)
}

#[test]
fn each_look_shows_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let picture = |style: &str| {
        let output = render(folder.path(), &["--style", style, "--opacity", "1"]);
        assert!(output.status.success(), "{style}: {}", text(&output.stderr));
        Picture::of(&folder.path().join("out/clip.mp4"), FRAME)
    };
    let source = Picture::of(&clip().0, FRAME);
    let people = people();
    assert_eq!(people.len(), 2);
    let corner = |picture: &Picture| picture.at(5.0, 490.0);

    let mask = picture("mask");
    assert!(off(corner(&mask), [0; 3]) < 4);
    for person in &people {
        let ([x, y], _) = trunk(person);
        assert!(off(mask.at(x, y), [255; 3]) < 6, "{:?}", mask.at(x, y));
    }
    // A step of grey is a tenth of a metre; the surface is some centimetres before the joints.
    let depth = picture("depth");
    assert!(off(corner(&depth), [0; 3]) < 4);
    for person in &people {
        let ([x, y], metres) = trunk(person);
        let grey = depth.at(x, y)[0];
        assert!((f64::from(255 - grey) / 10.0 - metres).abs() < 0.5, "{grey} at {metres} m");
    }
    // Trunks are seen from before, from behind or from the side, but always so that they face the camera: blue.
    let normals = picture("normals");
    assert!(off(corner(&normals), [0; 3]) < 4);
    for person in &people {
        let ([x, y], _) = trunk(person);
        let [_, _, blue] = normals.at(x, y);
        assert!(blue > 190, "{:?}", normals.at(x, y));
    }
    let mesh = picture("mesh");
    assert!(off(corner(&mesh), [38, 41, 46]) < 6, "{:?}", corner(&mesh));
    // The skeleton alone leaves the video as it is beside it; left is lighter than right.
    let skeleton = picture("skeleton");
    assert!(off(corner(&skeleton), corner(&source)) < 20);
    for person in &people {
        let bright = |index: usize| {
            let ([x, y], _) = keypoint(person, index);
            skeleton.at(x, y).iter().sum::<i32>()
        };
        assert!(bright(13) > bright(14) + 60, "knees: left {} right {}", bright(13), bright(14));
    }
    // Both in one picture: the hips are those of the skeleton, the flesh beside them is the body's.
    let [overlay, both] = ["overlay", "skeleton,overlay"].map(picture);
    for person in &people {
        let ([x, y], _) = keypoint(person, 13);
        assert!(off(both.at(x, y), skeleton.at(x, y)) < 40, "{:?} {:?}", both.at(x, y), skeleton.at(x, y));
    }
    assert!(off(corner(&both), corner(&source)) < 20 && overlay.width == SIZE[0] && overlay.height() == SIZE[1]);
}

#[test]
fn looks_that_exclude_each_other_are_refused_wherever_they_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = render(folder.path(), &["--style", "mask,depth"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("mask and depth are two pictures"), "{}", text(&output.stderr));
    let config = folder.path().join("c.toml");
    std::fs::write(&config, "\nstyle = [\"mesh\", \"overlay\"]\n").unwrap();
    let output = render(folder.path(), &["--config", "c.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("c.toml:2: mesh and overlay"), "{}", text(&output.stderr));
}

#[test]
fn views_stand_beside_the_video_and_leave_it_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let plain = render(folder.path(), &[]);
    assert!(plain.status.success(), "{}", text(&plain.stderr));
    let out = folder.path().join("out/clip.mp4");
    let alone = Picture::of(&out, FRAME);
    let output = render(folder.path(), &["--views", "side,top"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let wide = Picture::of(&out, FRAME);
    // Three quarters as wide as high, in whole blocks.
    let panel = 368;
    assert_eq!([wide.width, wide.height()], [SIZE[0] + 2 * panel, SIZE[1]]);
    let is_kept = |(x, y): (usize, usize)| off(wide.at(x as f64, y as f64), alone.at(x as f64, y as f64)) < 40;
    let places = || (0..SIZE[1]).step_by(7).flat_map(|y| (0..SIZE[0] - 8).step_by(7).map(move |x| (x, y)));
    let kept = places().filter(|place| is_kept(*place)).count();
    assert!(kept * 100 > places().count() * 99, "{kept} of {}", places().count());
    // People are drawn in the colours that they have in the video, on a dark background.
    for view in 0..2 {
        let left = SIZE[0] + view * panel;
        let (mut blue, mut orange) = (0, 0);
        for (x, y) in (4..SIZE[1] - 4).flat_map(|y| (left + 4..left + panel - 4).map(move |x| (x, y))) {
            let [r, g, b] = wide.at(x as f64, y as f64);
            blue += usize::from(b > r + 50 && b > 90);
            orange += usize::from(r > b + 50 && r > 90 && r > g);
        }
        assert!(blue > 300 && orange > 300, "view {view}: {blue} {orange}");
    }
}

#[test]
fn nothing_of_a_video_of_odd_width_is_left_between_it_and_its_views() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("white.mkv");
    ffmpeg("-f lavfi -i color=white:s=161x121:r=25:d=0.2 -pix_fmt yuv420p -c:v ffv1 {}", &[&clip]);
    for look in [["--style", "mask"], ["--dim", "1"]] {
        let output = run(meshreel(folder.path()).arg("process").arg(&clip).args(look).args(["--views", "side"]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        let picture = Picture::of(&folder.path().join("meshreel-out/white.mp4"), 1);
        for (x, y) in (150..162).flat_map(|x| [4, 60, 116].map(|y| (x, y))) {
            let seen = picture.at(f64::from(x), f64::from(y));
            assert!(off(seen, [0; 3]) < 12, "{look:?} {x} {y}: {seen:?}");
        }
    }
}

#[test]
fn views_may_have_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let output = render(folder.path(), &["--views", "top,side", "--layout", "files", "--style", "mask"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = folder.path().join("out");
    let expected = ["clip.motion.jsonl", "clip.mp4", "clip.report.json", "clip.side.mp4", "clip.top.mp4"];
    assert_eq!(names(&out), expected);
    let frames = "-count_packets -select_streams v -show_entries stream=width,height,nb_read_packets -of csv=p=0";
    for name in ["clip.side.mp4", "clip.top.mp4", "clip.mp4"] {
        assert_eq!(ffprobe(frames, &out.join(name)).trim(), "884,496,18", "{name}");
        let white = Picture::of(&out.join(name), FRAME).rgb.chunks(3).filter(|p| p[0] > 200).count();
        assert!((1000..100_000).contains(&white), "{name}: {white}");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("clip.report.json")).unwrap()).unwrap();
    assert_eq!(report["exports"], serde_json::json!(["clip.side.mp4", "clip.top.mp4"]));
}

#[test]
fn views_are_on_the_right_of_a_turned_picture() {
    let folder = tempfile::tempdir().unwrap();
    let [lying, turned] = ["lying.mp4", "turned.mp4"].map(|name| folder.path().join(name));
    ffmpeg(
        "-ss 2.8 -i {} -t 0.2 -an -vf scale=640:360,transpose=cclock -c:v libx264 -preset ultrafast -crf 8 {}",
        &[&sample(), &lying],
    );
    // Says that it is to be shown upright; FFmpeg before version 6 has another word for that.
    let version = text(&run(std::process::Command::new("ffmpeg").arg("-version")).stdout);
    match ["ffmpeg version 4", "ffmpeg version 5"].iter().any(|old| version.starts_with(old)) {
        true => ffmpeg("-i {} -c copy -metadata:s:v rotate=90 {}", &[&lying, &turned]),
        false => ffmpeg("-display_rotation -90 -i {} -c copy {}", &[&lying, &turned]),
    };
    let output = run(meshreel(folder.path()).arg("process").arg(&turned).args([
        "-o",
        "out",
        "--views",
        "side",
        "--workers",
        "2",
    ]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let upright = folder.path().join("upright.mkv");
    ffmpeg("-i {} -c:v ffv1 {}", &[&folder.path().join("out/turned.mp4"), &upright]);
    let shown = Picture::of(&upright, 1);
    assert_eq!([shown.width, shown.height()], [640 + 272, 360]);
    let source = folder.path().join("source.mkv");
    ffmpeg("-i {} -c:v ffv1 {}", &[&turned, &source]);
    let source = Picture::of(&source, 1);
    for [x, y] in [[20.0, 20.0], [600.0, 340.0], [20.0, 340.0]] {
        assert!(off(shown.at(x, y), source.at(x, y)) < 25, "{:?} {:?}", shown.at(x, y), source.at(x, y));
    }
    assert!(off(shown.at(900.0, 10.0), [38, 41, 46]) < 8, "{:?}", shown.at(900.0, 10.0));
}

#[test]
fn render_gives_what_process_gave_and_takes_only_the_motion_of_the_video() {
    let folder = tempfile::tempdir().unwrap();
    let (clip, told) = clip();
    let output = render(folder.path(), &["--preset", "veryfast"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = folder.path().join("out");
    assert_eq!(names(&out), ["clip.motion.jsonl", "clip.mp4", "clip.report.json"]);
    assert_eq!(std::fs::read(out.join("clip.motion.jsonl")).unwrap(), std::fs::read(&told).unwrap());
    let [again, before] =
        [&out.join("clip.mp4"), &told.with_file_name("clip.mp4")].map(|path| Picture::of(path, FRAME));
    let differing = again.rgb.iter().zip(&before.rgb).filter(|(a, b)| a.abs_diff(**b) > 24).count();
    assert!(differing * 1000 < again.rgb.len(), "{differing} of {}", again.rgb.len());
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("clip.report.json")).unwrap()).unwrap();
    assert_eq!([&report["people"], &report["frames"]], [&2, &18]);
    assert_eq!(report["stages"]["detect"]["count"], 0);

    // Somebody else's file stays.
    std::fs::remove_file(out.join("clip.report.json")).unwrap();
    let output = render(folder.path(), &[]);
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("is there already"));

    // Of another size, of another length, damaged, none at all.
    let [small, long, damaged] = ["small.mp4", "long.mp4", "damaged.jsonl"].map(|name| folder.path().join(name));
    ffmpeg("-i {} -vf scale=640:360 -c:v libx264 -preset ultrafast {}", &[&clip, &small]);
    ffmpeg("-stream_loop 1 -i {} -c copy {}", &[&clip, &long]);
    let lines = std::fs::read_to_string(&told).unwrap();
    std::fs::write(&damaged, &lines[..lines.len() - 300]).unwrap();
    let missing = folder.path().join("missing.jsonl");
    for (video, motion, reason) in [
        (&small, &told, "its pictures have 884x496 pixels, those of the video 640x360"),
        (&long, &told, "it has 18 frames, the video 36"),
        (&clip, &damaged, "damaged.jsonl:19: it is no frame"),
        (&clip, &small, "small.mp4 is no motion file"),
        (&clip, &missing, "missing.jsonl: No such file"),
    ] {
        let output =
            run(meshreel(folder.path()).arg("render").arg(video).arg("--motion").arg(motion).args(["-o", "other"]));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(reason), "{}", text(&output.stderr));
        assert!(names(&folder.path().join("other")).is_empty());
    }
}

#[test]
fn somebody_who_is_away_for_a_while_is_drawn_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (clip, told) = clip();
    // The second person is taken out of some frames.
    let mut rows = motion(&told);
    for row in &mut rows[1 + 8..1 + 13] {
        row["people"].as_array_mut().unwrap().retain(|person| person["id"] != 2);
    }
    let gap = folder.path().join("gap.jsonl");
    std::fs::write(&gap, rows.iter().map(|row| row.to_string() + "\n").collect::<String>()).unwrap();
    let output =
        run(meshreel(folder.path()).arg("render").arg(&clip).arg("--motion").arg(&gap).args(["--style", "mask"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = folder.path().join("meshreel-out/clip.mp4");
    let rows = motion(&told);
    for (frame, expected) in [(6, 255), (FRAME, 0), (14, 255)] {
        let people = rows[1 + frame]["people"].as_array().unwrap();
        let ([x, y], _) = trunk(people.iter().find(|person| person["id"] == 2).unwrap());
        let found = Picture::of(&out, frame).at(x, y);
        assert!(off(found, [expected; 3]) < 8, "frame {frame}: {found:?}");
    }
}

#[test]
fn labels_are_written_and_the_video_is_dimmed() {
    let folder = tempfile::tempdir().unwrap();
    let picture = |arguments: &[&str]| {
        let output = render(folder.path(), arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        Picture::of(&folder.path().join("out/clip.mp4"), FRAME)
    };
    let [plain, id, angles] =
        [&["--opacity", "1"][..], &["--opacity", "1", "--labels"], &["--opacity", "1", "--labels", "angles"]]
            .map(picture);
    let changed = |a: &Picture, b: &Picture, [x, y]: [f64; 2], reach: f64| {
        let mut count = 0;
        for dy in -20..=20 {
            for dx in -20..=20 {
                let [x, y] = [x + f64::from(dx) * reach / 20.0, y + f64::from(dy) * reach / 20.0];
                count += usize::from(off(a.at(x, y), b.at(x, y)) > 60);
            }
        }
        count
    };
    for person in people() {
        let ([x, y], _) = keypoint(&person, 3);
        let above = [x, y - 40.0];
        assert!(changed(&plain, &id, above, 30.0) > 15, "{}", changed(&plain, &id, above, 30.0));
        let (knee, _) = keypoint(&person, 13);
        assert_eq!(changed(&plain, &id, knee, 20.0), 0);
        assert!(changed(&plain, &angles, knee, 30.0) > 20, "{}", changed(&plain, &angles, knee, 30.0));
    }
    let dimmed = picture(&["--dim", "0.5", "--opacity", "1"]);
    let [before, after] = [&plain, &dimmed].map(|picture| picture.at(5.0, 490.0));
    assert!((0..3).all(|c| (after[c] - before[c] / 2).abs() < 12), "{before:?} {after:?}");
    let ([x, y], _) = trunk(&people()[0]);
    assert!(off(plain.at(x, y), dimmed.at(x, y)) < 12, "bodies are as bright as before");
}

#[test]
fn a_picture_becomes_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    ffmpeg("-i {} -vf select=eq(n\\,10) -frames:v 1 {}", &[&clip().0, &at("a.png")]);
    ffmpeg("-i {} -q:v 2 {}", &[&at("a.png"), &at("b.jpg")]);
    ffmpeg("-i {} -lossless 1 {}", &[&at("a.png"), &at("c.webp")]);
    let output = run(meshreel(folder.path()).args(["process", "a.png", "b.jpg", "c.webp", "-o", "out"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let results = names(&at("out"));
    let pictures: Vec<_> = results.iter().filter(|name| !name.ends_with("json") && !name.ends_with("jsonl")).collect();
    assert_eq!(pictures, ["a.png", "b.jpg", "c.png"]);
    let source = Picture::of(&at("a.png"), 0);
    for name in ["a.png", "b.jpg", "c.png"] {
        let result = Picture::of(&at("out").join(name), 0);
        assert_eq!([result.width, result.height()], SIZE);
        for [x, y] in [[5.0, 490.0], [5.0, 5.0], [870.0, 250.0]] {
            assert!(off(result.at(x, y), source.at(x, y)) < 16, "{name} {:?} {:?}", result.at(x, y), source.at(x, y));
        }
        let stem = name.split('.').next().unwrap();
        let rows = motion(&at("out").join(format!("{stem}.motion.jsonl")));
        assert_eq!((rows.len(), &rows[0]["video"]["frames"]), (2, &Value::from(1)));
        let people = rows[1]["people"].as_array().unwrap();
        assert_eq!(people.len(), 2, "{name}");
        let ([x, y], _) = trunk(&people[0]);
        assert!(off(result.at(x, y), source.at(x, y)) > 30, "{name}: nobody is drawn");
    }
    // A telephone's says in its EXIF part (orientation 6) that it is to be turned right by a quarter.
    let plain = std::fs::read(at("b.jpg")).unwrap();
    let turned = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    std::fs::write(at("turned.jpg"), [&plain[..2], turned, &plain[2..]].concat()).unwrap();
    let output = run(meshreel(folder.path()).args(["process", "turned.jpg", "-o", "out"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = Picture::of(&at("out/turned.jpg"), 0);
    assert_eq!([result.width, result.height()], [SIZE[1], SIZE[0]]);
    assert!(off(result.at(490.0, 5.0), source.at(5.0, 5.0)) < 16, "the top left corner is at the top right");
    assert_eq!(motion(&at("out/turned.motion.jsonl"))[1]["people"].as_array().unwrap().len(), 2);

    // The picture is drawn again like a video.
    let output = run(meshreel(folder.path()).args([
        "render",
        "a.png",
        "--motion",
        "out/a.motion.jsonl",
        "-o",
        "mask",
        "--style",
        "mask",
    ]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(off(Picture::of(&at("mask/a.png"), 0).at(5.0, 490.0), [0; 3]) < 3);
}

#[test]
fn pictures_that_move_are_videos_or_refused_and_lose_no_frame() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    ffmpeg("-i {} -frames:v 5 -vf scale=320:180 -f apng {}", &[&clip().0, &at("a.apng")]);
    std::fs::copy(at("a.apng"), at("named.png")).unwrap();
    ffmpeg("-i {} -frames:v 5 -vf scale=320:180 -f mjpeg {}", &[&clip().0, &at("b.mjpeg")]);
    std::fs::copy(at("b.mjpeg"), at("series.jpg")).unwrap();
    ffmpeg("-i {} -frames:v 5 -vf scale=320:180 -c:v libwebp_anim -f webp {}", &[&clip().0, &at("c.webp")]);
    // A picture with its preview behind it, as cameras write it.
    ffmpeg("-i {} -frames:v 1 {}", &[&clip().0, &at("plain.jpg")]);
    ffmpeg("-i {} -frames:v 1 -vf scale=320:180 {}", &[&clip().0, &at("preview.jpg")]);
    let plain = std::fs::read(at("plain.jpg")).unwrap();
    let parts = [&plain[..2], &[0xff, 0xe2, 0, 8], b"MPF\0II", &plain[2..], &std::fs::read(at("preview.jpg")).unwrap()];
    std::fs::write(at("photo.jpg"), parts.concat()).unwrap();
    let output = run(meshreel(folder.path()).args(["process", "-o", "out"]).args([
        "a.apng",
        "named.png",
        "b.mjpeg",
        "photo.jpg",
    ]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let frames = "-count_packets -select_streams v -show_entries stream=nb_read_packets -of csv=p=0";
    for name in ["a.mp4", "named.mp4", "b.mp4"] {
        assert_eq!(ffprobe(frames, &at("out").join(name)).trim(), "5", "{name}");
    }
    let photo = Picture::of(&at("out/photo.jpg"), 0);
    assert_eq!([photo.width, photo.height()], SIZE);
    assert_eq!(motion(&at("out/photo.motion.jsonl")).len(), 2);
    for (name, reason) in [("c.webp", "an animated WebP"), ("series.jpg", "more than one frame")] {
        let output = run(meshreel(folder.path()).args(["process", name, "-o", "other"]));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(reason), "{}", text(&output.stderr));
    }
}

#[test]
fn a_folder_of_numbered_pictures_becomes_a_video() {
    let folder = tempfile::tempdir().unwrap();
    let shots = folder.path().join("my shots%d");
    let plain = folder.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    ffmpeg("-i {} -frames:v 12 -start_number 98 {}", &[&clip().0, &plain.join("img_%d.png")]);
    std::fs::rename(&plain, &shots).unwrap();
    // One is missing, and others are no part of them.
    std::fs::remove_file(shots.join("img_103.png")).unwrap();
    std::fs::copy(shots.join("img_98.png"), shots.join("cover.png")).unwrap();
    let output = run(meshreel(folder.path()).args(["process", "my shots%d", "-o", "out", "--fps", "10"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let video = folder.path().join("out/my shots%d.mp4");
    let entries =
        "-count_packets -select_streams v -show_entries stream=nb_read_packets,avg_frame_rate,pix_fmt -of csv=p=0";
    assert_eq!(ffprobe(entries, &video).trim(), "yuv420p,10/1,11");
    let rows = motion(&folder.path().join("out/my shots%d.motion.jsonl"));
    assert_eq!((rows.len(), &rows[3]["time"]), (12, &Value::from(0.2)));
    assert_eq!(rows[6]["people"].as_array().unwrap().len(), 2);

    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let output = run(meshreel(folder.path()).args(["process", "empty", "-o", "out"]));
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("no numbered pictures"));
}

#[test]
fn a_watched_folder_has_looks_of_its_own_and_takes_no_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let dropped = folder.path().join("in");
    std::fs::create_dir_all(dropped.join("shots")).unwrap();
    std::fs::copy(clip().0, dropped.join("clip.mp4")).unwrap();
    ffmpeg("-i {} -frames:v 1 {}", &[&clip().0, &dropped.join("photo.png")]);
    ffmpeg("-i {} -frames:v 3 {}", &[&clip().0, &dropped.join("shots/img_%04d.png")]);
    std::fs::write(dropped.join("meshreel.toml"), "style = [\"mesh\", \"skeleton\"]\nviews = \"side\"\n").unwrap();
    let config =
        "state = \"state\"\n[jobs]\nsettle = 0.0\n[[watch]]\npath = \"in\"\noutput = \"out\"\nrecursive = true\n";
    std::fs::write(folder.path().join("c.toml"), config).unwrap();
    let output = run(meshreel(folder.path()).args(["run", "--once", "--config", "c.toml"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = folder.path().join("out");
    assert_eq!(names(&out), ["clip.motion.jsonl", "clip.mp4", "clip.report.json"]);
    let picture = Picture::of(&out.join("clip.mp4"), FRAME);
    assert_eq!(picture.width, SIZE[0] + 368);
    assert!(off(picture.at(5.0, 490.0), [38, 41, 46]) < 6, "{:?}", picture.at(5.0, 490.0));
}

#[test]
fn small_animated_pictures_are_made_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let output = render(folder.path(), &["--also", "gif,webp"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = folder.path().join("out");
    assert_eq!(names(&out), ["clip.gif", "clip.motion.jsonl", "clip.mp4", "clip.report.json", "clip.webp"]);
    let entries = "-count_packets -select_streams v -show_entries stream=width,height,nb_read_packets -of csv=p=0";
    // 0.6 seconds at 15 a second.
    assert_eq!(ffprobe(entries, &out.join("clip.gif")).trim(), "480,269,9");
    let colours = |picture: &Picture| picture.at(450.0, 260.0);
    let gif = Picture::of(&out.join("clip.gif"), 4);
    assert!(colours(&gif) != [0; 3]);
    // What is as in the picture before is not written again: graphic control extensions with a transparent colour.
    let bytes = std::fs::read(out.join("clip.gif")).unwrap();
    assert!(bytes.windows(4).any(|four| four[..3] == [0x21, 0xf9, 4] && four[3] & 1 == 1));
    let webp = std::fs::read(out.join("clip.webp")).unwrap();
    assert!(webp.starts_with(b"RIFF") && webp[8..12] == *b"WEBP");
    assert_eq!(webp.windows(4).filter(|four| four == b"ANMF").count(), 9);
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("clip.report.json")).unwrap()).unwrap();
    assert_eq!(report["exports"], serde_json::json!(["clip.gif", "clip.webp"]));
    // They are of the earlier look, and go with it.
    let output = render(folder.path(), &["--style", "mask"]);
    assert!(text(&output.stderr).contains("are removed: clip.gif, clip.webp"), "{}", text(&output.stderr));
    assert_eq!(names(&out), ["clip.motion.jsonl", "clip.mp4", "clip.report.json"]);
}
