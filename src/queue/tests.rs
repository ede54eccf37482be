use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::*;
use crate::export::Format;
use crate::job::{Backend, JobSettings, JobSpec, JobState, OutputNames, Placement, Stamp};

fn job(source: &str, content: u8, priority: i64) -> NewJob {
    NewJob {
        source: source.into(),
        stamp: Stamp { size: 10, modified: content.into() },
        content: [content; 32],
        output: "/out".into(),
        settings: JobSettings::default(),
        priority,
        backend: Backend::Local,
    }
}

fn queue() -> (tempfile::TempDir, Queue) {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(folder.path()).unwrap();
    (folder, queue)
}

fn claimed(id: i64) -> Claim {
    Claim {
        id,
        stamp: Stamp { size: 10, modified: 1 },
        spec: JobSpec {
            source: "/a".into(),
            outputs: OutputNames::new(Path::new("/out"), OsStr::new("a"), "mp4"),
            overwrite: false,
            settings: JobSettings::default(),
        },
        attempts: 1,
        priority: 0,
    }
}

#[test]
fn the_highest_priority_comes_first_then_the_oldest() {
    let (_folder, mut queue) = queue();
    for (name, content, priority) in [("/a", 1, 0), ("/b", 2, 5), ("/c", 3, 0), ("/d", 4, 5)] {
        queue.add(&job(name, content, priority), 0).unwrap().unwrap();
    }
    let mut order = Vec::new();
    while let Some(claim) = queue.claim(Backend::Local, 99, 1).unwrap() {
        order.push(claim.spec.source.to_string_lossy().into_owned());
    }
    assert_eq!(order, ["/b", "/d", "/a", "/c"]);
    assert!(queue.counts().unwrap().contains(&(JobState::Running, 4)));
}

#[test]
fn a_higher_priority_takes_the_turn_of_what_is_at_work() {
    let (_folder, mut queue) = queue();
    let add = |queue: &mut Queue, name: &str, content: u8, priority: i64| {
        queue.add(&job(name, content, priority), 0).unwrap().unwrap()
    };
    let (a, b) = (add(&mut queue, "/a", 1, 0), add(&mut queue, "/b", 2, 0));
    assert_eq!(queue.claim(Backend::Local, 1, 1).unwrap().unwrap().id, a);
    assert_eq!(queue.claim(Backend::Local, 1, 1).unwrap(), None, "one at a time");
    let c = add(&mut queue, "/c", 3, 5);
    assert_eq!(queue.turns(Backend::Local, 1, false, 1).unwrap(), [c]);
    assert_eq!(queue.claim(Backend::Local, 1, 1).unwrap().unwrap().id, c);
    queue.failed(c, "broken", 2).unwrap();
    assert_eq!(queue.turns(Backend::Local, 1, false, 2).unwrap(), [a], "goes on where it was");
    // Of equals, the one at work.
    queue.order(b, Order::Priority(0), "a test", false, 2).unwrap().unwrap();
    assert_eq!(queue.turns(Backend::Local, 1, false, 2).unwrap(), [a]);
    queue.set_mode(QueueMode::Drain).unwrap();
    assert_eq!(queue.turns(Backend::Local, 9, false, 2).unwrap(), [a]);
    queue.set_mode(QueueMode::Pause { until: Some(7) }).unwrap();
    assert_eq!((queue.turns(Backend::Local, 1, false, 2).unwrap(), queue.next_moment(2).unwrap()), (vec![], Some(7)));
    assert_eq!(queue.turns(Backend::Local, 9, false, 7).unwrap(), [a, b]);
}

