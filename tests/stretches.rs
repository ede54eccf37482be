//! A clip in stretches: a job goes on near the place where it was, and works on several stretches at a time, with the same results.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{ffmpeg, ffprobe, sample};
use meshreel::config::Config;
use meshreel::control::Control;
use meshreel::executor::{Executor as _, Local};
use meshreel::job::{Event, Failure, JobContext, JobSpec, OutputNames, Phase, Report, Share};
use meshreel::telemetry::{Stage, Timings};

/// Frames of the clips, two a second: 52 seconds, which are three stretches, of 40, 40 and 24 frames.
const FRAMES: u64 = 104;
/// Frames that a stretch observes of the next one at least, those that it may observe beyond them, and those decoded ahead.
const SHARED: u64 = 4;
const MORE: u64 = 10;
const AHEAD: u64 = 3;
const ENCODED: &str = "-r 2 -frames:v 104 -an -c:v libx264 -preset ultrafast -bf 2 -g 10 -threads 1";

struct Place {
    folder: tempfile::TempDir,
    clip: PathBuf,
}

/// What is left of a finished job: its video and motion, and the report.
type Results = (Vec<u8>, Vec<u8>, Report);

impl Place {
    fn new(input: &str, paths: &[&Path]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("clip.mp4");
        let paths: Vec<&Path> = paths.iter().copied().chain([&*clip]).collect();
        ffmpeg(&format!("{input} {ENCODED} {{}}"), &paths);
        Self { folder, clip }
    }

    /// Works on the clip until so many frames are through a pass, or to the end; with a checkpoint of this name. `stretches`: at a
    /// time.
    fn work(&self, checkpoint: &str, stretches: usize, until: Option<(Phase, u64)>) -> Result<Results, Failure> {
        let (executor, spec) = self.begin(stretches);
        let stop = AtomicBool::new(false);
        let timings = Arc::new(Timings::new(0, executor.live().clone()));
        let context = JobContext {
            priority: 0,
            checkpoint: Some(&self.folder.path().join(checkpoint)),
            share: Share::All,
            timings,
            control: &|| if stop.load(Ordering::Acquire) { Control::Stop } else { Control::Go },
            events: &|event| {
                if let (Event::Progress { phase, done, .. }, Some((last, frames))) = (event, until)
                    && phase == last
                    && done >= frames
                {
                    stop.store(true, Ordering::Release);
                }
            },
        };
        let report = executor.work(&spec, &context)?;
        Ok(results(&spec, report))
    }

    fn begin(&self, stretches: usize) -> (Local, JobSpec) {
        let mut config = Config::default();
        config.models.folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        config.jobs.stretches = stretches;
        let executor = Local::start(&config).unwrap();
        let out = self.folder.path().join("out");
        let outputs = OutputNames::for_sources(std::slice::from_ref(&self.clip), &out, "mp4").remove(0);
        let settings = config.job_settings();
        (executor, JobSpec { source: self.clip.clone(), outputs, overwrite: true, settings })
    }

    /// Three work on the clip. The first one waits in both passes until another has come as far as these frames. Gives the results, and
    /// how many frames of each pass the other two have decoded.
    fn shared(&self, checkpoint: &str, until: [u64; 2]) -> (Results, u64) {
        let (executor, spec) = self.begin(1);
        let checkpoint = self.folder.path().join(checkpoint);
        let reached = [(); 2].map(|()| AtomicBool::new(false));
        let is_drawing = AtomicBool::new(false);
        let place = |phase| usize::from(phase == Phase::Draw);
        let times = || Arc::new(Timings::new(0, executor.live().clone()));
        let help = |number| {
            let timings = times();
            let context = JobContext {
                priority: 0,
                checkpoint: Some(&checkpoint),
                share: Share::Helper { number, of: 2 },
                timings: timings.clone(),
                control: &|| Control::Go,
                events: &|event| {
                    if let Event::Progress { phase, done, .. } = event
                        && done >= until[place(phase)]
                    {
                        reached[place(phase)].store(true, Ordering::Release);
                    }
                },
            };
            // Until the first one has begun there is nothing to help with.
            let helped = loop {
                match executor.help(&spec, &context) {
                    Ok(false) => std::thread::yield_now(),
                    other => break other,
                }
            };
            // Nobody waits for somebody who has failed.
            reached.iter().for_each(|reached| reached.store(true, Ordering::Release));
            helped.unwrap();
            timings.summary(Stage::Decode).count
        };
        std::thread::scope(|scope| {
            let others = [0, 1].map(|number| scope.spawn(move || help(number)));
            let context = JobContext {
                priority: 0,
                checkpoint: Some(&checkpoint),
                share: Share::First,
                timings: times(),
                control: &|| {
                    let pass = usize::from(is_drawing.load(Ordering::Acquire));
                    if reached[pass].load(Ordering::Acquire) { Control::Go } else { Control::Hold }
                },
                events: &|event| {
                    if matches!(event, Event::Progress { phase: Phase::Draw, .. }) {
                        is_drawing.store(true, Ordering::Release);
                    }
                },
            };
            let report = executor.work(&spec, &context).unwrap();
            let decoded = others.map(|other| other.join().unwrap()).iter().sum();
            (results(&spec, report), decoded)
        })
    }

