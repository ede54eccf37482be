//! Odd media through the whole program: codecs, depths, sampling, tags, rotation, uneven time, side streams, damage.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::path::{Path, PathBuf};

use common::{ffmpeg, ffprobe, meshreel, motion, run, stream_md5};
use serde_json::Value;

const LOSSLESS: &str = "[encode]\ncodec = \"ffv1\"\ncontainer = \"mkv\"\n";

/// Makes a file of moving test patterns.
fn make(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    let path = folder.join(name);
    ffmpeg(&format!("-f lavfi -i testsrc2=s=160x120:r=25:d=0.6 {arguments} {{}}"), &[&path]);
    path
}

/// Processes files into `folder/out` and gives what was said.
fn process(folder: &Path, clips: &[&Path], configuration: &str, code: i32) -> String {
    std::fs::write(folder.join("c.toml"), configuration).unwrap();
    let output = run(meshreel(folder).args(["process", "--config", "c.toml", "-o", "out", "--overwrite"]).args(clips));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

fn report(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(format!("out/{name}.report.json"))).unwrap()).unwrap()
}

/// Seconds of every frame.
fn times(path: &Path) -> Vec<f64> {
    let text = ffprobe("-select_streams v -show_entries frame=pts_time -of default=nw=1:nk=1", path);
    text.lines().map(|line| line.trim_end_matches(['|', ',']).parse().unwrap()).collect()
}

fn video_entries(path: &Path, entries: &str) -> String {
    ffprobe(&format!("-select_streams v:0 -show_entries stream={entries} -of csv=p=0"), path).trim().to_owned()
}

/// How near the second video is to the first where it is furthest from it, decibels.
fn psnr(a: &Path, b: &Path) -> f64 {
    let frames = ffmpeg("-i {} -i {} -lavfi psnr=stats_file=- -f null -", &[a, b]);
    let value = |line: &str| line.split("psnr_avg:").nth(1)?.split(' ').next()?.parse::<f64>().ok();
    frames.lines().filter_map(value).fold(f64::INFINITY, f64::min)
}

#[test]
fn every_codec_depth_and_sampling_comes_out_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let clips = [
        ("h264.mp4", "-c:v libx264 -pix_fmt yuv420p"),
        ("h264-422-10.mp4", "-c:v libx264 -pix_fmt yuv422p10le"),
        ("hevc-10.mp4", "-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le"),
        ("vp9-odd.webm", "-vf scale=161:121 -c:v libvpx-vp9 -pix_fmt yuv420p"),
        ("vp9-444.webm", "-c:v libvpx-vp9 -pix_fmt yuv444p"),
        ("av1.mkv", "-c:v libaom-av1 -cpu-used 8 -pix_fmt yuv420p"),
        ("mpeg4.avi", "-c:v mpeg4 -q:v 3"),
        ("prores.mov", "-c:v prores_ks -pix_fmt yuv422p10le"),
        ("prores-444.mov", "-c:v prores_ks -profile:v 4 -pix_fmt yuv444p10le"),
        ("bt601-full.mp4", "-c:v libx264 -pix_fmt yuv420p -colorspace smpte170m -color_range pc"),
        (
            "bt2020-10.mp4",
            "-c:v libx264 -pix_fmt yuv420p10le -colorspace bt2020nc -color_primaries bt2020 -color_trc smpte2084",
        ),
    ];
    let paths: Vec<PathBuf> = clips.iter().map(|(name, arguments)| make(folder.path(), name, arguments)).collect();
    process(folder.path(), &paths.iter().map(PathBuf::as_path).collect::<Vec<_>>(), LOSSLESS, 0);
    for source in &paths {
        let name = source.file_stem().unwrap().to_string_lossy().into_owned();
        let result = folder.path().join(format!("out/{name}.mkv"));
        assert_eq!(stream_md5(&result, "v", false), stream_md5(source, "v", false), "{name}");
        let entries = "width,height,pix_fmt,color_space,color_transfer,color_primaries";
        // Full range has a name of its own for some formats, or is a tag.
        let told = |path| video_entries(path, entries).replace("yuvj", "yuv");
        assert_eq!(told(&result), told(source), "{name}");
        let range = |path| video_entries(path, "color_range").replace("unknown", "tv");
        assert_eq!(range(&result), range(source), "{name}");
        assert_eq!(motion(&folder.path().join(format!("out/{name}.motion.jsonl"))).len(), 16, "{name}");
        assert_eq!(report(folder.path(), &name)["lost"], serde_json::json!([]), "{name}");
    }
}