#[test]
fn jobs_are_moved_among_their_equals_and_pauses_end() {
    let (_folder, mut queue) = queue();
    let mut add =
        |name: &str, content: u8, priority: i64| queue.add(&job(name, content, priority), 0).unwrap().unwrap();
    let [a, b, c, d] = [add("/a", 1, 0), add("/b", 2, 0), add("/c", 3, 0), add("/d", 4, 9)];
    let mut after = |id: i64, place: Place| {
        queue.order(id, Order::Move(place), "a test", false, 1).unwrap().unwrap();
        queue.turns(Backend::Local, 9, false, 1).unwrap()
    };
    assert_eq!(after(c, Place::Up), [d, a, c, b]);
    assert_eq!(after(c, Place::First), [d, c, a, b]);
    assert_eq!(after(c, Place::First), [d, c, a, b], "not before those of a higher priority");
    assert_eq!(after(c, Place::Last), [d, a, b, c]);
    assert_eq!(after(a, Place::Down), [d, b, a, c]);
    assert_eq!(after(a, Place::Up), [d, a, b, c]);

    queue.order(a, Order::Pause { until: Some(5) }, "a test", false, 2).unwrap().unwrap();
    queue.order(b, Order::Pause { until: None }, "a test", false, 2).unwrap().unwrap();
    assert_eq!((queue.next_moment(2).unwrap(), queue.resume_due(|_| false, 4).unwrap()), (Some(5), vec![]));
    assert_eq!(
        (queue.resume_due(|_| false, 5).unwrap(), queue.turns(Backend::Local, 9, false, 5).unwrap()),
        (vec![a], vec![d, a, c])
    );
    let said: Vec<String> = queue.log(Some(a), 9).unwrap().into_iter().map(|entry| entry.text).collect();
    let told = ["queued", "moved down, by a test", "moved up, by a test", "paused by a test", "the pause is over"];
    assert_eq!(said, told);
}

#[test]
fn orders_do_what_they_say_or_say_why_not() {
    let (_folder, mut queue) = queue();
    let a = queue.add(&job("/a", 1, 0), 0).unwrap().unwrap();
    let mut order = |order: Order, is_in_hand: bool| queue.order(a, order, "a test", is_in_hand, 1).unwrap();
    assert_eq!(order(Order::Resume, false), Err(format!("job {a} is queued")));
    assert_eq!(order(Order::Pause { until: None }, false), Ok(JobState::Paused));
    assert_eq!(order(Order::Resume, true), Ok(JobState::Running));
    assert_eq!(order(Order::Pause { until: None }, true), Ok(JobState::Paused));
    assert_eq!(order(Order::Resume, false), Ok(JobState::Queued));
    assert_eq!(order(Order::Cancel, false), Ok(JobState::Cancelled));
    assert!(order(Order::Retry, true).is_err(), "still ending");
    queue.failed(a, "disk full", 1).unwrap();
    let claim = claimed(a);
    queue.try_later(&claim, "disk full", 1).unwrap();
    queue.put_back(a, 1).unwrap();
    assert_eq!(queue.state(a).unwrap(), Some(JobState::Cancelled), "what the user said stands");
    let mut order = |order: Order, is_in_hand: bool| queue.order(a, order, "a test", is_in_hand, 1).unwrap();
    assert_eq!(order(Order::Retry, false), Ok(JobState::Queued));
    assert!(
        queue.order(99, Order::Pause { until: None }, "a test", false, 1).unwrap().unwrap_err().contains("no job 99")
    );
    let refused = queue.refuse(&job("/b", 2, 0), "a pipe", 1).unwrap();
    assert!(queue.order(refused, Order::Retry, "a test", false, 1).unwrap().is_err());
}

