//! Pass 1: decode, find people on keyframes, and observe them in every frame.
//!
//! A clip is observed in stretches, several at the same time, each by itself (`stretch`). They share some frames, in which the later one
//! gets to know who is there, and are joined in the end ([`Sightings::go_on_with`]). How many these are the earlier one decides: it leaves
//! nobody to the later one who cannot easily be found ([`Tracker::is_settled`]). Where they begin and end is fixed by the clip alone, so
//! that the result depends neither on how many are under way at once nor on which is done first.
//!
//! What a damaged file makes of a frame depends on all before it. So the first stretch in which not all is in order goes on to the end of the
//! clip, and what is behind it is dropped, whether it was begun or not.

mod stretch;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::answer::View;
use super::checkpoint::Checkpoint;
use super::decode::{WHOLE, stretches};
use super::engine::every_frame;
use super::own_networks::OwnNetworks;
use super::pool::DetectionPool;
use super::{Job, JobError, check_length, join, spawn};
use crate::config::Limits;
use crate::job::{Event, Model, Phase, Share};
use crate::media::{ClockJump, Decoder, Stretches};
use crate::telemetry::Timings;
use crate::thread::locked;
use crate::track::{Sightings, Tracker, Trajectory};
use stretch::{End, Outcome, Stretch};

/// How often it is looked how far others are.
const LOOK: Duration = Duration::from_secs(2);
/// Threads of each decoder where a clip has several stretches. When damage shows depends on how many there are, and that must be the same
/// everywhere.
const THREADS: usize = 1;

/// What pass 1 knows of a clip.
pub struct Observed {
    /// Whether all of it is whole and in order.
    pub is_sound: bool,
    /// Seconds of every frame.
    pub times: Vec<f64>,
    /// Frames that are corrupt, since frames they build on are missing.
    pub corrupt: BTreeSet<u64>,
    /// The people.
    pub sightings: Sightings,
    /// What could not be decoded.
    pub lost: Vec<String>,
    /// Where the clock of the file jumped.
    pub jumps: Vec<ClockJump>,
    /// Where decoders may begin.
    pub stretches: Stretches,
}

/// Observes everybody in a video, from where the checkpoint ends, in so many stretches `at_once`.
pub fn observe(
    job: &Job<'_>,
    decoder: Decoder,
    limits: &Limits,
    pool: &DetectionPool,
    own: OwnNetworks,
    checkpoint: &Checkpoint,
    at_once: usize,
) -> Result<Observed, JobError> {
    let info = decoder.info().clone();
    let network = every_frame(job.settings().model);
    let tracker = Tracker::new(info.frame_rate, info.geometry.display, network, job.settings().model == Model::Auto);
    let stretches = stretches(job, &info)?;
    let parts = parts(&stretches, tracker.beginning(), tracker.settling());
    let is_one = parts.len() == 1;
    job.tell(Event::Stretches(parts.len()));
    let times = if is_one { &[] } else { stretches.times() };
    for &time in times {
        check_length(limits, time)?;
    }
    let observing = Observing {
        job,
        limits,
        pool,
        timings: &job.context.timings,
        checkpoint,
        view: View {
            geometry: info.geometry,
            color: info.color,
            network,
            own,
            hands: job.settings().hands,
            frame_rate: info.frame_rate,
        },
        tracker,
        segment: job.settings().encode.segment_frames(info.frame_rate),
        total: if is_one { info.frames } else { Some(times.len() as u64) },
        stretches: &stretches,
        times,
        order: job.context.share.order(parts.len()),
        begun: AtomicUsize::new(0),
        looked: Mutex::new(Instant::now()),
        outcomes: Mutex::new(parts.iter().map(|_| None).collect()),
        parts,
    };
    std::thread::scope(|scope| {
        let others = (1..at_once.min(observing.parts.len()))
            .map(|_| spawn(scope, "observe", || observing.take_parts(None)))
            .collect::<Result<Vec<_>, _>>();
        let mut result = observing.take_parts(is_one.then_some(decoder));
        for other in others? {
            result = result.and(join(other));
        }
        result
    })?;
    if observing.is_left_to_others() {
        let sightings = Sightings::new(BTreeMap::new(), Trajectory::default());
        let (times, corrupt, lost, jumps) = Default::default();
        return Ok(Observed { is_sound: false, times, corrupt, sightings, lost, jumps, stretches });
    }
    let Outcome { times, sightings, corrupt, end: End { lost, jumps } } = observing.joined()?;
    let is_sound = lost.is_empty() && jumps.is_empty();
    Ok(Observed { is_sound, times, corrupt, sightings, lost, jumps, stretches })
}

/// A stretch of a clip.
struct Part {
    /// Its first frame.
    begin: u64,
    /// Frames of which its observations count, where it ends as soon as it may. (Then those of the one before count up to where that ends.)
    own: Range<u64>,
    /// Where it ends at the latest.
    end: u64,
    /// How many of its own frames are through.
    done: AtomicU64,
    /// The first frame at which something is not whole or not in order, as the decoder finds it.
    damaged_from: AtomicU64,
    /// Whether it has come to such a frame. Then it goes on to the end of the clip.
    is_damaged: AtomicBool,
    /// Whether nobody wants it any more.
    is_over: AtomicBool,
}