#[test]
fn every_encoder_gives_the_quality_that_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    // A frame rate that MPEG-4 cannot name in the source's time base.
    let source = make(folder.path(), "a.mp4", "-c:v libx264 -crf 5 -pix_fmt yuv420p -video_track_timescale 90000");
    for (codec, container, least) in [
        ("libx265", "mp4", 35.0),
        ("libsvtav1", "mkv", 35.0),
        ("libvpx-vp9", "webm", 35.0),
        ("libaom-av1", "mkv", 35.0),
        ("libx264rgb", "mkv", 35.0),
        ("mpeg4", "avi", 30.0),
        ("mjpeg", "mov", 30.0),
        ("prores_ks", "mov", 38.0),
    ] {
        let configuration =
            format!("[encode]\ncodec = \"{codec}\"\ncontainer = \"{container}\"\ncrf = 15\npreset = \"ultrafast\"\n");
        process(folder.path(), &[&source], &configuration, 0);
        let result = folder.path().join(format!("out/a.{container}"));
        assert_eq!(times(&result).len(), 15, "{codec}");
        let found = psnr(&source, &result);
        assert!(found > least, "{codec}: {found} dB");
    }
}

#[test]
fn an_encoder_or_container_that_will_not_do_is_told_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(folder.path(), "a.mp4", "-c:v libx264 -pix_fmt yuv420p");
    for (settings, mend) in [
        ("codec = \"ffv1\"", "'mp4' files do not take this video by 'ffv1'; set `encode.container`"),
        ("codec = \"h264_vaapi\"", "choose another, such as libx264 or h264_nvenc"),
        ("preset = \"turbo\"", "preset turbo"),
        ("codec = \"libx256\"", "`ffmpeg -encoders` lists"),
        ("container = \"webm\"", "'webm' files do not take this video by 'libx264'"),
        ("container = \"ts\"\ncodec = \"libsvtav1\"", "'ts' files do not take this video by 'libsvtav1'"),
    ] {
        let configuration = format!("[encode]\n{settings}\n");
        let said = process(folder.path(), &[&source], &configuration, 1);
        assert!(said.contains(mend), "{settings}: {said}");
        assert_eq!(std::fs::read_dir(folder.path().join("out")).unwrap().count(), 0, "{settings}");
        let doctor = run(meshreel(folder.path()).args(["doctor", "--config", "c.toml"]));
        let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(told.contains(mend), "{settings}: {told}");
    }
    for container in ["mp5", "", "../x", "png"] {
        let said = process(folder.path(), &[&source], &format!("[encode]\ncontainer = \"{container}\"\n"), 2);
        assert!(
            said.contains("c.toml:2: container is") && said.contains("one of mp4, m4v, mov, mkv,"),
            "{container}: {said}"
        );
    }
}

#[test]
fn what_the_encoder_does_not_take_is_converted_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let twelve = make(folder.path(), "twelve.mkv", "-c:v ffv1 -pix_fmt yuv444p12le");
    let rgb = make(folder.path(), "rgb.mov", "-c:v png -pix_fmt rgb24");
    let said = process(folder.path(), &[&twelve, &rgb], "", 0);
    assert!(said.contains("libx264 does not take yuv444p12le; frames are converted to yuv444p10le"), "{said}");
    assert!(said.contains("converted from rgb24"), "{said}");
    assert_eq!(video_entries(&folder.path().join("out/twelve.mp4"), "pix_fmt"), "yuv444p10le");
    // A converted picture still is the picture.
    for (name, source) in [("twelve", &twelve), ("rgb", &rgb)] {
        let result = folder.path().join(format!("out/{name}.mp4"));
        let raw = |path: &Path| {
            let raw = folder.path().join("raw");
            ffmpeg(
                "-i {} -vf scale=160:120:out_range=tv:out_color_matrix=bt709 -f rawvideo -pix_fmt yuv444p {}",
                &[path, &raw],
            );
            std::fs::read(raw).unwrap()
        };
        let (before, after) = (raw(source), raw(&result));
        assert_eq!(before.len(), after.len());
        let off: u64 = before.iter().zip(&after).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(off < 4 * before.len() as u64, "{name}: {off} over {} samples", before.len());
    }
}