#[test]
fn the_same_contents_are_processed_once_and_changed_ones_again() {
    let (_folder, mut queue) = queue();
    let first = job("/in/a.mp4", 1, 0);
    assert!(!queue.has_seen(&first.source, first.stamp).unwrap());
    queue.add(&first, 0).unwrap().unwrap();
    assert!(queue.has_seen(&first.source, first.stamp).unwrap());
    assert_eq!(queue.add(&job("/in/copy.mp4", 1, 0), 0).unwrap(), None, "a copy");
    queue.order(1, Order::Pause { until: None }, "a test", false, 0).unwrap().unwrap();
    assert_eq!(queue.add(&job("/in/copy.mp4", 1, 0), 0).unwrap(), None, "a copy of what is paused");
    queue.order(1, Order::Resume, "a test", false, 0).unwrap().unwrap();
    let elsewhere = NewJob { output: "/other".into(), ..job("/in/copy.mp4", 1, 0) };
    assert!(queue.add(&elsewhere, 0).unwrap().is_some(), "another folder of results");

    let claim = queue.claim(Backend::Local, 99, 1).unwrap().unwrap();
    queue.failed(claim.id, "broken", 2).unwrap();
    assert!(queue.add(&job("/in/copy2.mp4", 1, 0), 3).unwrap().is_some(), "the first one failed");
    assert!(queue.add(&job("/in/a.mp4", 9, 0), 3).unwrap().is_some(), "changed");
}

#[test]
fn a_file_that_changes_before_its_turn_is_processed_once() {
    let (_folder, mut queue) = queue();
    queue.add(&job("/in/a.mp4", 1, 0), 0).unwrap();
    queue.add(&job("/in/a.mp4", 2, 0), 1).unwrap();
    let claim = queue.claim(Backend::Local, 99, 2).unwrap().unwrap();
    assert_eq!(claim.stamp.modified, 2);
    assert_eq!(queue.claim(Backend::Local, 99, 2).unwrap(), None);
}

#[test]
fn results_of_different_sources_never_share_a_name() {
    let (_folder, mut queue) = queue();
    for (source, content) in [("/in/a.mov", 1), ("/in/a.mp4", 2), ("/in/x/a.mp4", 3), ("/in/a.mov", 4)] {
        queue.add(&job(source, content, 0), 0).unwrap().unwrap();
    }
    let mut videos: Vec<_> =
        std::iter::from_fn(|| queue.claim(Backend::Local, 99, 1).unwrap()).map(|c| c.spec.outputs.video()).collect();
    videos.sort();
    assert_eq!(videos, ["/out/a.mp4", "/out/a.mp4-2.mp4", "/out/a.mp4.mp4"].map(PathBuf::from));
}

#[test]
fn an_export_that_somebody_else_made_gives_the_results_another_name() {
    let (folder, mut queue) = queue();
    std::fs::write(folder.path().join("a.p1.bvh"), "mine").unwrap();
    std::fs::write(folder.path().join("a.npz"), "mine").unwrap();
    let add = |content: u8, formats: &[Format]| {
        let settings = JobSettings { formats: formats.iter().copied().collect(), ..JobSettings::default() };
        let source = format!("/in/{content}/a.mov");
        NewJob { output: folder.path().to_owned(), settings, ..job(&source, content, 0) }
    };
    for (content, formats, name) in
        [(1, &[Format::Bvh][..], "a.mov.mp4"), (2, &[Format::Glb], "a.mp4"), (3, &[Format::Npz], "a.mov-2.mp4")]
    {
        queue.add(&add(content, formats), 0).unwrap().unwrap();
        let claim = queue.claim(Backend::Local, 99, 1).unwrap().unwrap();
        assert_eq!(claim.spec.outputs.video(), folder.path().join(name));
    }
}

#[test]
fn what_may_pass_is_tried_again_later_and_later() {
    let (_folder, mut queue) = queue();
    queue.add(&job("/a", 1, 0), 0).unwrap();
    let claim = queue.claim(Backend::Local, 99, 0).unwrap().unwrap();
    let first = queue.try_later(&claim, "disk full", 1000).unwrap();
    assert!(first > 1000 && queue.claim(Backend::Local, 99, first - 1).unwrap().is_none());
    assert_eq!(queue.next_ready(Backend::Local).unwrap(), Some(first));
    let again = queue.claim(Backend::Local, 99, first).unwrap().unwrap();
    assert_eq!(again.attempts, 2);
    let second = queue.try_later(&again, "disk full", first).unwrap();
    assert!(second - first > first - 1000);
}

