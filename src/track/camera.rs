//! How the camera moves: by how much the scene shifts in the picture from frame to frame.
//!
//! Most videos of people are filmed by hand, and where somebody is predicted to be is off by as much as the camera was jerked. So each
//! frame is shrunk and laid over an earlier one, the anchor, where the mean squared difference of their pixels is least. The difference of
//! each pixel is capped, so that people who move say little against a background that does not. Turning and zooming of the camera are
//! seen as the shift that they are for most of the picture.

use glam::{DAffine2, DVec2};
use serde::{Deserialize, Serialize};

use crate::pose::Picture;

/// Longer side of a shrunk frame, pixels. Shifts are right to 2.4 displayed pixels a keyframe in the mean on a video of 1280 pixels; twice as
/// many pixels win 8 % (docs/accuracy.md).
const LONGEST: u32 = 160;
/// Shorter side of a shrunk frame, pixels, below which there is too little to see a shift by.
const SHORTEST: usize = 32;
/// Grey levels (of 255) at which the difference of a pixel is capped: pixels that differ by more show something else.
const MOST_DIFFERENT: i32 = 24;
/// How far to each side of the last shift the best one is searched for, in pixels of a frame shrunk once more.
const REACH: i32 = 10;
/// Shift in shrunk pixels after which the anchor is replaced by a later frame, since too little of it is still in the picture.
const FARTHEST: f64 = 12.0;
/// Frames after which the anchor is replaced anyway: people move, the camera turns, light changes. With every frame an anchor, shifts of less
/// than a pixel are rounded away and the error is twice as large; with anchors half a second old it is 1.4 times as large.
const OLDEST: u32 = 5;
/// Shift in shrunk pixels below which the camera stands still and it is people that move.
const STILL: f64 = 0.15;
/// Where two frames show the same scene, the least difference is below this share of the mean over all shifts.
const DISTINCT: f64 = 0.85;

/// Where the scene is in the picture in each frame so far, relative to the first frame, displayed pixels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trajectory {
    /// Index of the first frame.
    first: u64,
    places: Vec<DVec2>,
}

impl Trajectory {
    /// Of this many frames and their places.
    pub fn of(places: Vec<DVec2>) -> Self {
        Self { first: 0, places }
    }

    /// Of frames from this index on.
    pub fn from(first: u64) -> Self {
        Self { first, places: Vec::new() }
    }

    /// Adds the next frame's place.
    pub fn push(&mut self, place: DVec2) {
        self.places.push(place);
    }

    /// The places of all frames from the first one on.
    pub fn places(&self) -> &[DVec2] {
        &self.places
    }

    /// Goes on with that of a later part of the clip, of which this one has the first frame as well: there both are in one place.
    pub(super) fn go_on_with(&mut self, later: &Self) {
        let shared = usize::try_from(later.first.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let at = |places: &[DVec2], frame: usize| places.get(frame).or(places.last()).copied().unwrap_or_default();
        let by = at(&self.places, shared) - at(&later.places, 0);
        self.places.truncate(shared);
        self.places.extend(later.places.iter().map(|place| place + by));
    }

    /// How far the scene has moved from one frame to another.
    pub fn moved(&self, from: u64, to: u64) -> DVec2 {
        let at = |frame: u64| {
            let place = self.places.get(frame.saturating_sub(self.first) as usize);
            place.or(self.places.last()).copied().unwrap_or_default()
        };
        at(to) - at(from)
    }

    /// How far the scene is in a frame from where it would be had it gone straight from where it is in `first` to where it is in `last`.
    pub fn off_straight(&self, first: u64, last: u64, frame: u64) -> DVec2 {
        let share = (frame - first) as f64 / (last - first).max(1) as f64;
        self.moved(first, frame) - share * self.moved(first, last)
    }
}

/// Grey levels of a shrunk frame, row by row.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Grey {
    width: usize,
    height: usize,
    levels: Vec<u8>,
}

