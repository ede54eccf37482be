//! `meshreel run`: what is dropped is processed once, whatever happens in between.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{ffmpeg, meshreel, names, run, sample, stream_md5};
use serde_json::Value;

/// A service that runs longer in one test hangs.
const LONGEST: Duration = Duration::from_secs(180);

/// A folder with a configuration, a watched folder `in` and a clip of one second beside it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("in")).unwrap();
        let text = format!(
            "state = \"state\"\nmodel = \"lite\"\nworkers = 2\n[encode]\npreset = \"ultrafast\"\n\
             [jobs]\nsettle = 0.1\n[[watch]]\npath = \"in\"\noutput = \"out\"\n{more}"
        );
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds a line to a section of the configuration.
    fn set(&self, section: &str, line: &str) {
        let text = std::fs::read_to_string(self.at("config.toml")).unwrap();
        assert!(text.contains(section));
        std::fs::write(self.at("config.toml"), text.replacen(section, &format!("{section}\n{line}"), 1)).unwrap();
    }

    /// The results of `a.mp4` are those of a run that nobody disturbed.
    fn assert_as_if_nothing_had_happened(&self) {
        let output = run(self.command(&["process", "-o", "undisturbed"]).arg(self.at("in/a.mp4")));
        assert!(output.status.success());
        let read = |folder: &str| std::fs::read(self.at(folder).join("a.motion.jsonl")).unwrap();
        assert!(read("out") == read("undisturbed"), "the motion differs");
        let pictures = |folder: &str| stream_md5(&self.at(folder).join("a.mp4"), "v:0", false);
        assert_eq!(pictures("out"), pictures("undisturbed"));
    }

    fn clip(&self, start: f64) -> PathBuf {
        self.clip_of(start, 1)
    }

    fn clip_of(&self, start: f64, seconds: u32) -> PathBuf {
        let path = self.at(&format!("clip{start}.mp4"));
        let arguments = "-vf scale=640:-2 -an -c:v libx264 -preset ultrafast {}";
        ffmpeg(&format!("-ss {start} -i {{}} -t {seconds} {arguments}"), &[&sample(), &path]);
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = meshreel(self.folder.path());
        command.args(arguments).args(["--config", "config.toml"]);
        command
    }

    /// Gives an order; the exit code and what was said.
    fn order(&self, arguments: &[&str]) -> (i32, String) {
        let output = run(&mut self.command(arguments));
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// Runs once; gives the exit code and what was said.
    fn once(&self) -> (i32, String) {
        let output = run(&mut self.command(&["run", "--once"]));
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn service(&self) -> Service {
        self.service_with(|_| ())
    }

    fn service_with(&self, change: impl FnOnce(&mut Command)) -> Service {
        let mut command = self.command(&["run", "-v"]);
        change(&mut command);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let is_over = Arc::new(AtomicBool::new(false));
        // One that never says what is waited for fails the test, and does not hang it.
        let (watched, id) = (is_over.clone(), child.id());
        std::thread::spawn(move || {
            std::thread::sleep(LONGEST);
            if !watched.load(Ordering::SeqCst) {
                common::signal("-KILL", id);
            }
        });
        Service { child, lines, said: String::new(), is_over }
    }

    /// Name of the source, state and tries of each job, by name.
    fn jobs(&self) -> Vec<(String, String, u64)> {
        let mut jobs: Vec<_> = self
            .rows()
            .iter()
            .map(|row| {
                let name =
                    Path::new(row["source"].as_str().unwrap()).file_name().unwrap().to_string_lossy().into_owned();
                (name, row["state"].as_str().unwrap().to_owned(), row["attempts"].as_u64().unwrap())
            })
            .collect();
        jobs.sort();
        jobs
    }

    fn rows(&self) -> Vec<Value> {
        let output = run(&mut self.command(&["status", "--json"]));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    }
}

struct Service {
    child: Child,
    lines: BufReader<ChildStderr>,
    said: String,
    is_over: Arc<AtomicBool>,
}

impl Service {
    /// Reads what the service says until it says this.
    fn until(&mut self, what: &str) {
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).unwrap();
            self.said += &line;
            assert!(count > 0, "it never said {what:?}:\n{}", self.said);
            if line.contains(what) {
                return;
            }
        }
    }

    /// Reads so many lines of what the service says, or all until the job is done; whether it is.
    fn lives(&mut self, lines: u64) -> bool {
        for _ in 0..lines {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            self.said += &line;
            if line.contains(": done, ") {
                return true;
            }
        }
        false
    }

    /// All that it said, when it has ended.
    fn rest(&mut self) -> &str {
        self.lines.read_to_string(&mut self.said).unwrap();
        &self.said
    }

    fn tell(&self, signal: &str) {
        assert!(common::signal(signal, self.child.id()));
    }

    fn signal(&mut self, signal: &str) -> Option<i32> {
        self.tell(signal);
        // Its last words, so that it never waits for a reader.
        let rest: Vec<String> = self.lines.by_ref().lines().map_while(Result::ok).collect();
        self.said += &rest.join("\n");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An hour of the day that is not now.
fn hours_without_now() -> String {
    let hour: u32 = String::from_utf8(run(Command::new("date").arg("+%H")).stdout).unwrap().trim().parse().unwrap();
    format!("{:02}:00-{:02}:00", (hour + 2) % 24, (hour + 3) % 24)
}

fn owned(jobs: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    jobs.iter().map(|&(name, state, tries)| (name.to_owned(), state.to_owned(), tries)).collect()
}

#[test]
fn each_video_is_processed_once_and_what_is_none_is_told() {
    let place = Place::new("recursive = true\n");
    let clip = place.clip(3.0);
    std::fs::create_dir_all(place.at("in/day 1")).unwrap();
    std::fs::copy(&clip, place.at("in/a.mp4")).unwrap();
    std::fs::copy(&clip, place.at("in/same as a.mp4")).unwrap();
    std::fs::copy(place.clip(2.0), place.at("in/day 1/a.mp4")).unwrap();
    std::fs::copy(&clip, place.at("in/unfinished.mp4.part")).unwrap();
    std::fs::write(place.at("in/notes.txt"), "shot at noon").unwrap();
    std::fs::write(place.at("in/empty.mp4"), "").unwrap();
    std::fs::write(place.at("in/broken.mp4"), [7; 5000]).unwrap();
    std::os::unix::fs::symlink(&clip, place.at("in/link.mp4")).unwrap();

    let (code, said) = place.once();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("same as a.mp4: not taken: the same video"), "{said}");
    assert!(said.contains("empty.mp4: not taken:"), "{said}");
    assert_eq!(names(&place.at("out")), ["a.motion.jsonl", "a.mp4", "a.report.json", "day 1"], "{said}");
    assert_eq!(names(&place.at("out/day 1")), ["a.motion.jsonl", "a.mp4", "a.report.json"]);
    let expected = [("a.mp4", "done", 1), ("a.mp4", "done", 1), ("broken.mp4", "failed", 0), ("link.mp4", "failed", 0)];
    assert_eq!(place.jobs(), owned(&expected));
    let rows = place.rows();
    for row in rows.iter().filter(|row| row["state"] == "done") {
        let path = row["output"].as_str().unwrap().replace(".mp4", ".report.json");
        let report: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(
            [&row["frames"], &row["total"], &row["people"]],
            [&report["frames"], &report["frames"], &report["people"]]
        );
    }
    let reason = |name: &str| {
        let row = rows.iter().find(|row| row["source"].as_str().unwrap().ends_with(name)).unwrap();
        row["error"].as_str().unwrap().to_owned()
    };
    assert!(reason("link.mp4").contains("outside the watched folder"), "{}", reason("link.mp4"));
    assert!(reason("broken.mp4").contains("not a readable video"), "{}", reason("broken.mp4"));

    // Nothing new: nothing to do.
    std::fs::remove_file(place.at("in/empty.mp4")).unwrap();
    let modified = || std::fs::metadata(place.at("out/a.mp4")).unwrap().modified().unwrap();
    let before = modified();
    let (code, said) = place.once();
    assert_eq!((code, modified()), (0, before), "{said}");

    // A file that changed is another video, into the same results.
    std::fs::copy(place.clip(1.0), place.at("in/a.mp4")).unwrap();
    let (code, said) = place.once();
    assert_eq!(code, 0, "{said}");
    assert!(modified() > before && names(&place.at("out")).len() == 4, "{said}");
}