#[test]
fn everything_outlives_the_program_and_a_video_that_crashes_it_twice_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Queue::open(folder.path()).unwrap();
    let mut queue = open();
    let bad = queue.add(&job("/in/bad", 1, 1), 0).unwrap().unwrap();
    queue.add(&job("/in/good", 2, 0), 0).unwrap();
    for round in 0..2 {
        assert_eq!(queue.claim(Backend::Local, 99, 1).unwrap().unwrap().id, bad, "round {round}");
        drop(queue);
        queue = open();
        assert_eq!(queue.recover(&[bad], |_| 0, 2).unwrap(), BTreeSet::from([PathBuf::from("/out")]));
    }
    let rows = queue.rows(10).unwrap();
    assert_eq!((rows[0].source.as_path(), rows[0].state), (Path::new("/in/good"), JobState::Queued));
    assert_eq!((rows[1].id, rows[1].state), (bad, JobState::Failed));
    assert!(rows[1].error.as_ref().unwrap().contains("2 times"), "{rows:?}");
    // Killed from outside any number of times, a job goes on.
    for _ in 0..5 {
        let claim = queue.claim(Backend::Local, 99, 3).unwrap().unwrap();
        assert_eq!((claim.spec.source.as_path(), claim.attempts), (Path::new("/in/good"), 1));
        queue.recover(&[], |_| 0, 3).unwrap();
    }
    // As long as it gets further; what never does is set aside.
    for (kills, reached) in (1..30).map(|frames| (frames, frames)).chain((1..20).map(|kill| (30 + kill, 30))) {
        assert!(queue.claim(Backend::Local, 99, 3).unwrap().is_some(), "after {kills}");
        queue.recover(&[], |_| reached, 3).unwrap();
    }
    assert!(queue.claim(Backend::Local, 99, 3).unwrap().is_some());
    queue.recover(&[], |_| 30, 3).unwrap();
    assert_eq!(queue.state(rows[0].id).unwrap(), Some(JobState::Failed));
    queue.order(rows[0].id, Order::Retry, "a test", false, 3).unwrap().unwrap();
    assert!(queue.claim(Backend::Local, 99, 3).unwrap().is_some());
}

#[test]
fn after_a_crash_those_at_work_go_on_alone_until_the_guilty_one_is_known() {
    let (_folder, mut queue) = queue();
    let ids: Vec<i64> = (0..4).map(|i| queue.add(&job(&format!("/in/{i}"), i + 1, 0), 0).unwrap().unwrap()).collect();
    let begin = |queue: &mut Queue, places: usize| {
        while queue.claim(Backend::Local, places, 1).unwrap().is_some() {}
        queue.turns(Backend::Local, places, false, 1).unwrap()
    };
    assert_eq!(begin(&mut queue, 3), ids[..3]);
    queue.recover(&ids[..3], |_| 0, 2).unwrap();
    // The first does nothing wrong, the second does.
    assert_eq!(begin(&mut queue, 3), ids[..1]);
    queue.cancelled(ids[0], "over", 3).unwrap();
    assert_eq!(begin(&mut queue, 3), ids[1..2]);
    queue.recover(&ids[1..2], |_| 0, 4).unwrap();
    assert_eq!(queue.state(ids[1]).unwrap(), Some(JobState::Failed));
    assert_eq!(begin(&mut queue, 3), ids[2..3]);
    queue.cancelled(ids[2], "over", 5).unwrap();
    let more = queue.add(&job("/in/more", 9, 0), 6).unwrap().unwrap();
    assert_eq!(begin(&mut queue, 3), [ids[3], more]);
    // Whoever is suspected later waits for those at work, and nobody is begun before.
    queue.recover(&[more], |_| 0, 7).unwrap();
    let last = queue.add(&job("/in/last", 10, 0), 8).unwrap().unwrap();
    assert_eq!(begin(&mut queue, 3), [ids[3]]);
    queue.cancelled(ids[3], "over", 9).unwrap();
    assert_eq!(begin(&mut queue, 3), [more]);
    queue.cancelled(more, "over", 10).unwrap();
    assert_eq!(begin(&mut queue, 3), [last]);
}

