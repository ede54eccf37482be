//! Jobs on a Slurm cluster of three nodes, which is started on this machine (`tests/cluster/cluster.sh`): `make test-cluster` runs it.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use common::{ffmpeg, meshreel, motion, names, run, sample, signal, stream_md5};
use serde_json::Value;

/// What takes longer does not happen.
const LONGEST: Duration = Duration::from_secs(180);

/// One cluster at a time: a second one would only slow both.
static ONE: Mutex<()> = Mutex::new(());

/// A cluster, and a folder with a configuration and watched folder.
struct Cluster {
    _one: MutexGuard<'static, ()>,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// With clips of so many seconds each, and further lines for the section `[slurm]`.
    fn start(clips: usize, seconds: f64, more: &str) -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = Self { _one: one, folder: tempfile::tempdir().unwrap() };
        cluster.script(&["start"], &[]);
        let text = format!(
            "state = \"state\"\nmodel = \"lite\"\nworkers = 1\nexecutor = \"slurm\"\n[encode]\npreset = \"ultrafast\"\n\
             segment = 0.5\n[jobs]\nsettle = 0.1\n[slurm]\npoll = 1\n{more}\n[[watch]]\npath = \"in\"\noutput = \"out\"\n"
        );
        std::fs::write(cluster.at("config.toml"), text).unwrap();
        std::fs::create_dir_all(cluster.at("in")).unwrap();
        let options = "-vf scale=640:-2 -an -c:v libx264 -preset ultrafast {}";
        for number in 0..clips {
            let clip = cluster.at(&format!("in/{number}.mp4"));
            ffmpeg(&format!("-ss {number} -i {{}} -t {seconds} {options}"), &[&sample(), &clip]);
        }
        cluster
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, before: &[&str], after: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/cluster.sh");
        let mut command = Command::new("bash");
        command.arg(script).args(before).arg(self.at("slurm")).args(after);
        assert!(command.stdout(Stdio::null()).status().unwrap().success(), "{command:?}");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = meshreel(self.folder.path());
        command.args(arguments).args(["--config", "config.toml"]).env("SLURM_CONF", self.at("slurm/slurm.conf"));
        command
    }

    /// What a command prints; it must succeed.
    fn says(&self, arguments: &[&str]) -> String {
        let output = run(&mut self.command(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The engine, with its log in a file.
    fn engine(&self) -> Engine {
        let log = std::fs::OpenOptions::new().append(true).create(true).open(self.at("engine.log")).unwrap();
        Engine(self.command(&["run", "--headless"]).stderr(log).spawn().unwrap())
    }

    fn engine_log(&self) -> String {
        std::fs::read_to_string(self.at("engine.log")).unwrap_or_default()
    }

    /// All jobs, by number.
    fn rows(&self) -> Vec<Value> {
        let status = self.says(&["status", "--json"]);
        let mut rows: Vec<Value> = status.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        rows.sort_by_key(|row| row["id"].as_i64());
        rows
    }

    /// State and number of tries of each job, by number.
    fn jobs(&self) -> Vec<(String, u64)> {
        self.rows()
            .iter()
            .map(|row| (row["state"].as_str().unwrap().to_owned(), row["attempts"].as_u64().unwrap()))
            .collect()
    }

    fn state(&self, job: usize) -> String {
        self.jobs().get(job - 1).map_or(String::new(), |(state, _)| state.clone())
    }

    /// What a command of Slurm prints; nothing while there is no controller.
    fn slurm(&self, command: &str) -> String {
        let mut words = command.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).env("SLURM_CONF", self.at("slurm/slurm.conf"));
        String::from_utf8(run(&mut command).stdout).unwrap()
    }

    /// Node and job of each task that runs.
    fn running(&self) -> Vec<(String, usize)> {
        let text = self.slurm("squeue -h -t running -o %N|%j");
        let task = |line: &str| {
            let (node, name) = line.split_once('|')?;
            Some((node.to_owned(), name.strip_prefix("meshreel-")?.split('-').next()?.parse().ok()?))
        };
        text.lines().filter_map(task).collect()
    }

    fn file(&self, job: usize, name: &str) -> PathBuf {
        self.at(&format!("state/cluster/{job}/{name}"))
    }

    /// All lines that workers of a job have written.
    fn lines(&self, job: usize) -> Vec<Value> {
        let folder = self.file(job, "");
        let files = names(&folder).into_iter().filter(|name| name.starts_with("events."));
        let text: String = files.map(|name| std::fs::read_to_string(folder.join(name)).unwrap_or_default()).collect();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The process of the worker that a job belongs to.
    fn worker(&self, job: usize) -> u32 {
        let owner = std::fs::read_to_string(self.file(job, "owner")).unwrap();
        let events = self.file(job, &format!("events.{}.jsonl", owner.trim().trim_matches('"')));
        let text = std::fs::read_to_string(events).unwrap_or_default();
        let began = |line: &str| serde_json::from_str::<Value>(line).ok()?["began"]["process"].as_u64();
        text.lines().find_map(began).unwrap_or(0).try_into().unwrap()
    }

    /// Frames that a job's workers say are through the first pass.
    fn observed(&self, job: usize) -> u64 {
        let done = |line: &Value| line["event"]["progress"]["done"].as_u64();
        self.lines(job).iter().filter_map(done).max().unwrap_or(0)
    }

    /// Waits for what the cluster comes to.
    fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(
                begun.elapsed() < LONGEST,
                "{what}: not in time; {:?}; {}\n{}\n{}",
                self.jobs(),
                self.slurm("squeue"),
                self.slurm("sinfo"),
                self.engine_log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn until_all_done(&self, jobs: usize) {
        self.until("all done", |cluster| {
            let all = cluster.jobs();
            assert!(all.iter().all(|(state, _)| state != "failed"), "{all:?}\n{}", cluster.engine_log());
            all.len() == jobs && all.iter().all(|(state, _)| state == "done")
        });
    }

    /// The results of all clips are those of a local run with as many cores as a task has, and nothing is left.
    fn assert_as_local(&self) {
        let clips: Vec<String> = names(&self.at("in"));
        let mut command = Command::new("taskset");
        command.args(["-c", "0", env!("CARGO_BIN_EXE_meshreel"), "process", "--progress", "none", "-o", "local"]);
        command.args(["--config", "config.toml"]).args(clips.iter().map(|clip| self.at("in").join(clip)));
        command.current_dir(self.folder.path()).env("HOME", self.folder.path());
        let output = run(&mut command);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for clip in &clips {
            let motion =
                |folder: &str| std::fs::read(self.at(folder).join(clip).with_extension("motion.jsonl")).unwrap();
            assert!(motion("out") == motion("local"), "the motion of {clip} differs");
            let pictures = |folder: &str| stream_md5(&self.at(folder).join(clip), "v:0", false);
            assert_eq!(pictures("out"), pictures("local"), "{clip}");
        }
        self.until("nothing is left", |cluster| names(&cluster.at("state/cluster")) == ["state"]);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.engine_log());
        }
        // A worker that stands still outlives its cluster.
        let began = |line: &Value| line["began"]["process"].as_u64();
        for process in (1..=6).flat_map(|job| self.lines(job)).filter_map(|line| began(&line)) {
            let words = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&words).contains(&*self.folder.path().to_string_lossy()) {
                signal("-KILL", process.try_into().unwrap());
            }
        }
        self.script(&["stop"], &[]);
    }
}