#[test]
fn a_service_takes_a_slow_copy_when_it_is_complete_and_stops_when_told() {
    let place = Place::new("");
    let mut service = place.service();
    let bytes = std::fs::read(place.clip(3.0)).unwrap();
    let mut copy = File::create(place.at("in/slow.mp4")).unwrap();
    copy.write_all(&bytes[..bytes.len() / 2]).unwrap();
    copy.sync_all().unwrap();
    service.until("slow.mp4: not yet: it is still being written");
    assert_eq!(place.jobs(), []);
    copy.write_all(&bytes[bytes.len() / 2..]).unwrap();
    drop(copy);
    service.until("slow.mp4: queued as job 1");
    service.until("slow.mp4: done");
    assert_eq!(place.jobs(), owned(&[("slow.mp4", "done", 1)]));

    // One engine for each state folder.
    let (code, said) = place.once();
    assert_eq!(code, 1);
    assert!(said.contains("already at work") && said.contains(&service.child.id().to_string()), "{said}");
    assert_eq!(service.signal("-TERM"), Some(0), "{}", service.said);
}

#[test]
fn what_is_killed_at_any_moment_goes_on_and_leaves_nothing_behind() {
    let place = Place::new("");
    place.set("[encode]", "segment = 0.4");
    std::fs::copy(place.clip_of(2.0, 4), place.at("in/a.mp4")).unwrap();
    let (mut kills, mut said, mut random) = (0, String::new(), 7u64);
    // Lines of the log are moments; how many of them a run lives for is as good as chance.
    while place.jobs().iter().all(|(_, state, _)| state != "done") && kills < 40 {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mut service = place.service();
        let is_over = service.lives(1 + (random >> 33) % 60);
        service.signal(if kills % 4 == 3 && !is_over { "-TERM" } else { "-KILL" });
        kills += 1;
        said += &service.said;
    }
    assert!(
        kills >= 8 && said.contains("frames were observed before") && said.contains("frames were drawn before"),
        "{said}"
    );
    let (code, said) = place.once();
    assert_eq!(code, 0, "{said}");
    // Neither counts as a try.
    assert_eq!(place.jobs(), owned(&[("a.mp4", "done", 1)]));
    assert_eq!(names(&place.at("out")), ["a.motion.jsonl", "a.mp4", "a.report.json"]);
    assert_eq!(names(&place.at("state/jobs")), [""; 0]);
    place.assert_as_if_nothing_had_happened();
}