#[test]
fn a_later_schema_is_left_alone_and_history_is_pruned() {
    let (folder, mut queue) = queue();
    queue.add(&job("/a", 1, 0), 0).unwrap();
    let id = queue.claim(Backend::Local, 99, 0).unwrap().unwrap().id;
    queue.failed(id, "broken", 100).unwrap();
    assert_eq!((queue.prune(100).unwrap(), queue.prune(101).unwrap()), (0, 1));
    drop(queue);
    let db = rusqlite::Connection::open(file(folder.path())).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let error = Queue::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("later meshreel"), "{error}");
}

#[test]
fn each_back_end_has_turns_of_its_own() {
    let (_folder, mut queue) = queue();
    let add = |queue: &mut Queue, source: &str, content, priority, backend| {
        queue.add(&NewJob { backend, ..job(source, content, priority) }, 0).unwrap().unwrap()
    };
    let here = add(&mut queue, "/in/a.mp4", 1, 0, Backend::Local);
    let there = add(&mut queue, "/in/b.mp4", 2, 0, Backend::Slurm);
    let first = add(&mut queue, "/in/c.mp4", 3, 5, Backend::Slurm);
    assert_eq!(queue.turns(Backend::Local, 9, false, 1).unwrap(), [here]);
    assert_eq!(queue.turns(Backend::Slurm, 9, false, 1).unwrap(), [first, there]);
    assert_eq!(queue.claim(Backend::Slurm, 1, 1).unwrap().map(|claim| claim.id), Some(first));
    assert_eq!(queue.claim(Backend::Slurm, 1, 1).unwrap(), None);
    assert_eq!(queue.claim(Backend::Local, 1, 1).unwrap().map(|claim| claim.id), Some(here));
    assert_eq!((queue.next_ready(Backend::Local).unwrap(), queue.next_ready(Backend::Slurm).unwrap()), (None, Some(0)));
    assert_eq!(queue.state_with(first, Backend::Slurm).unwrap(), Some(JobState::Running));
    assert_eq!(queue.state_with(first, Backend::Local).unwrap(), None);

    let placement = Placement { task: 12, node: Some("n1".into()), gpus: "0".into(), waits: String::new() };
    queue.placed(first, Some(&placement)).unwrap();
    let shown = queue.row(first).unwrap().unwrap().placement.unwrap();
    assert_eq!((shown.to_string(), &shown), ("Slurm task 12 on node n1, GPU 0".into(), &placement));

    // What is on the cluster goes on while the engine is away; what crashed it is to blame.
    queue.recover(&[here, first], |_| 0, 2).unwrap();
    queue.recover(&[here, first], |_| 0, 3).unwrap();
    assert_eq!(queue.claim(Backend::Slurm, 1, 4).unwrap().map(|claim| (claim.id, claim.attempts)), Some((first, 1)));

    // The configuration has another word for them.
    queue.assign(|source| if source == Path::new("/in/b.mp4") { Backend::Local } else { Backend::Slurm }).unwrap();
    assert_eq!(queue.turns(Backend::Local, 9, false, 5).unwrap(), [there]);
    // What was blamed for a crash is at work alone.
    assert_eq!(queue.turns(Backend::Slurm, 9, false, 5).unwrap(), [first]);
    queue.order(first, Order::Cancel, "a test", false, 5).unwrap().unwrap();
    assert_eq!(queue.turns(Backend::Slurm, 9, false, 5).unwrap(), [here]);
}