#[test]
fn uneven_time_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let pick = "-vf select=not(mod(n\\,4))+not(mod(n\\,7)) -fps_mode vfr";
    let clip = make(folder.path(), "vfr.mp4", &format!("{pick} -c:v libx264 -pix_fmt yuv420p"));
    process(folder.path(), &[&clip], "", 0);
    let (before, after) = (times(&clip), times(&folder.path().join("out/vfr.mp4")));
    assert!(before.windows(3).any(|w| (w[2] - w[1]) > 1.5 * (w[1] - w[0])), "the clip is uneven: {before:?}");
    assert_eq!(before, after);
    let rows = motion(&folder.path().join("out/vfr.motion.jsonl"));
    let told: Vec<f64> = rows[1..].iter().map(|row| row["time"].as_f64().unwrap()).collect();
    assert!(told.iter().zip(&before).all(|(a, b)| (a - (b - before[0])).abs() < 1e-4), "{told:?} {before:?}");
}

#[test]
fn rotation_is_kept_and_the_motion_is_in_the_turned_picture() {
    let folder = tempfile::tempdir().unwrap();
    let clip = make(folder.path(), "turned.mp4", "-c:v libx264 -pix_fmt yuv420p");
    // As a phone held upright writes it: the matrix in the track header (ISO/IEC 14496-12, 8.3.2) turns a quarter.
    let mut bytes = std::fs::read(&clip).unwrap();
    let header = bytes.windows(4).position(|w| w == b"tkhd").unwrap() + 4;
    let one: i32 = 1 << 16;
    for (i, value) in [0, one, 0, -one, 0, 0, 120 * one, 0, 1 << 30].into_iter().enumerate() {
        bytes[header + 40 + 4 * i..][..4].copy_from_slice(&value.to_be_bytes());
    }
    std::fs::write(&clip, bytes).unwrap();
    process(folder.path(), &[&clip], "", 0);
    let result = folder.path().join("out/turned.mp4");
    let rotation = |path| ffprobe("-select_streams v -show_entries stream_side_data=rotation -of csv=p=0", path);
    assert_eq!(rotation(&clip).trim(), "-90");
    assert_eq!(rotation(&result), rotation(&clip));
    let rows = motion(&folder.path().join("out/turned.motion.jsonl"));
    assert_eq!((&rows[0]["video"]["width"], &rows[0]["video"]["height"]), (&120.into(), &160.into()));
}

#[test]
fn interlaced_video_stays_flagged() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "-vf format=yuv420p,setfield=tff -c:v mpeg2video -flags +ildct+ilme -q:v 3";
    let clip = make(folder.path(), "fields.ts", arguments);
    let said = process(folder.path(), &[&clip], "", 0);
    assert!(said.contains("interlaced"), "{said}");
    let fields = ffprobe(
        "-select_streams v -show_entries frame=interlaced_frame,top_field_first -of csv=p=0",
        &folder.path().join("out/fields.mp4"),
    );
    assert!(
        fields.lines().filter(|line| !line.is_empty()).count() >= 14
            && fields.lines().filter(|line| !line.is_empty()).all(|line| line.starts_with("1,1")),
        "{fields}"
    );
}