#[test]
fn a_video_that_crashes_the_program_twice_is_set_aside_and_the_others_go_on() {
    let place = Place::new("");
    std::fs::copy(place.clip(3.0), place.at("in/a.mp4")).unwrap();
    for _ in 0..2 {
        let mut service = place.service();
        service.until("a.mp4: analysing");
        assert_eq!(service.signal("-SEGV"), None, "{}", service.said);
    }
    std::fs::copy(place.clip(2.0), place.at("in/b.mp4")).unwrap();
    let (code, said) = place.once();
    assert_eq!(code, 1, "{said}");
    assert_eq!(place.jobs(), owned(&[("a.mp4", "failed", 0), ("b.mp4", "done", 1)]));
    let reason = place.rows().iter().find_map(|row| row["error"].as_str().map(str::to_owned)).unwrap();
    assert!(reason.contains("brought meshreel down 2 times"), "{reason}");
}

/// The process that a service has look at a file, once there is one.
fn looker(service: &mut Child) -> u32 {
    let parent = service.id().to_string();
    let is_looker = |pid: &u32| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        read("cmdline").contains("inspect") && read("stat").split(' ').nth(3) == Some(&parent)
    };
    loop {
        let pids =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        if let Some(found) = pids.into_iter().find(is_looker) {
            return found;
        }
        assert_eq!(service.try_wait().unwrap(), None, "the service ended");
        std::thread::yield_now();
    }
}