impl Grey {
    /// Half as wide and high.
    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let levels = (0..width * height).map(|i| {
            let first = 2 * (i / width) * self.width + 2 * (i % width);
            let four = [0, 1, self.width, self.width + 1].map(|by| u32::from(self.levels[first + by]));
            (four.iter().sum::<u32>() / 4) as u8
        });
        Self { width, height, levels: levels.collect() }
    }

    /// Mean of the capped squared differences from a frame of the same size that is moved by (x, y); `None` where less than half of
    /// them lies on each other.
    fn difference(&self, other: &Self, [x, y]: [i32; 2]) -> Option<f64> {
        let (width, height) = (self.width as i32 - x.abs(), self.height as i32 - y.abs());
        if width <= 0 || height <= 0 || 2 * width * height < (self.width * self.height) as i32 {
            return None;
        }
        let [left, top] = [x, y].map(|by| by.max(0) as usize);
        let [other_left, other_top] = [x, y].map(|by| (-by).max(0) as usize);
        let mut sum = 0_u64;
        for row in 0..height as usize {
            let a = &self.levels[(top + row) * self.width + left..][..width as usize];
            let b = &other.levels[(other_top + row) * self.width + other_left..][..width as usize];
            let square = |(&a, &b): (&u8, &u8)| {
                let off = (i32::from(a) - i32::from(b)).abs().min(MOST_DIFFERENT);
                (off * off) as u32
            };
            sum += u64::from(a.iter().zip(b).map(square).sum::<u32>());
        }
        Some(sum as f64 / f64::from(width * height))
    }
}

/// The frame that later ones are laid over.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Anchor {
    fine: Grey,
    coarse: Grey,
    /// Where the scene is in it, displayed pixels.
    place: DVec2,
    /// Frames since.
    age: u32,
}

/// Follows the scene from frame to frame.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Stabilizer {
    anchor: Option<Anchor>,
    /// Where the scene was in the last frame, relative to the anchor, in shrunk pixels.
    last: DVec2,
}

impl Stabilizer {
    /// Where the scene is in the next frame, relative to the first one, displayed pixels.
    pub fn follow(&mut self, picture: &Picture<'_>) -> DVec2 {
        let display = picture.geometry.display;
        let scale = f64::from(display[0].max(display[1]).div_ceil(LONGEST).max(1));
        let [width, height] = display.map(|side| (f64::from(side) / scale) as usize);
        if width.min(height) < SHORTEST {
            return DVec2::ZERO;
        }
        let levels = picture.shrink_luma(DAffine2::from_scale(DVec2::splat(scale)), [width, height]);
        self.follow_grey(Grey { width, height, levels }, scale)
    }

    fn follow_grey(&mut self, fine: Grey, scale: f64) -> DVec2 {
        let coarse = fine.halved();
        let Some(anchor) = &mut self.anchor else {
            self.anchor = Some(Anchor { fine, coarse, place: DVec2::ZERO, age: 0 });
            return DVec2::ZERO;
        };
        anchor.age += 1;
        let found = shift(anchor, &fine, &coarse, self.last);
        self.last = found.unwrap_or(self.last);
        let place = anchor.place + scale * self.last;
        if found.is_none() || self.last.abs().max_element() > FARTHEST || anchor.age >= OLDEST {
            *anchor = Anchor { fine, coarse, place, age: 0 };
            self.last = DVec2::ZERO;
        }
        place
    }
}