#[test]
fn side_streams_are_copied_or_converted() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words.srt");
    std::fs::write(&words, "1\n00:00:00,200 --> 00:00:01,000\nready\n\n2\n00:00:01,200 --> 00:00:02,000\nset, go\n")
        .unwrap();
    let clip = folder.path().join("many.mkv");
    // Silence, then a tone from 1 s on: where it begins tells whether sound and picture are in step.
    ffmpeg(
        "-f lavfi -i testsrc2=s=160x120:r=25:d=2.4 -f lavfi -i sine=f=440:d=2.4 \
         -f lavfi -i aevalsrc=exprs=gt(t\\,1)*sin(2765*t)|gt(t\\,1)*sin(2765*t):s=44100:d=2.4 -i {} \
         -map 0 -map 1 -map 2 -map 3 -c:v libx264 -pix_fmt yuv420p -c:a:0 aac -c:a:1 pcm_s16le -c:s ass \
         -metadata:s:a:1 language=deu -metadata title=Heat {}",
        &[&words, &clip],
    );
    let said = process(folder.path(), &[&clip], "", 0);
    assert!(said.contains("sound 2 (pcm_s16le, deu) was converted to aac"), "{said}");
    assert!(said.contains("subtitles 1 (ass) was converted to mov_text"), "{said}");
    let result = folder.path().join("out/many.mp4");
    let streams = ffprobe("-show_entries stream=codec_name -of csv=p=0", &result);
    assert_eq!(streams.split_whitespace().collect::<Vec<_>>(), ["h264", "aac", "aac", "mov_text"]);
    assert_eq!(stream_md5(&result, "a:0", true), stream_md5(&clip, "a:0", true));
    let tags = ffprobe("-select_streams a:1 -show_entries stream_tags=language:format_tags=title -of csv=p=0", &result);
    assert!(tags.contains("deu") && tags.contains("Heat"), "{tags}");

    let raw = folder.path().join("raw");
    ffmpeg("-i {} -map 0:a:1 -f s16le -ac 1 -ar 44100 {}", &[&result, &raw]);
    let bytes = std::fs::read(raw).unwrap();
    let samples: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b)).collect();
    let begin = samples.iter().position(|s| s.unsigned_abs() > 3000).unwrap() as f64 / 44100.0;
    // Matroska moves everything so that the first sound's lead-in is not before zero: what counts is the picture's begin.
    let picture = times(&result)[0];
    assert!((begin - picture - 1.0).abs() < 0.01, "the tone begins at {begin} s, the picture at {picture} s");
    assert!((samples.len() as f64 / 44100.0 - 2.4).abs() < 0.06, "{} samples", samples.len());
    let text = ffmpeg("-i {} -map 0:s -f srt -", &[&result]);
    assert!(text.contains("ready") && text.contains("set, go"), "{text}");
    let shown = |path: &Path| -> Vec<f64> {
        let stamps = ffprobe("-select_streams s -show_entries packet=pts_time -of default=nw=1:nk=1", path);
        stamps.lines().filter_map(|line| line.parse().ok()).collect()
    };
    let (before, after) = (shown(&clip), shown(&result));
    // MP4 has empty texts in between.
    let near = |t: &f64| after.iter().any(|u| (t - u).abs() < 0.003);
    assert!(before.len() == 2 && before.iter().all(near), "{before:?} {after:?}");

    for (container, kept, warning) in [
        ("flv", "h264 aac", "sound 2 (pcm_s16le, deu) was left out: 'flv' files"),
        ("ts", "h264 aac mp2", "subtitles 1 (ass) was left out: 'mpegts' files"),
        ("avi", "h264 pcm_s16le pcm_s16le", "subtitles 1 (ass) was left out: 'avi' files"),
    ] {
        let said = process(folder.path(), &[&clip], &format!("[encode]\ncontainer = \"{container}\"\n"), 0);
        assert!(said.contains(warning), "{container}: {said}");
        let result = folder.path().join(format!("out/many.{container}"));
        let streams = ffprobe("-show_entries stream=codec_name -of default=nw=1:nk=1", &result);
        let mut streams: Vec<_> = streams.split_whitespace().collect();
        // Transport streams list theirs once more by programme.
        streams.truncate(kept.split(' ').count());
        assert_eq!(streams.join(" "), kept, "{container}");
        if container != "avi" {
            assert_eq!(stream_md5(&result, "a:0", false), stream_md5(&clip, "a:0", false), "{container}");
        }
    }
}

#[test]
fn sound_alone_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("song.wav");
    ffmpeg("-f lavfi -i sine=d=0.3 {}", &[&clip]);
    let said = process(folder.path(), &[&clip], "", 1);
    assert!(said.contains("song.wav: it has no video stream"), "{said}");
}

#[test]
fn of_a_damaged_file_comes_what_can_be_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.mp4");
    ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=4 -c:v libx264 -g 25 -movflags +faststart {}", &[&whole]);
    let bytes = std::fs::read(&whole).unwrap();
    let cut = folder.path().join("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let scratched = folder.path().join("scratched.mp4");
    let mut damaged = bytes.clone();
    let from = damaged.len() / 2;
    // Several whole packets: within one, FFmpeg 5 does not always tell that it concealed errors.
    damaged[from..from + 4000].fill(0x5a);
    std::fs::write(&scratched, damaged).unwrap();
    process(folder.path(), &[&cut, &scratched], "", 0);

    let short = report(folder.path(), "cut");
    let frames = short["frames"].as_u64().unwrap();
    assert!((30..90).contains(&frames), "{short}");
    assert!(short["lost"].to_string().contains("missing") || short["lost"].to_string().contains("early"), "{short}");
    assert_eq!(times(&folder.path().join("out/cut.mp4")).len() as u64, frames);
    assert_eq!(motion(&folder.path().join("out/cut.motion.jsonl")).len() as u64, frames + 1);
    let scratched = report(folder.path(), "scratched");
    assert!(scratched["frames"].as_u64().unwrap() >= 90, "{scratched}");
    assert!(!scratched["lost"].as_array().unwrap().is_empty(), "{scratched}");
}
