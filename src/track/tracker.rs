//! Follows people from keyframe to keyframe: the state that the stages of tracking share.
//!
//! Keyframes are about 0.2 s apart. On each one people are searched for in the whole picture ([`Tracker::search`], in `detect`) and those
//! found become those known, or new ([`Tracker::associate`], in `associate`). For the frames between two keyframes it is then known
//! where to look for whom (`refine`). The tracker sees keyframes in order and asks nothing itself:
//! its caller has its queries answered, by whom and in which order does not matter.

use serde::{Deserialize, Serialize};

use super::detect::Search;
use super::link::LONGEST_GAP;
use super::similarity::is_small;
use super::tiles::{Orientations, TileSchedule};
use super::track_state::TrackletState;
use super::{Keyframe, camera::Trajectory};
use crate::geometry::quarter_turns;
use crate::models::Network;
use crate::pose::Tile;

/// Seconds between keyframes while everybody is in sight.
const KEYFRAME_INTERVAL: f64 = 0.2;
/// Between keyframes a person is looked at no more than so many times a second, except where keyframes come closer.
const MOST_LOOKS: f64 = 24.0;
/// Keyframes after which a tracker that begins in the middle of a clip knows who is there: the fourth proves them.
const TO_BEGIN: u64 = 3;
/// Keyframes on which nothing must be in the way of finding somebody before it is left to another tracker that begins there.
const TO_SETTLE: u64 = 2;
/// Keyframes after which it is left to that one anyway.
const MOST_TO_SETTLE: u64 = 10;
/// How many times as often keyframes come while somebody turns head over heels. With three, more people were lost in turns (docs/accuracy.md).
const CLOSER_TURNING: u64 = 5;
/// How many times as often they come while somebody is lost, or turns where small people are about.
const CLOSER_LOST: u64 = 3;
/// Seconds after which somebody who is not observed is followed no longer. Longer gaps are closed by linking tracklets.
const PATIENCE: f64 = 0.5;
/// The same for somebody who was behind others: as long as linking closes gaps.
const PATIENCE_BEHIND: f64 = LONGEST_GAP;
/// Seconds from one look behind all large people to the next.
const LOOK_BEHIND_INTERVAL: f64 = 1.0;
/// One of this many people must have some orientation for the person detector to be shown each picture in it: in crowds somebody is
/// taken for lying now and then.
const FAIR_SHARE: usize = 4;

/// Finds people on keyframes and follows them from one to the next.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tracker {
    /// Frames a second.
    pub(super) fps: f64,
    /// Size of the picture, displayed pixels.
    pub(super) display: [u32; 2],
    /// The landmark network that is asked about everybody.
    pub(super) network: Network,
    /// Whether the heavy network is asked about some as well.
    pub(super) uses_heavy: bool,
    /// The people who are followed.
    pub(super) states: Vec<TrackletState>,
    /// Number of the next tracklet.
    pub(super) next_tracklet: u32,
    /// Index of the last keyframe.
    pub(super) last_keyframe: Option<u64>,
    /// Index of the keyframe since which whoever is worth finding stands in full sight.
    settled_since: Option<u64>,
    /// Whether nothing is known of the picture: at the beginning, and after frames that are corrupt.
    pub(super) starts_over: bool,
    /// Index of the last frame that the person detector was shown.
    last_detection: u64,
    /// Index of the last keyframe on which somebody was looked for behind all large people.
    last_look_behind: u64,
    schedule: TileSchedule,
}

impl Tracker {
    /// For a video of so many frames a second and this size. `network` is asked about everyone; with `uses_heavy` the heavy one is asked
    /// as well, now and then ([`super::is_heavy_due`]).
    pub fn new(fps: f64, display: [u32; 2], network: Network, uses_heavy: bool) -> Self {
        Self {
            fps,
            display,
            network,
            uses_heavy: uses_heavy && network != Network::Heavy,
            states: Vec::new(),
            next_tracklet: 0,
            last_keyframe: None,
            settled_since: None,
            starts_over: true,
            last_detection: 0,
            last_look_behind: 0,
            schedule: TileSchedule::default(),
        }
    }

    /// Frames between keyframes while everybody is in sight.
    pub(super) fn interval(&self) -> u64 {
        ((self.fps * KEYFRAME_INTERVAL).round() as u64).max(1)
    }

    /// Of the frames before the next keyframe every so many may be looked at, counted from the last one: all of them where keyframes come closer.
    pub fn stride(&self) -> u64 {
        let is_close = self.last_keyframe.is_some_and(|last| self.next_keyframe() < last + self.interval());
        if is_close { 1 } else { ((self.fps / MOST_LOOKS) as u64).max(1) }
    }

    /// Frames from the one on which a tracker begins to the one on which it can be relied on, both included.
    pub fn beginning(&self) -> u64 {
        TO_BEGIN * self.interval() + 1
    }

    /// Frames after those at most for which it is worth waiting until it [is settled](Self::is_settled).
    pub fn settling(&self) -> u64 {
        MOST_TO_SETTLE * self.interval()
    }

    /// Whether a tracker that began a moment ago knows whom this one follows, since nothing was in the way of finding them: on the last
    /// keyframes whoever is worth finding was observed, seen by the person detector, and upright.
    pub fn is_settled(&self) -> bool {
        let Some(last) = self.last_keyframe else { return true };
        self.settled_since.is_some_and(|since| last - since >= TO_SETTLE * self.interval())
    }