/// The engine; ended with its test.
struct Engine(Child);

impl Engine {
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn process(file: &Path) -> u32 {
    std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

#[test]
#[ignore = "starts a Slurm cluster: make test-cluster"]
fn three_nodes_are_at_work_at_once_and_results_are_those_of_a_local_run() {
    let cluster = Cluster::start(6, 1.0, "");
    // What is dropped into this folder is worked on by the engine itself.
    let mut config = std::fs::read_to_string(cluster.at("config.toml")).unwrap();
    config += "[[watch]]\npath = \"here\"\noutput = \"out-here\"\nexecutor = \"local\"\n";
    std::fs::write(cluster.at("config.toml"), config).unwrap();
    std::fs::create_dir(cluster.at("here")).unwrap();
    std::fs::copy(cluster.at("in/0.mp4"), cluster.at("here/local.mp4")).unwrap();
    let begun = Instant::now();
    let _engine = cluster.engine();
    cluster.until("all three nodes at work", |cluster| {
        let mut nodes: Vec<String> = cluster.running().into_iter().map(|(node, _)| node).collect();
        nodes.sort();
        nodes == ["n1", "n2", "n3"]
    });
    // Six jobs, of which three wait in Slurm.
    cluster.until("it is shown where they are", |cluster| {
        let status = cluster.says(&["status"]);
        status.contains("on node n") && status.contains("waits for a node: ")
    });
    cluster.until_all_done(7);
    println!("6 clips of 1 s on three nodes: {:.1} s", begun.elapsed().as_secs_f64());
    assert!(cluster.jobs().iter().all(|(_, tries)| *tries == 1));
    for row in cluster.rows() {
        let (log, source) = (cluster.says(&["log", &row["id"].to_string()]), row["source"].as_str().unwrap());
        if source.contains("/here/") {
            assert!(!log.contains("Slurm") && row["placement"].is_null(), "{log}");
            continue;
        }
        assert!(log.contains("submitted as Slurm task") && log.contains("on node n"), "{log}");
        let node = row["placement"]["node"].as_str().unwrap();
        assert!(["n1", "n2", "n3"].contains(&node) && row["placement"]["task"].as_u64().is_some(), "{row}");
    }
    // The first line names the video.
    let rows = |name: &str| motion(&cluster.at(name)).into_iter().skip(1).collect::<Vec<_>>();
    assert!(rows("out-here/local.motion.jsonl") == rows("out/0.motion.jsonl"));
    cluster.assert_as_local();
    assert!(!names(&cluster.at("out")).iter().any(|name| name.starts_with('.')));
}

#[test]
#[ignore = "starts a Slurm cluster: make test-cluster"]
fn nodes_share_a_long_clip() {
    let cluster = Cluster::start(0, 0.0, "per_job = 3");
    // Two and a half minutes of two frames a second: seven stretches.
    let options = "-vf setpts=N/2/TB,scale=480:-2 -r 2 -frames:v 300 -an -c:v libx264 -preset ultrafast -g 10 {}";
    ffmpeg(&format!("-stream_loop 1 -i {{}} {options}"), &[&sample(), &cluster.at("in/long.mp4")]);
    let _engine = cluster.engine();
    let is_at_work = |line: &Value| line["figures"]["times"].as_object().is_some_and(|times| !times.is_empty());
    // Files of those who help, and their processes, as soon as they have done something.
    let helping = |cluster: &Cluster| -> Vec<u32> {
        let folder = cluster.file(1, "");
        let files = names(&folder).into_iter().filter(|name| name.starts_with("events."));
        let helper = |name: String| {
            let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let began = lines.iter().find(|line| line["began"]["is_helper"] == true)?;
            lines.iter().any(is_at_work).then(|| began["began"]["process"].as_u64().unwrap().try_into().unwrap())
        };
        files.filter_map(helper).collect()
    };
    cluster.until("two nodes help", |cluster| helping(cluster).len() == 2);
    assert_eq!(cluster.running().len(), 3);
    // One of them is lost, and nothing with it.
    signal("-KILL", helping(&cluster)[0]);
    // Others take the node of the one that makes the results. Slurm begins it again, and it is helped again.
    let node = cluster.rows()[0]["placement"]["node"].as_str().unwrap().to_owned();
    cluster.slurm(&format!("sbatch -p first -w {node} --job-name first --output /dev/null --wrap true"));
    cluster.until("preempted", |cluster| cluster.says(&["log", "1"]).contains("is given back: SIGTERM"));
    cluster.until_all_done(1);
    let log = cluster.says(&["log", "1"]);
    assert!(log.contains("2 further Slurm tasks may help") && log.matches(" helps: 1 core").count() >= 2, "{log}");
    cluster.assert_as_local();
    cluster.until("no task is left", |cluster| cluster.slurm("squeue -h").is_empty());
}

#[test]
#[ignore = "starts a Slurm cluster: make test-cluster"]
fn orders_reach_the_nodes() {
    let cluster = Cluster::start(1, 6.0, "time = \"10\"");
    let doctor = String::from_utf8(run(&mut cluster.command(&["doctor"])).stdout).unwrap();
    assert!(doctor.contains("the default partition; there are first, main"), "{doctor}");
    let output = run(&mut cluster.command(&["doctor", "--cluster"]));
    let doctor = String::from_utf8(output.stdout).unwrap();
    let node = doctor.lines().find_map(|line| line.split_once("ok   ")?.1.split_once(": node ")).map(|(node, _)| node);
    let node = node.unwrap_or_else(|| panic!("{doctor}"));
    assert!(["n1", "n2", "n3"].contains(&node) && doctor.contains("1 core for a task"), "{doctor}");
    for what in ["slurm.folder", "watch folder", "output folder", "model ", "OpenGL", "EGL device", "encoder"] {
        assert!(doctor.contains(&format!("ok   {node}: {what}")), "{what}\n{doctor}");
    }
    let engine = cluster.engine();

    cluster.until("at work", |cluster| cluster.observed(1) > 20);
    let script = cluster.says(&["slurm", "script", "1"]);
    assert!(script.contains("#SBATCH --time=10\n") && script.contains("--job-name=meshreel-1-"), "{script}");
    assert_eq!(script, std::fs::read_to_string(cluster.file(1, "script.sh")).unwrap());
    let begun = Instant::now();
    cluster.says(&["pause", "1"]);
    cluster.until("the node is given back", |cluster| cluster.slurm("squeue -h").is_empty());
    println!("a node is given back {:.1} s after the order", begun.elapsed().as_secs_f64());
    assert_eq!(cluster.state(1), "paused");
    cluster.until("it is said", |cluster| cluster.says(&["log", "1"]).contains("is given back: told so"));
    assert!(cluster.file(1, "checkpoint").is_dir() && names(&cluster.at("out")).is_empty());

    cluster.says(&["resume", "1"]);
    cluster.until("at work again", |cluster| {
        cluster.rows()[0]["placement"]["node"].is_string() && cluster.running().len() == 1
    });
    // Others take its node, and Slurm begins it again.
    let node = cluster.running()[0].0.clone();
    cluster.slurm(&format!("sbatch -p first -w {node} --job-name first --output /dev/null --wrap true"));
    cluster.until("preempted", |cluster| cluster.says(&["log", "1"]).contains("is given back: SIGTERM"));
    cluster.until("at work again", |cluster| cluster.running().iter().any(|(_, job)| *job == 1));
    // The engine ends, and its jobs go on.
    cluster.says(&["stop"]);
    drop(engine);
    assert_eq!(cluster.running().len(), 1);
    let engine = cluster.engine();
    cluster.until("found again", |cluster| cluster.says(&["log", "1"]).contains("found again as Slurm task"));
    cluster.until_all_done(1);
    cluster.assert_as_local();

    // Cancelled, it leaves nothing.
    std::fs::copy(cluster.at("in/0.mp4"), cluster.at("again.mp4")).unwrap();
    ffmpeg("-i {} -c copy -t 5 {}", &[&cluster.at("again.mp4"), &cluster.at("in/b.mp4")]);
    cluster.until("at work", |cluster| cluster.observed(2) > 20);
    cluster.says(&["cancel", "2"]);
    cluster.until("the task is gone", |cluster| cluster.slurm("squeue -h").is_empty());
    cluster.until("its folder is gone", |cluster| names(&cluster.at("state/cluster")) == ["state"]);
    assert_eq!(names(&cluster.at("out")), ["0.motion.jsonl", "0.mp4", "0.report.json"]);
    drop(engine);

    // A task that ends without a result is told by what Slurm says of it.
    let text = std::fs::read_to_string(cluster.at("config.toml")).unwrap();
    let text =
        text.replace("[slurm]", "[slurm]\nprogram = \"/nowhere/meshreel\"").replace("[jobs]", "[jobs]\nattempts = 1");
    std::fs::write(cluster.at("config.toml"), &text).unwrap();
    ffmpeg("-i {} -c copy -t 4 {}", &[&cluster.at("again.mp4"), &cluster.at("in/c.mp4")]);
    let engine = cluster.engine();
    cluster.until("it fails", |cluster| cluster.state(3) == "failed");
    let status = cluster.says(&["status"]);
    assert!(
        status.contains("FAILED, NonZeroExitCode, exit code 127") && status.contains("/nowhere/meshreel"),
        "{status}"
    );
    drop(engine);
    // What to do is said where that is known.
    let text = text.replace("program = \"/nowhere/meshreel\"", "memory = \"50M\"");
    std::fs::write(cluster.at("config.toml"), text).unwrap();
    ffmpeg("-i {} -c copy -t 3 {}", &[&cluster.at("again.mp4"), &cluster.at("in/d.mp4")]);
    let _engine = cluster.engine();
    cluster.until("it fails", |cluster| cluster.state(4) == "failed");
    let status = cluster.says(&["status"]);
    assert!(status.contains("give tasks more memory (slurm.memory)"), "{status}");
}

#[test]
#[ignore = "starts a Slurm cluster: make test-cluster"]
fn whoever_is_killed_everything_is_done_once_with_the_same_results() {
    let cluster = Cluster::start(4, 7.0, "");
    let engine = cluster.engine();
    cluster.until("three at work", |cluster| {
        let running = cluster.running();
        running.len() == 3 && running.iter().all(|(_, job)| cluster.observed(*job) > 20)
    });
    // A controller that is killed before it has written down what it did gives numbers of tasks twice, and takes nodes out of service.
    let begun = SystemTime::now();
    let written = |cluster: &Cluster| cluster.at("slurm/state/job_state").metadata().and_then(|file| file.modified());
    cluster.until("the controller's state is written", |cluster| written(cluster).is_ok_and(|when| when > begun));
    let hit = cluster.running()[0].1;

    // The controller, while three are at work and one waits.
    assert!(signal("-KILL", process(&cluster.at("slurm/ctld.pid"))));
    // A worker, of whose end nobody can say anything now.
    assert!(signal("-KILL", cluster.worker(hit)));
    cluster.until("the engine says so", |cluster| cluster.engine_log().contains("does not answer"));
    // The engine.
    engine.kill();
    cluster.script(&["controller"], &[]);
    let _engine = cluster.engine();
    let hit = hit.to_string();
    cluster.until("the worker's end is told", |cluster| cluster.says(&["log", &hit]).contains("signal 9"));
    cluster.until_all_done(4);
    for job in ["1", "2", "3", "4"] {
        let log = cluster.says(&["log", job]);
        assert_eq!(log.lines().filter(|line| line.ends_with("  done")).count(), 1, "{log}");
    }
    cluster.assert_as_local();
    // For who runs it by hand and wants to see how it went.
    println!("{}", cluster.engine_log());
}

#[test]
#[ignore = "starts a Slurm cluster: make test-cluster"]
fn a_lost_node_that_comes_back_publishes_nothing() {
    let cluster = Cluster::start(1, 3.0, "");
    let _engine = cluster.engine();
    cluster.until("at work", |cluster| cluster.observed(1) > 10);
    let (node, _) = cluster.running()[0].clone();
    // The machine hangs: its worker stands still, and its daemon is dead.
    let lost = cluster.worker(1);
    assert!(signal("-STOP", lost));
    assert!(signal("-KILL", process(&cluster.at(&format!("slurm/slurmd-{node}.pid")))));
    cluster
        .until("Slurm gives the node up", |cluster| cluster.slurm("squeue -h -t pending -o %r").contains("BeginTime"));
    // It would wait for two minutes.
    cluster.slurm("scontrol update JobId=1 StartTime=now");
    cluster.until("another node takes it up", |cluster| {
        cluster.running().iter().any(|(other, _)| *other != node) && cluster.worker(1) != lost
    });
    // It is awake again while the other one works.
    assert!(signal("-CONT", lost));
    let events = |cluster: &Cluster| cluster.lines(1);
    cluster.until("it ends, or the other one is done", |cluster| {
        cluster.state(1) == "done"
            || events(cluster).iter().any(|line| line["left"]["why"].to_string().contains("another worker"))
    });
    cluster.until_all_done(1);
    let log = cluster.says(&["log", "1"]);
    assert!(log.contains("begun 2 times") && log.contains("belongs to another worker"), "{log}");
    assert_eq!(cluster.jobs(), [("done".to_owned(), 1)]);
    cluster.assert_as_local();
    cluster.until("the lost worker is gone", |_| !signal("-0", lost));
    assert_eq!(names(&cluster.at("out")), ["0.motion.jsonl", "0.mp4", "0.report.json"]);
    println!("{}", cluster.engine_log());
}

#[test]
#[ignore = "starts a Slurm cluster: make test-cluster"]
fn a_job_whose_task_runs_out_of_time_goes_on_in_another() {
    let cluster = Cluster::start(1, 4.0, "time = \"00:01:00\"\n");
    let _engine = cluster.engine();
    cluster.until("at work", |cluster| !cluster.running().is_empty() && cluster.observed(1) > 20);
    // Its worker stands still until Slurm warns it that the minute is nearly over, which wakes it.
    assert!(signal("-STOP", cluster.worker(1)));
    cluster.until("warned", |cluster| cluster.says(&["log", "1"]).contains("is given back: SIGUSR1"));
    cluster.until_all_done(1);
    let log = cluster.says(&["log", "1"]);
    assert!(log.contains("the job goes on in another"), "{log}");
    cluster.assert_as_local();
}
