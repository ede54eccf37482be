//! Broken and hostile files: whatever is dropped, the service goes on, and says of each file what is wrong with it.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use common::{ffmpeg, meshreel, names, run, sample};
use serde_json::Value;

/// Containers and codecs of the sound files that the broken ones are made of.
const SEEDS: [(&str, &str); 7] = [
    ("mp4", "-c:v libx264 -preset ultrafast -c:a aac"),
    ("mov", "-c:v prores_ks -c:a pcm_s16le"),
    ("mkv", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"),
    ("avi", "-c:v mpeg4 -c:a libmp3lame"),
    ("ts", "-c:v mpeg2video -c:a mp2"),
    ("webm", "-c:v libvpx -deadline realtime -cpu-used 8 -an"),
    ("flv", "-c:v flv1 -an"),
];

/// Numbers that look random, and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

/// Writes broken files made of `seed` into `folder`; gives how many.
fn break_file(seed: &[u8], name: &str, folder: &Path, random: &mut Random) -> usize {
    let mut made = 0;
    let mut put = |kind: &str, bytes: Vec<u8>| {
        std::fs::write(folder.join(format!("{kind}{made}.{name}")), bytes).unwrap();
        made += 1;
    };
    for part in 1..=9 {
        put("cut", seed[..seed.len() * part / 10].to_vec());
    }
    // Near the beginning, where headers are, and anywhere.
    for flips in [1, 1, 1, 2, 4, 8, 16, 64, 256] {
        for end in [seed.len().min(600), seed.len()] {
            let mut bytes = seed.to_vec();
            for _ in 0..flips {
                let at = random.below(end);
                bytes[at] ^= 1 << random.below(8);
            }
            put("flip", bytes);
        }
    }
    for _ in 0..3 {
        let (from, length) = (random.below(seed.len()), 1 + random.below(seed.len() / 4));
        let mut bytes = seed.to_vec();
        let end = (from + length).min(bytes.len());
        bytes[from..end].fill(0);
        put("zero", bytes);
        let mut bytes = seed.to_vec();
        bytes.drain(from..end);
        put("hole", bytes);
        let mut bytes = seed.to_vec();
        bytes.extend_from_within(from..end);
        put("tail", bytes);
    }
    made
}

/// Files that would lead elsewhere, or pretend to be what they are not.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |header: &str, bytes: usize| [header.as_bytes(), b"FRAME\n", &vec![128; bytes]].concat();
    vec![
        ("list.mp4", b"ffconcat version 1.0\nfile '/etc/hostname'\n".to_vec()),
        ("hls.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n".to_vec()),
        ("web.mov", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n".to_vec()),
        ("dash.mp4", b"<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"><Period/></MPD>".to_vec()),
        ("session.mp4", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n".to_vec()),
        ("script.mkv", b"#!/bin/sh\ntouch /tmp/meshreel-was-here\n".to_vec()),
        ("page.mp4", b"<html><body>404 not found</body></html>".to_vec()),
        ("zeros.mp4", vec![0; 100_000]),
        ("huge.avi", frame("YUV4MPEG2 W1000000 H1000000 F25:1\n", 64)),
        ("flat.avi", frame("YUV4MPEG2 W1 H1 F25:1\n", 3)),
        ("fast.avi", frame("YUV4MPEG2 W16 H16 F2000000000:1\n", 384)),
        ("never.avi", frame("YUV4MPEG2 W16 H16 F0:0\n", 384)),
        ("-o.mp4", vec![7; 300]),
        ("a\u{1b}[2J\nb.mp4", vec![7; 300]),
    ]
}

#[test]
fn no_file_stops_the_service_and_each_gets_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("in")).unwrap();
    let config = "state = \"state\"\nmodel = \"lite\"\nworkers = 2\n[encode]\npreset = \"ultrafast\"\n\
                  [jobs]\nsettle = 0\nattempts = 1\n[[watch]]\npath = \"in\"\noutput = \"out\"\n";
    std::fs::write(at("config.toml"), config).unwrap();
    let (mut random, mut count) = (Random(1), 0);
    for (container, codecs) in SEEDS {
        let seed = at(&format!("seed.{container}"));
        let arguments = format!("-ss 3 -i {{}} -frames:v 6 -t 0.4 -vf scale=96:54 {codecs} {{}}");
        ffmpeg(&arguments, &[&sample(), &seed]);
        count += break_file(&std::fs::read(&seed).unwrap(), container, &at("in"), &mut random);
    }
    for (name, bytes) in hostile() {
        std::fs::write(at("in").join(name), bytes).unwrap();
        count += 1;
    }
    assert!(count >= 200, "{count}");

    // Whoever hangs is ended, and fails the test.
    let mut command = std::process::Command::new("timeout");
    let program = meshreel(folder.path());
    command.args(["-s", "KILL", "400"]).arg(program.get_program());
    command.args(["run", "--once", "--headless", "--config", "config.toml"]).current_dir(folder.path());
    command.env("HOME", folder.path()).env_remove("XDG_RUNTIME_DIR");
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked") && !said.contains("internal error"), "{said}");

    let status = run(meshreel(folder.path()).args(["status", "--json", "--limit", "1000", "--config", "config.toml"]));
    let rows: Vec<Value> = status.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        let (state, error) = (row["state"].as_str().unwrap(), row["error"].as_str());
        *states.entry(state).or_default() += 1;
        assert!(state == "done" || (state == "failed" && error.is_some_and(|error| error.len() > 10)), "{row}");
    }
    // Copies of the same bytes are taken once; every other file is in the list.
    let missing = names(&at("in")).into_iter().filter(|name| {
        let is_same = said.contains(&format!("{name}: not taken: the same video was processed before"));
        !is_same && !rows.iter().any(|row| row["source"].as_str().unwrap().ends_with(name))
    });
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0], "{said}");
    assert!(states["done"] > 50 && states["failed"] > 30, "{states:?}");
    let refused = |name: &str| {
        let row = rows.iter().find(|row| row["source"].as_str().unwrap().ends_with(name)).unwrap();
        row["state"].as_str() == Some("failed")
    };
    for name in ["list.mp4", "hls.mp4", "web.mov", "dash.mp4", "session.mp4", "script.mkv", "huge.avi"] {
        assert!(refused(name), "{name}");
    }
    // Three files for each that is done, none half-written, none elsewhere.
    let out = names(&at("out"));
    assert!(out.len() == 3 * states["done"] && out.iter().all(|name| !name.starts_with('.')), "{out:?}");
    assert_eq!(names(&at("state/jobs")), [""; 0]);
    assert!(!Path::new("/tmp/meshreel-was-here").exists());
}