    /// Frames are corrupt: the next one that is not is a keyframe, and the whole of it is searched.
    pub fn start_over(&mut self) {
        self.starts_over = true;
    }

    /// Index of the frame that should be the next keyframe: 0 at a start, and sooner than usual while somebody is lost or turns head over
    /// heels.
    pub fn next_keyframe(&self) -> u64 {
        let Some(last) = self.last_keyframe.filter(|_| !self.starts_over) else { return 0 };
        let is_any = |is: &dyn Fn(&TrackletState) -> bool| self.states.iter().any(is);
        let is_turning = is_any(&|state| state.is_turning(self.fps, self.display));
        // Among small people those who seem to turn are mistakes more often than not, and each keyframe is dear.
        let closer = if is_turning && !is_any(&|state| is_small(&state.region(), self.display)) {
            CLOSER_TURNING
        } else if is_turning || is_any(&|state| self.is_lost(state, last)) {
            CLOSER_LOST
        } else {
            1
        };
        last + self.interval().div_ceil(closer)
    }

    /// Whether somebody worth finding was not observed on the last keyframe.
    pub(super) fn is_lost(&self, state: &TrackletState, last: u64) -> bool {
        state.frame != last && state.is_worth_finding(self.display)
    }

    /// Begins the search on a keyframe; the trajectory reaches as far. Its candidates are for [`Tracker::associate`].
    pub fn search(&mut self, frame: u64, trajectory: &Trajectory) -> Search<'_> {
        let patience = |seconds: f64| (self.fps * seconds).max(2.0 * self.interval() as f64) as u64;
        let [usual, behind] = [PATIENCE, PATIENCE_BEHIND].map(patience);
        self.states.retain(|state| frame - state.frame <= if state.is_behind { behind } else { usual });
        let shift = trajectory.moved(self.last_keyframe.unwrap_or(frame), frame);
        self.states.iter_mut().for_each(|state| state.shift(shift));
        let orientations = self.orientations();
        let tiles = self.tiles(frame, &orientations);
        let looks_behind_all = (frame - self.last_look_behind) as f64 >= LOOK_BEHIND_INTERVAL * self.fps;
        if looks_behind_all {
            self.last_look_behind = frame;
        }
        Search::new(self, frame, orientations, tiles, looks_behind_all)
    }

    /// The tiles for the person detector on this keyframe. There are none on keyframes that there are only because somebody turns, unless
    /// small people, who are seldom shown, are about.
    fn tiles(&mut self, frame: u64, orientations: &Orientations) -> Vec<Tile> {
        let Some(last) = self.last_keyframe.filter(|_| !self.starts_over) else {
            self.last_detection = frame;
            return TileSchedule::first(self.display);
        };
        let is_needed = |state: &TrackletState| self.is_lost(state, last) || is_small(&state.region(), self.display);
        if !self.states.iter().any(is_needed) && frame - self.last_detection < self.interval() {
            return Vec::new();
        }
        self.last_detection = frame;
        let is_well = |state: &TrackletState| state.is_proven && state.was_detected && !self.is_lost(state, last);
        let is_calm = !self.states.is_empty() && self.states.iter().all(is_well);
        let detected = self.states.iter().filter(|state| state.was_detected);
        let bounds: Vec<_> = detected.map(|s| s.observation.landmarks.visible_bounds(self.display)).collect();
        self.schedule.next(self.display, &bounds, orientations, is_calm)
    }

    /// The orientations that a fair share of those tracked have.
    fn orientations(&self) -> Orientations {
        let are_guessed = !self.states.iter().any(|state| state.is_proven);
        // Upright begins with one vote, and each person has two.
        let mut votes = [1_usize, 0, 0, 0];
        for state in self.states.iter().filter(|state| state.is_proven || are_guessed) {
            votes[usize::from(quarter_turns(state.region().rotation))] += 2;
        }
        let fair = votes.iter().sum::<usize>() / FAIR_SHARE;
        let mut usual: Vec<u8> = (0..4).filter(|&turns| turns == 0 || votes[usize::from(turns)] > fair).collect();
        usual.sort_by_key(|&turns| std::cmp::Reverse(votes[usize::from(turns)]));
        Orientations { usual, are_guessed }
    }

    /// The state of a tracklet.
    pub(super) fn state_mut(&mut self, tracklet: u32) -> Option<&mut TrackletState> {
        self.states.iter_mut().find(|state| state.tracklet == tracklet)
    }

    /// Ends a keyframe.
    pub(super) fn end_keyframe(&mut self, keyframe: Keyframe) -> Keyframe {
        (self.last_keyframe, self.starts_over) = (Some(keyframe.index), false);
        let is_in_sight =
            |state: &TrackletState| state.frame == keyframe.index && state.was_detected && state.is_upright();
        let mut worth_finding = self.states.iter().filter(|state| state.is_worth_finding(self.display));
        let are_in_sight = worth_finding.all(is_in_sight);
        self.settled_since = are_in_sight.then(|| self.settled_since.unwrap_or(keyframe.index));
        keyframe
    }
}