    fn stopped(&self, checkpoint: &str, stretches: usize, at: (Phase, u64)) {
        let failure = self.work(checkpoint, stretches, Some(at)).unwrap_err();
        assert_eq!(failure.reason, "stopped");
    }

    fn copy(&self, from: &str, to: &str) {
        let [from, to] = [from, to].map(|name| self.folder.path().join(name));
        assert!(std::process::Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
    }
}

fn results(spec: &JobSpec, report: Report) -> Results {
    let read = |path: PathBuf| std::fs::read(path).unwrap();
    (read(spec.outputs.video()), read(spec.outputs.motion()), report)
}

fn decoded(report: &Report) -> u64 {
    report.stages[&Stage::Decode].count
}

fn assert_same(one: &Results, other: &Results) {
    assert_eq!((&one.2.lost, one.2.frames), (&other.2.lost, other.2.frames));
    assert!(one.1 == other.1, "the motion is another");
    assert!(one.0 == other.0, "the video is another");
}

#[test]
fn what_was_stopped_goes_on_near_the_place_however_many_stretches_are_at_work() {
    let place = Place::new("-i {} -vf setpts=N/2/TB,scale=480:-2", &[&sample()]);
    let undisturbed = place.work("whole", 1, None).unwrap();
    assert_eq!(undisturbed.2.frames, FRAMES);
    let shared = 2 * SHARED..=2 * (SHARED + MORE + AHEAD);
    assert!(shared.contains(&(decoded(&undisturbed.2) - 2 * FRAMES)), "{}", decoded(&undisturbed.2));
    assert!(undisturbed.2.people > 0 && undisturbed.2.lost.is_empty(), "{:?}", undisturbed.2);
    assert_same(&undisturbed, &place.work("two", 2, None).unwrap());

    // Three share it: the others observe a stretch and draw one before the first goes on with either.
    let (shared, decoded_by_others) = place.shared("shared", [20, 20]);
    assert_same(&undisturbed, &shared);
    assert!(decoded_by_others >= 40, "{decoded_by_others}");

    // Stopped while it observes the last stretch: nothing of the others is decoded again.
    place.stopped("a", 1, (Phase::Observe, 90));
    let went_on = place.work("a", 4, None).unwrap();
    assert_same(&undisturbed, &went_on);
    assert!(decoded(&went_on.2) <= FRAMES + 25, "{}", decoded(&went_on.2));

    // Stopped in the middle of all of them, and later when nothing is drawn yet; then several at a time.
    place.stopped("b", 4, (Phase::Observe, 60));
    place.stopped("b", 1, (Phase::Draw, 1));
    place.copy("b", "c");
    let at_a_time = place.work("b", 3, None).unwrap();
    assert_same(&undisturbed, &at_a_time);
    // Stopped in the middle of three: what is whole is kept, and the rest is drawn by one.
    place.stopped("c", 3, (Phase::Draw, 75));
    let went_on = place.work("c", 1, None).unwrap();
    assert_same(&undisturbed, &went_on);
    assert!(decoded(&went_on.2) <= 85, "{}", decoded(&went_on.2));
}

#[test]
fn damage_that_shows_only_when_it_is_decoded_ends_the_stretches() {
    let place = Place::new("-i {} -vf setpts=N/2/TB,scale=240:-2", &[&sample()]);
    // All but the beginnings of the packets of frames 65 to 69, in the second stretch.
    let packets = ffprobe("-select_streams v -show_entries packet=pos,size -of csv=p=0", &place.clip);
    let mut bytes = std::fs::read(&place.clip).unwrap();
    for line in packets.lines().skip(65).take(5) {
        let mut numbers = line.split(',').map(|number| number.trim().parse::<usize>().unwrap());
        let (size, at) = (numbers.next().unwrap(), numbers.next().unwrap());
        bytes[at + 8..at + size].fill(0x5a);
    }
    std::fs::write(&place.clip, bytes).unwrap();
    let undisturbed = place.work("whole", 1, None).unwrap();
    assert!(!undisturbed.2.lost.is_empty(), "{:?}", undisturbed.2);
    // The first stretch, the second one up to the damage, all of the clip from its beginning, and the drawing.
    let frames = 40 + SHARED + 20..40 + SHARED + MORE + AHEAD + 35;
    let before_damage = decoded(&undisturbed.2) - 2 * FRAMES;
    assert!(frames.contains(&before_damage), "{before_damage}");
    // What the decoder puts in the place of what is damaged is not always the same: the videos are not compared.
    let assert_same = |other: &Results| {
        assert_eq!(undisturbed.2.lost, other.2.lost);
        assert!(undisturbed.1 == other.1, "the motion is another");
    };
    // The third stretch has begun when the second one meets the damage, and is dropped.
    assert_same(&place.work("four", 4, None).unwrap());
    // Goes on before the damage, meets it, and goes back to the beginning; and after it.
    place.stopped("a", 1, (Phase::Observe, 55));
    assert_same(&place.work("a", 1, None).unwrap());
    place.stopped("b", 4, (Phase::Observe, 85));
    assert_same(&place.work("b", 2, None).unwrap());
}