/// The stretches of a clip. Each goes on for `shared` frames into the next one, and for at most so many `more`.
fn parts(stretches: &Stretches, shared: u64, more: u64) -> Vec<Part> {
    let times = stretches.times();
    let (end, frames) = (times.last().copied().unwrap_or(0.0), times.len() as u64);
    let mut begins = vec![0];
    for cut in stretches.cuts(end) {
        // Where frames are rare a stretch may have hardly more of them than it shares.
        if cut > begins[begins.len() - 1] + shared + more && cut + shared + more < frames {
            begins.push(cut);
        }
    }
    let from =
        |number: usize| if number == 0 { 0 } else { begins.get(number).map_or(u64::MAX, |begin| begin + shared) };
    let part = |(number, &begin): (usize, &u64)| Part {
        begin,
        own: from(number)..from(number + 1),
        end: from(number + 1).saturating_add(more),
        done: AtomicU64::new(0),
        damaged_from: AtomicU64::new(WHOLE),
        is_damaged: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
    };
    begins.iter().enumerate().map(part).collect()
}

/// A clip that is being observed, for all threads that take part.
struct Observing<'a> {
    job: &'a Job<'a>,
    limits: &'a Limits,
    pool: &'a DetectionPool,
    timings: &'a Arc<Timings>,
    checkpoint: &'a Checkpoint,
    view: View,
    /// One that has seen nothing yet.
    tracker: Tracker,
    /// Frames after which there is a checkpoint, at the next keyframe.
    segment: u64,
    /// Frames in the video, as far as known.
    total: Option<u64>,
    /// Where decoders may begin.
    stretches: &'a Stretches,
    /// Seconds of all frames, where there are several stretches.
    times: &'a [f64],
    parts: Vec<Part>,
    /// The order in which they are begun, and how many were.
    order: Vec<usize>,
    begun: AtomicUsize,
    /// When it was last looked how far others are.
    looked: Mutex<Instant>,
    outcomes: Mutex<Vec<Option<Outcome>>>,
}

impl Observing<'_> {
    /// Observes one stretch after the other until none is left.
    fn take_parts(&self, mut decoder: Option<Decoder>) -> Result<(), JobError> {
        while let Some(&number) = self.order.get(self.begun.fetch_add(1, Ordering::AcqRel)) {
            let part = &self.parts[number];
            let mut outcome = Ok(None);
            // No outcome: another process has observed it; what that has written is read.
            while matches!(outcome, Ok(None)) && !part.is_over.load(Ordering::Acquire) {
                outcome = Stretch::new(self, number, part).observe(decoder.take());
            }
            if outcome.is_err() {
                self.end_from(0);
            }
            locked(&self.outcomes)[number] = outcome?;
        }
        Ok(())
    }

    /// Nobody wants the stretches from this one on.
    fn end_from(&self, number: usize) {
        self.parts.iter().skip(number).for_each(|part| part.is_over.store(true, Ordering::Release));
    }

    /// Whether this process helps, and has found that the clip is damaged: then it is no help.
    fn is_left_to_others(&self) -> bool {
        let is_helper = matches!(self.job.context.share, Share::Helper { .. });
        is_helper && self.parts.iter().any(|part| part.is_damaged.load(Ordering::Acquire))
    }

    /// The stretches that count: all up to the first in which something was not in order.
    fn counting(&self) -> &[Part] {
        let damaged = self.parts.iter().position(|part| part.is_damaged.load(Ordering::Acquire));
        &self.parts[..damaged.map_or(self.parts.len(), |number| number + 1)]
    }

    /// Tells how far all of them are; on the last keyframe there were so many people.
    fn progress(&self, people: usize) {
        if let Err(error) = self.look_around() {
            tracing::debug!("how far others are cannot be seen: {error}");
        }
        let done = self.counting().iter().map(|part| part.done.load(Ordering::Acquire)).sum();
        self.job.tell(Event::Progress { phase: Phase::Observe, done, total: self.total, people });
    }

    /// Notes how far others are who work on the clip as well.
    fn look_around(&self) -> Result<(), JobError> {
        // Whoever is at it does it for all.
        let Ok(mut looked) = self.looked.try_lock() else { return Ok(()) };
        if !self.job.context.share.is_shared() || looked.elapsed() < LOOK {
            return Ok(());
        }
        *looked = Instant::now();
        let all = self.checkpoint.observed_until()?;
        for part in &self.parts {
            let until = all.get(&part.begin).map_or(0, |&(until, _)| until);
            part.done.fetch_max(until.min(part.own.end).saturating_sub(part.own.start), Ordering::AcqRel);
        }
        Ok(())
    }

    /// Whether others have observed all of a stretch.
    fn is_done(&self, part: &Part) -> Result<bool, JobError> {
        let share = self.job.context.share;
        Ok(share.is_shared() && self.checkpoint.observed_until()?.get(&part.begin).is_some_and(|&(_, is_all)| is_all))
    }

    /// What all of them together say.
    fn joined(&self) -> Result<Outcome, JobError> {
        let mut outcomes = std::mem::take(&mut *locked(&self.outcomes)).into_iter();
        let missing = || JobError::Internal("a stretch was not observed".into());
        let Outcome { mut times, mut sightings, mut corrupt, mut end } =
            outcomes.next().flatten().ok_or_else(missing)?;
        for part in &self.counting()[1..] {
            let outcome = outcomes.next().flatten().ok_or_else(missing)?;
            let from = times.len() as u64;
            tracing::debug!("the stretch from frame {} on counts from frame {from} on", part.begin);
            times.extend(outcome.times.iter().skip((from - part.begin) as usize));
            sightings.go_on_with(outcome.sightings, from);
            corrupt.extend(outcome.corrupt.range(from..));
            end = outcome.end;
        }
        Ok(Outcome { times, sightings, corrupt, end })
    }
}