#[test]
fn a_file_that_brings_down_whoever_looks_at_it_costs_that_file_alone() {
    let place = Place::new("");
    let mut service = place.service();
    // So large that its checksum takes minutes; nothing of it is on disk.
    std::fs::copy(place.clip(1.0), place.at("bad.mp4")).unwrap();
    // Closed at once: what somebody writes to is not taken.
    OpenOptions::new().write(true).open(place.at("bad.mp4")).unwrap().set_len(1 << 39).unwrap();
    std::fs::rename(place.at("bad.mp4"), place.at("in/bad.mp4")).unwrap();
    let looker = looker(&mut service.child);
    assert!(common::signal("-SEGV", looker));
    service.until("bad.mp4: not taken: looking at it brought a process of meshreel down (signal 11)");
    std::fs::copy(place.clip(1.0), place.at("in/good.mp4")).unwrap();
    service.until("good.mp4: done");
    assert_eq!(place.jobs(), owned(&[("bad.mp4", "failed", 0), ("good.mp4", "done", 1)]));
    // A stop is not kept waiting by a file that is being looked at.
    std::fs::rename(place.at("in/bad.mp4"), place.at("in/again.mp4")).unwrap();
    self::looker(&mut service.child);
    assert_eq!(place.order(&["stop"]), (0, "the engine ends".into()));
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_job_that_waits_goes_on_where_it_was_and_others_overtake_it() {
    let place = Place::new("");
    std::fs::copy(place.clip_of(2.0, 4), place.at("in/a.mp4")).unwrap();
    let mut service = place.service();
    service.until("a.mp4: analysing");
    assert_eq!(place.order(&["pause", "1"]), (0, "job 1 is paused".into()));
    std::fs::copy(place.clip(1.0), place.at("in/b.mp4")).unwrap();
    service.until("b.mp4: done");
    assert_eq!(place.jobs(), owned(&[("a.mp4", "paused", 1), ("b.mp4", "done", 1)]));
    assert_eq!(
        place.order(&["pause", "1", "2", "99"]),
        (1, "meshreel: job 1 is paused\nmeshreel: job 2 is done\nmeshreel: there is no job 99".into())
    );
    assert_eq!(place.order(&["resume", "1"]), (0, "job 1 is running".into()));
    // A higher priority takes its place at once.
    std::fs::copy(place.clip(3.0), place.at("in/c.mp4")).unwrap();
    service.until("c.mp4: queued as job 3");
    assert_eq!(place.order(&["priority", "3", "5"]), (0, "job 3 has priority 5".into()));
    service.until("c.mp4: done");
    assert_eq!(place.jobs()[0].1, "running", "it was overtaken:\n{}", service.said);
    service.until("a.mp4: done");
    assert_eq!(place.order(&["stop"]), (0, "the engine ends".into()));
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
    assert_eq!(place.order(&["stop"]).0, 1, "none runs");

    place.assert_as_if_nothing_had_happened();
}

#[test]
fn a_cancelled_job_leaves_nothing_and_can_be_tried_again() {
    let place = Place::new("");
    std::fs::copy(place.clip_of(2.0, 3), place.at("in/a.mp4")).unwrap();
    let mut service = place.service();
    service.until("render start");
    assert_eq!(place.order(&["cancel", "1"]), (0, "job 1 is cancelled".into()));
    service.until("cancel job 1: by `meshreel cancel`, process ");
    service.until("a.mp4: cancelled");
    assert_eq!(place.order(&["pause", "1"]).0, 1);
    service.until("pause job 1: refused (job 1 is cancelled): by `meshreel pause`, process ");
    assert_eq!(names(&place.at("out")), [""; 0]);
    // Paused, it waits also over a restart; while no engine runs, orders change the queue.
    assert_eq!(place.order(&["pause", "--all"]).0, 0);
    assert_eq!(place.order(&["retry", "1"]), (0, "job 1 is queued".into()));
    assert_eq!(place.order(&["stop", "--drain"]).0, 0);
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
    assert_eq!(place.jobs(), owned(&[("a.mp4", "queued", 0)]));
    assert!(place.order(&["status"]).1.contains("PAUSED"));
    assert!(service.rest().contains("stop after what is at work: by `meshreel stop`, process "));
    // Where an order came from is in the job's own log as well, also of those that were given while no engine ran.
    assert_eq!(place.order(&["priority", "1", "2"]).0, 0);
    assert_eq!(place.order(&["move", "1", "first"]).0, 0);
    let (_, log) = place.order(&["log", "1"]);
    for told in [
        "cancelled by `meshreel cancel`, process ",
        "pause job 1: refused (job 1 is cancelled): by `meshreel pause`, process ",
        "to be tried again, by `meshreel retry`, process ",
        "priority 2, by `meshreel priority`, process ",
        "moved first, by `meshreel move`, process ",
    ] {
        assert!(log.contains(told), "{told}: {log}");
    }
    assert_eq!(place.order(&["resume", "--all"]).0, 0);
    let (code, said) = place.once();
    assert_eq!(code, 0, "{said}");
    assert_eq!(place.jobs(), owned(&[("a.mp4", "done", 1)]));
}

#[test]
fn results_are_never_dropped_into_a_watched_folder() {
    let place = Place::new("");
    let mut config = OpenOptions::new().append(true).open(place.at("config.toml")).unwrap();
    writeln!(config, "[[watch]]\npath = \"out\"\noutput = \"other\"").unwrap();
    std::fs::create_dir(place.at("out")).unwrap();
    let (code, said) = place.once();
    assert_eq!(code, 2);
    assert!(said.contains("name another folder"), "{said}");
}

#[test]
fn folders_have_their_own_settings_and_originals_go_where_they_should() {
    let place = Place::new("recursive = true\noriginals = \"move\"\noriginals_folder = \"in/old\"\nstyle = \"mask\"\n");
    let told = place.at("told.jsonl");
    let script = place.at("tell.sh");
    std::fs::write(&script, format!("#!/bin/sh\ncat >> {}\n", told.display())).unwrap();
    let hook = format!("[\"/bin/sh\", \"{}\"]", script.display());
    let more = format!("[hooks]\ndone = {hook}\nfailed = {hook}\n[limits]\nseconds = 1.5\n[log]\nformat = \"json\"\n");
    let text = std::fs::read_to_string(place.at("config.toml")).unwrap();
    std::fs::write(place.at("config.toml"), text.replacen("[encode]", &format!("{more}[encode]"), 1)).unwrap();

    std::fs::create_dir_all(place.at("in/far/away")).unwrap();
    std::fs::write(place.at("in/far/meshreel.toml"), "opacity = 0.25\npriority = 3\n").unwrap();
    std::fs::write(place.at("in/far/away/meshreel.toml"), "style = \"overlay\"\n").unwrap();
    std::fs::create_dir_all(place.at("in/wrong")).unwrap();
    std::fs::write(place.at("in/wrong/meshreel.toml"), "output = \"/etc\"\n").unwrap();
    std::fs::copy(place.clip(1.0), place.at("in/near.mp4")).unwrap();
    std::fs::copy(place.clip(2.0), place.at("in/far/away/far.mp4")).unwrap();
    std::fs::copy(place.clip(3.0), place.at("in/wrong/held.mp4")).unwrap();
    std::fs::copy(place.clip_of(1.0, 2), place.at("in/long.mp4")).unwrap();

    let output = run(&mut place.command(&["run", "--once", "--headless"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["message"].as_str().unwrap().contains("near.mp4: done,")), "{said}");
    assert!(said.contains("held.mp4: not taken: ") && said.contains("unknown setting `output`"), "{said}");
    let days = names(&place.at("state/log"));
    assert!(matches!(&days[..], [day] if day.starts_with("meshreel.")), "{days:?}");

    // The nearest file's word counts; the long one is refused, and the one with the wrong file waits.
    assert_eq!(place.jobs(), owned(&[("far.mp4", "done", 1), ("long.mp4", "failed", 0), ("near.mp4", "done", 1)]));
    let rows = place.rows();
    let row = |name: &str| rows.iter().find(|row| row["source"].as_str().unwrap().ends_with(name)).unwrap();
    assert_eq!((row("far.mp4")["priority"].as_i64(), row("near.mp4")["priority"].as_i64()), (Some(3), Some(0)));
    assert!(row("long.mp4")["error"].as_str().unwrap().contains("the limit is 1.5 s"), "{rows:?}");
    // The mask is drawn on black, the overlay on the picture: the second is brighter.
    let brightness = |video: &str| {
        let said = ffmpeg(
            "-i {} -vf signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=- -f null -",
            &[&place.at(video)],
        );
        said.lines().find_map(|line| line.split_once("YAVG=")).unwrap().1.parse::<f64>().unwrap()
    };
    assert!(brightness("out/near.mp4") + 20.0 < brightness("out/far/away/far.mp4"));

    // What is done was moved, what failed is where it was, and what was moved is not taken for new.
    assert_eq!(names(&place.at("in")), ["far", "long.mp4", "old", "wrong"]);
    assert_eq!(names(&place.at("in/old")), ["far", "near.mp4"]);
    assert_eq!(names(&place.at("in/old/far/away")), ["far.mp4"]);
    let mut told: Vec<Value> =
        std::fs::read_to_string(&told).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    told.sort_by_key(|job| job["source"].to_string());
    let events: Vec<_> = told.iter().map(|job| (job["event"].as_str().unwrap(), job["report"].is_null())).collect();
    assert_eq!(events, [("done", false), ("failed", true), ("done", false)]);

    let (code, log) = place.order(&["log", &row("near.mp4")["id"].to_string()]);
    assert_eq!(code, 0);
    let texts: Vec<&str> = log.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    assert!(
        matches!(texts[..], ["queued", "begins or goes on, try 1", .., last] if last.contains("in/old/near.mp4")),
        "{log}"
    );
    assert!(place.order(&["log", "99"]).1.contains("there is no job 99"));
    assert!(place.order(&["log", "--all"]).1.lines().count() > texts.len());
}

#[test]
fn jobs_wait_for_room_for_hours_and_for_as_long_as_they_are_told() {
    let place = Place::new("");
    place.set("[jobs]", "room = 1000000000000");
    std::fs::copy(place.clip(1.0), place.at("in/a.mp4")).unwrap();
    let mut service = place.service();
    service.until("it waits for room (jobs.room)");
    assert_eq!(place.order(&["pause", "1", "--for", "1h"]).0, 0);
    assert!(place.rows()[0]["resume_ms"].is_i64());
    service.signal("-TERM");

    // In the dead of another hour; the pause of a job ends by itself.
    let text = std::fs::read_to_string(place.at("config.toml")).unwrap();
    let text = text.replacen("room = 1000000000000", &format!("hours = \"{}\"", hours_without_now()), 1);
    std::fs::write(place.at("config.toml"), &text).unwrap();
    let mut service = place.service();
    service.until("results go to");
    assert_eq!(place.order(&["resume", "1"]).0, 0);
    assert_eq!(place.order(&["pause", "1", "--for", "100ms"]).0, 0);
    service.until("job 1: the pause is over");
    assert_eq!(place.jobs(), owned(&[("a.mp4", "queued", 0)]));
    service.signal("-TERM");

    // At any hour when told to work off what is there; not while everything is paused.
    assert_eq!(place.order(&["pause", "--all", "--drain"]).0, 0);
    let (code, said) = place.once();
    assert!(code == 0 && said.contains("`meshreel resume --all` lets it go on"), "{said}");
    assert_eq!(place.order(&["resume", "--all"]).0, 0);
    let (code, said) = place.once();
    assert_eq!(code, 0, "{said}");
    assert_eq!(place.jobs(), owned(&[("a.mp4", "done", 1)]));
}

#[test]
fn files_and_folders_that_come_and_go_are_neither_lost_nor_taken_twice() {
    let place = Place::new("");
    let [first, second, third] = [1.0, 2.0, 3.0].map(|start| place.clip(start));
    let mut service = place.service();
    service.until("results go to");
    assert_eq!(place.order(&["pause", "--all"]).0, 0);
    // A download that gets its name at the end.
    std::fs::copy(&first, place.at("in/renamed.mp4.part")).unwrap();
    std::fs::rename(place.at("in/renamed.mp4.part"), place.at("in/renamed.mp4")).unwrap();
    service.until("renamed.mp4: queued as job 1");
    // Overwritten before its turn; removed before its turn.
    std::fs::copy(&first, place.at("in/other.mp4")).unwrap();
    service.until("other.mp4: not taken: the same video");
    std::fs::copy(&second, place.at("in/other.mp4")).unwrap();
    service.until("other.mp4: queued as job 2");
    std::fs::copy(&third, place.at("in/other.mp4")).unwrap();
    service.until("other.mp4: queued as job 3");
    std::fs::copy(&second, place.at("in/gone.mp4")).unwrap();
    service.until("gone.mp4: queued as job 4");
    std::fs::remove_file(place.at("in/gone.mp4")).unwrap();
    // A drive that goes away and comes back: nothing was deleted, and nothing is new.
    std::fs::rename(place.at("in"), place.at("away")).unwrap();
    service.until("the watched folder is unavailable");
    std::fs::rename(place.at("away"), place.at("in")).unwrap();
    service.until("results go to");
    assert_eq!(place.rows().len(), 4);
    // Removed and made again: what is dropped then is seen.
    std::fs::rename(place.at("in"), place.at("old")).unwrap();
    std::fs::create_dir(place.at("in")).unwrap();
    for name in ["renamed.mp4", "other.mp4"] {
        std::fs::rename(place.at("old").join(name), place.at("in").join(name)).unwrap();
    }
    service.until("results go to");
    std::fs::copy(place.clip(4.0), place.at("in/new.mp4")).unwrap();
    service.until("new.mp4: queued as job 5");
    // More happens than the system remembers: the file among it is found all the same.
    service.tell("-STOP");
    let most = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    for number in 0..most.trim().parse::<u32>().unwrap() {
        let path = place.at("in").join(format!(".noise{number}"));
        drop(File::create(&path).unwrap());
        std::fs::remove_file(path).unwrap();
    }
    std::fs::copy(place.clip(5.0), place.at("in/last.mp4")).unwrap();
    service.tell("-CONT");
    service.until("last.mp4: queued as job 6");

    assert_eq!(place.order(&["resume", "--all"]).0, 0);
    service.until("last.mp4: done");
    let expected = [("gone.mp4", "cancelled", 1), ("last.mp4", "done", 1), ("new.mp4", "done", 1)];
    let rest = [("other.mp4", "cancelled", 0), ("other.mp4", "done", 1), ("renamed.mp4", "done", 1)];
    assert_eq!(place.jobs(), owned(&[&expected[..], &rest[..]].concat()), "{}", service.said);
    assert_eq!(names(&place.at("out")).len(), 12);
}

#[test]
fn results_never_take_the_place_of_other_files() {
    let place = Place::new("");
    let small = "-t 0.5 -vf scale=320:180 -an -c:v libx264 -preset ultrafast {}";
    for (name, start) in [("in/a.mov", 1), ("in/b.mov", 2), ("in/c.mov", 3)] {
        ffmpeg(&format!("-ss {start} -i {{}} {small}"), &[&sample(), &place.at(name)]);
    }
    std::fs::create_dir(place.at("out")).unwrap();
    for name in ["out/a.mp4", "out/a.mov.report.json", "out/b.motion.jsonl"] {
        std::fs::write(place.at(name), "mine").unwrap();
    }
    let (code, said) = place.once();
    assert_eq!(code, 0, "{said}");
    let videos: Vec<String> = place.rows().iter().map(|row| row["output"].as_str().unwrap().to_owned()).collect();
    for name in ["out/a.mov-2.mp4", "out/b.mov.mp4", "out/c.mp4"] {
        assert!(videos.iter().any(|video| video.ends_with(name)) && place.at(name).is_file(), "{name}: {videos:?}");
    }
    for name in ["out/a.mp4", "out/a.mov.report.json", "out/b.motion.jsonl"] {
        assert_eq!(std::fs::read_to_string(place.at(name)).unwrap(), "mine");
    }
    assert_eq!(names(&place.at("out")).len(), 3 + 9);

    // Without the queue all is new, and goes to where it was.
    std::fs::remove_dir_all(place.at("state")).unwrap();
    let (code, said) = place.once();
    assert_eq!((code, names(&place.at("out")).len()), (0, 12), "{said}");
    // Put there after the job was queued: nothing of it is touched, and the job fails.
    std::fs::remove_file(place.at("out/c.report.json")).unwrap();
    std::fs::write(place.at("out/c.motion.jsonl"), "mine").unwrap();
    let number = place.rows().iter().find(|r| r["source"].as_str().unwrap().ends_with("c.mov")).unwrap()["id"].clone();
    let state = rusqlite::Connection::open(place.at("state/queue.sqlite")).unwrap();
    state.execute("UPDATE jobs SET state = 'queued' WHERE id = ?1", [number.as_i64()]).unwrap();
    drop(state);
    let (code, said) = place.once();
    assert!(code == 1 && said.contains("c.mp4 is there already"), "{said}");
    assert_eq!(std::fs::read_to_string(place.at("out/c.motion.jsonl")).unwrap(), "mine");
}

#[test]
fn a_file_that_was_completed_has_not_failed_and_each_line_names_its_file_once() {
    let place = Place::new("");
    let whole = place.at("whole.mp4");
    let small = "-ss 3 -i {} -t 0.5 -vf scale=320:180 -an -c:v libx264 -preset ultrafast {}";
    ffmpeg(small, &[&sample(), &whole]);
    let bytes = std::fs::read(&whole).unwrap();
    // Half of it came, twice, and then all of it.
    for share in [3, 2] {
        std::fs::write(place.at("in/half.mp4"), &bytes[..bytes.len() / share]).unwrap();
        let (code, said) = place.once();
        assert_eq!(code, 1, "{said}");
        assert_eq!(place.jobs(), owned(&[("half.mp4", "failed", 0)]));
    }
    std::fs::write(place.at("in/text.mp4"), "this is no video").unwrap();
    std::fs::write(place.at("in/empty.mp4"), "").unwrap();
    ffmpeg("-f lavfi -i sine=d=0.5 {}", &[&place.at("in/sound.mp4")]);
    let (code, said) = place.once();
    assert_eq!(code, 1, "{said}");
    for name in ["text.mp4", "empty.mp4", "sound.mp4"] {
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(!lines.is_empty() && lines.iter().all(|line| line.matches(name).count() == 1), "{said}");
        std::fs::remove_file(place.at("in").join(name)).unwrap();
    }
    std::fs::copy(&whole, place.at("in/half.mp4")).unwrap();
    let (code, said) = place.once();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 done, 0 failed"), "{said}");
    let expected = [("half.mp4", "done", 1), ("sound.mp4", "failed", 0), ("text.mp4", "failed", 0)];
    assert_eq!(place.jobs(), owned(&expected));
    // One that failed and is tried again without success has failed again.
    let (_, list) = place.order(&["status"]);
    assert!(list.contains("it has no video stream") && list.matches("sound.mp4").count() == 1, "{list}");
}

#[test]
fn an_engine_is_found_however_long_the_way_to_its_state_folder_is() {
    let place = Place::new("");
    let long = "s".repeat(185);
    let text = std::fs::read_to_string(place.at("config.toml")).unwrap();
    std::fs::write(place.at("config.toml"), text.replace("\"state\"", &format!("\"{long}\""))).unwrap();
    let temporary = place.at("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut service = place.service_with(|command| {
        // A runtime folder that others may open is none.
        command.env("TMPDIR", &temporary).env("XDG_RUNTIME_DIR", &temporary);
    });
    service.until("results go to");
    assert_eq!(place.order(&["pause", "--all"]), (0, "everything is paused".into()));
    let own = names(&temporary);
    assert!(matches!(&own[..], [own] if own.starts_with("meshreel-")), "{own:?}");
    // Folders for temporary files are swept out.
    std::fs::remove_dir_all(temporary.join(&own[0])).unwrap();
    service.until("it is there again");
    assert_eq!(place.order(&["resume", "--all"]).0, 0);
    assert_eq!(place.order(&["stop"]).0, 0);
    assert_eq!(service.child.wait().unwrap().code(), Some(0), "{}", service.rest());
}

#[test]
fn the_engine_is_found_again_after_its_runtime_folder_was_gone() {
    let place = Place::new("");
    let runtime = place.at("runtime");
    let make = || std::fs::DirBuilder::new().mode(0o700).create(&runtime).unwrap();
    make();
    let mut service = place.service_with(|command| {
        command.env("XDG_RUNTIME_DIR", &runtime);
    });
    service.until("results go to");
    // Whoever gives orders may have no runtime folder, or another one.
    assert_eq!(place.order(&["pause", "--all"]), (0, "everything is paused".into()));
    assert_eq!(names(&runtime), ["meshreel"]);
    // Its user logs out, and comes back.
    std::fs::remove_dir_all(&runtime).unwrap();
    make();
    service.until("it is there again");
    assert_eq!(place.order(&["resume", "--all"]).0, 0);
    // Gone for good, it still ends when it is told to.
    std::fs::remove_dir_all(&runtime).unwrap();
    assert_eq!(service.signal("-TERM"), Some(0), "{}", service.said);
}

#[test]
fn a_video_that_went_away_is_taken_when_it_is_back_and_the_innermost_folder_decides() {
    let place = Place::new("recursive = true\n[[watch]]\npath = \"in/far\"\noutput = \"out-far\"\n");
    std::fs::create_dir(place.at("in/far")).unwrap();
    let text = std::fs::read_to_string(place.at("config.toml")).unwrap();
    // The outer folder stands last.
    let (head, folders) = text.split_once("[[watch]]").unwrap();
    let (outer, inner) = folders.split_once("[[watch]]").unwrap();
    std::fs::write(place.at("config.toml"), format!("{head}[[watch]]{inner}[[watch]]{outer}")).unwrap();
    let once = || {
        let output = run(&mut place.command(&["run", "--once"]));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let all = |order: &str| assert!(run(&mut place.command(&[order, "--all"])).status.success());
    once();
    all("pause");
    let (clip, away) = (place.at("in/far/a.mp4"), place.at("away.mp4"));
    std::fs::copy(place.clip(2.0), &clip).unwrap();
    once();
    std::fs::rename(&clip, &away).unwrap();
    all("resume");
    once();
    assert!(names(&place.at("out-far")).is_empty());
    std::fs::rename(&away, &clip).unwrap();
    once();
    assert_eq!(names(&place.at("out-far")), ["a.motion.jsonl", "a.mp4", "a.report.json"]);
    assert!(names(&place.at("out")).is_empty(), "the outer folder did not take it");
}