/// By how much a frame is moved from the anchor, in shrunk pixels; `None` where it shows something else. `last`: the frame before.
fn shift(anchor: &Anchor, fine: &Grey, coarse: &Grey, last: DVec2) -> Option<DVec2> {
    let middle = (last / 2.0).round().as_ivec2();
    let reach = || -REACH..=REACH;
    let all = reach().flat_map(|y| reach().map(move |x| [middle.x + x, middle.y + y]));
    let all: Vec<_> = all.filter_map(|by| Some((coarse.difference(&anchor.coarse, by)?, by))).collect();
    let mean = all.iter().map(|(difference, _)| difference).sum::<f64>() / all.len().max(1) as f64;
    let least = |all: &[(f64, [i32; 2])]| all.iter().min_by(|a, b| a.0.total_cmp(&b.0)).copied();
    let (difference, by) = least(&all)?;
    let unmoved = coarse.difference(&anchor.coarse, [0, 0])?;
    if difference >= DISTINCT * mean {
        return (unmoved <= difference).then_some(DVec2::ZERO);
    }
    let near = || -2..=2;
    let at = |by: [i32; 2]| fine.difference(&anchor.fine, by);
    let all = near().flat_map(|y| near().map(move |x| [2 * by[0] + x, 2 * by[1] + y]));
    let all: Vec<_> = all.filter_map(|by| Some((at(by)?, by))).collect();
    let (difference, by) = least(&all)?;
    // Between whole pixels: the lowest point of the parabola through the neighbours.
    let between = |step: [i32; 2]| -> f64 {
        let [before, after] = [-1, 1].map(|side| at([by[0] + side * step[0], by[1] + side * step[1]]));
        let (Some(before), Some(after)) = (before, after) else { return 0.0 };
        let bend = before + after - 2.0 * difference;
        if bend > 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
    };
    let shift = DVec2::new(f64::from(by[0]) + between([1, 0]), f64::from(by[1]) + between([0, 1]));
    Some(if shift.abs().max_element() < STILL { DVec2::ZERO } else { shift })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scene of smooth blobs, looked at from a place.
    fn scene(at: DVec2, person: Option<DVec2>) -> Grey {
        let (width, height) = (160, 90);
        let level = |i: usize| {
            let p = DVec2::new((i % width) as f64, (i / width) as f64);
            let s = p - at;
            let blobs = (0.21 * s.x).sin() * (0.17 * s.y + 1.0).cos() + (0.093 * s.x + 0.11 * s.y).sin();
            let on = person.is_some_and(|person| ((p - person) / DVec2::new(12.0, 30.0)).length() < 1.0);
            if on { 230 } else { (110.0 + 40.0 * blobs) as u8 }
        };
        Grey { width, height, levels: (0..width * height).map(level).collect() }
    }

    #[test]
    fn the_shift_of_the_scene_is_followed_whoever_walks_through() {
        let mut stabilizer = Stabilizer::default();
        let mut places = Vec::new();
        for frame in 0..80 {
            let t = f64::from(frame);
            let truth = DVec2::new(0.9 * t + 6.0 * (0.4 * t).sin(), -0.3 * t + 4.0 * (0.3 * t).sin());
            let person = DVec2::new(150.0 - 1.7 * t, 45.0);
            places.push((8.0 * truth, stabilizer.follow_grey(scene(truth, Some(person)), 8.0)));
        }
        for ((truth, place), (next_truth, next_place)) in places.iter().zip(&places[10..]) {
            let off = (next_place - place) - (next_truth - truth);
            assert!(off.length() < 8.0, "off by {off} of {}", next_truth - truth);
        }
        let off = places[79].0.distance(places[79].1);
        assert!(off < 0.03 * places[79].0.length(), "off by {off} in the end");
    }

    #[test]
    fn a_camera_on_a_tripod_stands_still() {
        let mut stabilizer = Stabilizer::default();
        for frame in 0..60 {
            let person = DVec2::new(10.0 + 2.5 * f64::from(frame), 45.0);
            assert_eq!(stabilizer.follow_grey(scene(DVec2::ZERO, Some(person)), 8.0), DVec2::ZERO, "frame {frame}");
        }
    }

    #[test]
    fn a_cut_and_blank_pictures_are_no_movement() {
        let mut stabilizer = Stabilizer::default();
        let before = [0.0, 5.0, 10.0].map(|x| stabilizer.follow_grey(scene(DVec2::new(x, 0.0), None), 8.0));
        assert!((before[2].x - 80.0).abs() < 2.0);
        let blank = || Grey { width: 160, height: 90, levels: vec![16; 160 * 90] };
        assert_eq!(stabilizer.follow_grey(blank(), 8.0), before[2]);
        assert_eq!(stabilizer.follow_grey(blank(), 8.0), before[2]);
        let mut other = scene(DVec2::new(300.0, 70.0), None);
        other.levels.iter_mut().enumerate().for_each(|(i, level)| *level = level.wrapping_mul(7).wrapping_add(i as u8));
        assert_eq!(stabilizer.follow_grey(other.clone(), 8.0), before[2]);
        assert_eq!(stabilizer.follow_grey(other, 8.0), before[2]);
    }
}
