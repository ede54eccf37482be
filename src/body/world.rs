//! Which way is up, and where the floor is: found from how people stand in front of one camera that does not move.
//!
//! Three things say where up is while feet rest on the floor and the body is upright: the direction out of the soles, the direction from the
//! ankles to the shoulders, and balance: who stands has the centre of mass above the feet that carry it. Each alone is off by 10 degrees and
//! more in some view; their sum is off by 4 in the median and 10 at worst over eight calibrated views (docs/formats.md). The floor lies at the
//! low level of the soles that rest.
//!
//! Depth from one camera is uncertain, so that a person's feet are now a little above that floor and now a little below. [`floor_shift`] says
//! how far they are to be raised, by what their resting feet say alone: a jump stays a jump.

use glam::{DAffine3, DMat3, DQuat, DVec2, DVec3};
use serde::{Deserialize, Serialize};

use super::joint_priors::Role;
use super::rest::{PosedJoint, RestSkeleton, SIDES};
use super::rotation::between;
use super::{Camera, FittedTrack};

/// Speed in the picture, person sizes a second, below which a point of a foot rests: about 0.3 m/s.
const STILL: f64 = 0.16;
/// Seconds to either side over which speed is measured.
const SPEED_WINDOW: f64 = 0.05;
/// Seconds for which a point must rest to count.
const LEAST_REST: f64 = 0.12;
/// Seconds between two frames in which one person is heard. People in more frames than that say nothing new.
const VOTE_EVERY: f64 = 0.1;
/// Seconds of standing, over all people, with which up can be told.
const LEAST_STANDING: f64 = 0.5;
/// A body is upright when its trunk leans from the line between ankles and shoulders by less than this, and the line from its feet's own up.
const UPRIGHT: f64 = 35.0 * DEGREE;
/// Feet that are further from the line than this do not stand under the body.
const FEET: f64 = 55.0 * DEGREE;
/// Of the whole leg: hips nearer to the ankles than this are those of somebody who squats or sits.
const STRETCHED: f64 = 0.8;
/// People of whom less was seen do not count.
const LEAST_SCORE: f64 = 0.3;
/// Share of the resting soles that lie below the level at which the floor is looked for, and how far (metres) from it others still are on it:
/// who stands on a box does not raise the floor.
const LOW: f64 = 0.2;
const SAME_LEVEL: f64 = 0.15;
/// Resting soles that are further from the floor than this (metres) rest on something else, where up is known exactly. Where it is off by some
/// degrees, so many metres more as that makes at their distance.
const NEAR_FLOOR: f64 = 0.2;
/// Nor do soles rest on the floor that are higher above the low level of the same person's than this, metres.
const STEP: f64 = 0.3;
/// Standard deviation in seconds of the Gaussian with which shifts are smoothed.
const SHIFT_SMOOTHING: f64 = 0.25;
/// What the estimate is off by where its three sources agree, degrees: the median over calibrated views.
const LEAST_SIGMA: f64 = 4.0;

/// Parts of the body's mass, and where along each its centre is (Dempster's data in Winter, *Biomechanics and Motor Control of Human Movement*,
/// table 4.1): head and neck, trunk from the hips to the shoulders; of one side upper arm, forearm with hand, thigh, shank, foot.
const HEAD_MASS: f64 = 0.081;
const TRUNK_MASS: f64 = 0.497;
const LIMB_MASSES: [(f64, f64); 5] = [(0.028, 0.436), (0.022, 0.682), (0.1, 0.433), (0.0465, 0.433), (0.0145, 0.5)];

const DEGREE: f64 = std::f64::consts::PI / 180.0;

/// How up and the floor were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpSource {
    /// From resting feet and upright bodies.
    #[serde(rename = "feet+body")]
    FeetAndBody,
    /// The user said so.
    #[serde(rename = "user")]
    User,
    /// They are not known: nobody stood still for long enough.
    #[serde(rename = "none")]
    None,
}

/// Up and the floor in camera axes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// Unit vector. That of a level camera where it is not known.
    pub up: DVec3,
    /// How far the camera is above the floor, metres.
    pub floor: Option<f64>,
    /// Where that comes from.
    pub source: UpSource,
    /// How far up may be off, degrees (one standard deviation).
    pub sigma_deg: Option<f64>,
}

/// Takes camera axes (x right, y down, z away) to axes with y up and z towards the camera.
pub const UPRIGHT_CAMERA: DMat3 = DMat3::from_diagonal(DVec3::new(1.0, -1.0, -1.0));

impl World {
    /// Nothing is known but that most cameras are level.
    pub const UNKNOWN: Self = Self { up: DVec3::NEG_Y, floor: None, source: UpSource::None, sigma_deg: None };

    /// From camera axes to the world: y up, the floor at y = 0 where it is known, the camera above the origin, z towards it as far
    /// as a level axis can be.
    pub fn from_camera(&self) -> DAffine3 {
        let tilt = between(UPRIGHT_CAMERA * self.up, DVec3::Y);
        let linear = DMat3::from_quat(tilt) * UPRIGHT_CAMERA;
        DAffine3 { matrix3: linear, translation: DVec3::Y * self.floor.unwrap_or(0.0) }
    }

    /// Height of a point in camera axes above the floor (above the camera where the floor is not known), metres.
    pub fn height(&self, point: DVec3) -> f64 {
        self.up.dot(point) + self.floor.unwrap_or(0.0)
    }

    /// Up of a camera that looks down by `pitch` degrees and is turned clockwise by `roll`.
    pub fn up_of_camera(pitch: f64, roll: f64) -> DVec3 {
        let up = DQuat::from_rotation_x(pitch * DEGREE) * DVec3::NEG_Y;
        DQuat::from_rotation_z(-roll * DEGREE) * up
    }

    /// Finds up and the floor from the fitted people of a clip whose frames have these `times` (seconds), but for frames that `skip`.
    pub fn estimate<'a>(
        people: impl Iterator<Item = &'a FittedTrack>,
        skeletons: &[RestSkeleton],
        camera: &Camera,
        times: &[f64],
        skip: impl Fn(u64) -> bool,
    ) -> Self {
        let mut standing = Standing::default();
        for (track, skeleton) in people.zip(skeletons) {
            let mut posed = Vec::new();
            let stances: Vec<Stance> = (track.first_frame..)
                .zip(&track.poses)
                .filter(|(frame, _)| !skip(*frame))
                .filter_map(|(frame, fitted)| {
                    let time = *times.get(usize::try_from(frame).ok()?)?;
                    skeleton.pose(fitted.pose.position, &fitted.pose.rotations, &mut posed);
                    Stance::new(skeleton, &posed, camera, time, fitted.score.into())
                })
                .collect();
            standing.add(&stances);
        }
        standing.world()
    }
}

/// How somebody holds themselves in one frame, camera axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Stance {
    time: f64,
    score: f64,
    /// Heel and tip of the left, then of the right foot, on the sole.
    soles: [[DVec3; 2]; 2],
    /// The same in displayed pixels.
    pixels: [[DVec2; 2]; 2],
    /// Diagonal of the joints' box in displayed pixels.
    size: f64,
    /// Out of the top of each foot.
    foot_up: [DVec3; 2],
    /// From the middle of the ankles to that of the shoulders, and from the hips to the shoulders.
    body: DVec3,
    trunk: DVec3,
    /// The centre of mass.
    mass: DVec3,
    /// Distance of hips and ankles over the length of the legs.
    stretch: f64,
}

impl Stance {
    /// Of a posed skeleton; `None` where it lacks a joint that this takes, or is not in front of the camera.
    pub fn new(skeleton: &RestSkeleton, posed: &[PosedJoint], camera: &Camera, time: f64, score: f64) -> Option<Self> {
        let joint = |role: fn(super::Side) -> Role| -> Option<[usize; 2]> {
            Some([skeleton.joint(role(SIDES[0]))?, skeleton.joint(role(SIDES[1]))?])
        };
        let middle = |[a, b]: [usize; 2]| posed[a].position.midpoint(posed[b].position);
        let [feet, knees, hips] = [joint(Role::Foot)?, joint(Role::LowerLeg)?, joint(Role::UpperLeg)?];
        let [shoulders, elbows, wrists] = [joint(Role::UpperArm)?, joint(Role::LowerArm)?, joint(Role::Hand)?];
        if !posed.iter().all(|joint| joint.position.z > 0.0) {
            return None;
        }
        let soles = [0, 1].map(|s| skeleton.soles[s].map(|at| skeleton.carried(posed, feet[s], at)));
        let head = skeleton.joint(Role::Head).map_or(middle(shoulders), |head| posed[head].position);
        let mut mass = head * HEAD_MASS + middle(hips).midpoint(middle(shoulders)) * TRUNK_MASS;
        for s in 0..2 {
            let at = |joints: [usize; 2]| posed[joints[s]].position;
            let bones = [
                [at(shoulders), at(elbows)],
                [at(elbows), at(wrists)],
                [at(hips), at(knees)],
                [at(knees), at(feet)],
                soles[s],
            ];
            mass +=
                bones.iter().zip(LIMB_MASSES).map(|([a, b], (part, along))| a.lerp(*b, along) * part).sum::<DVec3>();
        }
        let pixel = |p: DVec3| DVec2::from_array(camera.project(p));
        let pixels = posed.iter().map(|joint| pixel(joint.position));
        let (low, high) = pixels.fold((DVec2::INFINITY, DVec2::NEG_INFINITY), |(l, h), p| (l.min(p), h.max(p)));
        let leg = |s: usize| {
            let [hip, knee, foot] = [hips[s], knees[s], feet[s]].map(|j| skeleton.joints[j]);
            let [hip_now, foot_now] = [hips[s], feet[s]].map(|j| posed[j].position);
            hip_now.distance(foot_now) / (hip.distance(knee) + knee.distance(foot)).max(1e-6)
        };
        Some(Self {
            time,
            score,
            soles,
            pixels: soles.map(|foot| foot.map(pixel)),
            size: high.distance(low).max(1.0),
            // At rest the feet are flat on the floor.
            foot_up: feet.map(|foot| posed[foot].rotation * DVec3::NEG_Y),
            body: (middle(shoulders) - middle(feet)).try_normalize()?,
            trunk: (middle(shoulders) - middle(hips)).try_normalize()?,
            mass,
            stretch: leg(0).min(leg(1)),
        })
    }

    /// Whether the body stands on a foot that rests, and is stretched.
    fn is_upright(&self, foot: usize) -> bool {
        self.score >= LEAST_SCORE
            && self.stretch > STRETCHED
            && self.trunk.angle_between(self.body) < UPRIGHT
            && self.foot_up[foot].angle_between(self.body) < FEET
    }
}

/// For each stance of one person whether heel and tip of each foot rest.
fn resting(stances: &[Stance]) -> Vec<[[bool; 2]; 2]> {
    let mut resting = vec![[[false; 2]; 2]; stances.len()];
    for foot in 0..2 {
        for point in 0..2 {
            let is_still = |i: usize| speed(stances, i, foot, point).is_some_and(|speed| speed < STILL);
            let mut first = 0;
            while first < stances.len() {
                let still = (first..stances.len()).take_while(|&i| is_still(i) && !is_gap(stances, first, i)).count();
                if still > 0 && stances[first + still - 1].time - stances[first].time >= LEAST_REST {
                    resting[first..first + still].iter_mut().for_each(|frame| frame[foot][point] = true);
                }
                first += still.max(1);
            }
        }
    }
    resting
}

/// Whether the person was away just before stance `i` of those from `first` on.
fn is_gap(stances: &[Stance], first: usize, i: usize) -> bool {
    i > first && stances[i].time - stances[i - 1].time > 6.0 * SPEED_WINDOW
}

/// Person sizes a second; `None` where there is nothing to compare with.
fn speed(stances: &[Stance], i: usize, foot: usize, point: usize) -> Option<f64> {
    let near = |n: &usize| (stances[*n].time - stances[i].time).abs() <= SPEED_WINDOW;
    let before = (0..i).rev().take_while(near).last().or(i.checked_sub(1)).unwrap_or(i);
    let after = (i + 1..stances.len()).take_while(near).last().unwrap_or((i + 1).min(stances.len() - 1));
    let seconds = stances[after].time - stances[before].time;
    if seconds <= 0.0 || seconds > 6.0 * SPEED_WINDOW {
        return None;
    }
    let moved = stances[after].pixels[foot][point].distance(stances[before].pixels[foot][point]);
    Some(moved / seconds / stances[i].size)
}

/// What everybody says about up and the floor, person after person.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    soles: Vec<DVec3>,
    bodies: Vec<DVec3>,
    balances: Vec<DVec3>,
    /// Where soles rest: the points of one foot.
    rests: Vec<Vec<DVec3>>,
    seconds: f64,
}

impl Standing {
    /// Hears one person.
    pub fn add(&mut self, stances: &[Stance]) {
        let resting = resting(stances);
        let mut heard = f64::NEG_INFINITY;
        for (stance, resting) in stances.iter().zip(&resting) {
            let standing = [0, 1].into_iter().filter(|&foot| resting[foot] == [true; 2] && stance.is_upright(foot));
            let standing: Vec<usize> = standing.collect();
            // Half a frame early is no other frame.
            if standing.is_empty() || stance.time < heard + VOTE_EVERY * 0.99 {
                continue;
            }
            self.seconds += VOTE_EVERY.min(stance.time - heard);
            heard = stance.time;
            self.soles.extend(standing.iter().map(|&foot| stance.foot_up[foot]));
            self.rests.extend(standing.iter().map(|&foot| stance.soles[foot].to_vec()));
            self.bodies.push(stance.body);
            // All feet that rest carry.
            let carrying = (0..2).filter(|&foot| resting[foot] == [true; 2]).map(|foot| stance.soles[foot]);
            let (sum, count) =
                carrying.fold((DVec3::ZERO, 0.0), |(sum, n), [heel, toe]| (sum + heel.midpoint(toe), n + 1.0));
            self.balances.extend((stance.mass - sum / count).try_normalize());
        }
    }

    /// What follows from all that was heard.
    pub fn world(&self) -> World {
        let sources = [&self.soles, &self.bodies, &self.balances].map(|votes| median_direction(votes));
        let [Some(soles), Some(bodies), Some(balances)] = sources else { return World::UNKNOWN };
        if self.seconds < LEAST_STANDING {
            return World::UNKNOWN;
        }
        let Some(up) = (soles + bodies + balances).try_normalize() else { return World::UNKNOWN };
        let spread = [soles, bodies, balances].map(|source| (source.angle_between(up) / DEGREE).powi(2));
        let sigma = (LEAST_SIGMA.powi(2) + spread.iter().sum::<f64>() / 9.0).sqrt();
        let heights = self.rests.iter().map(|foot| lowest(foot.iter().copied(), up)).collect();
        World {
            up,
            floor: low_level(heights).map(|level| -level),
            source: UpSource::FeetAndBody,
            sigma_deg: Some(sigma),
        }
    }

    /// The floor for an up that is given: how far the camera is above it, metres.
    pub fn floor(&self, up: DVec3) -> Option<f64> {
        low_level(self.rests.iter().map(|foot| lowest(foot.iter().copied(), up)).collect()).map(|level| -level)
    }
}

fn lowest(points: impl Iterator<Item = DVec3>, up: DVec3) -> f64 {
    points.map(|point| point.dot(up)).fold(f64::INFINITY, f64::min)
}

/// Each coordinate's median, as a unit vector.
fn median_direction(votes: &[DVec3]) -> Option<DVec3> {
    let axis = |axis: usize| median(votes.iter().map(|vote| vote[axis]).collect());
    DVec3::new(axis(0)?, axis(1)?, axis(2)?).try_normalize()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// The level at which the lowest of many things rest.
fn low_level(mut heights: Vec<f64>) -> Option<f64> {
    if heights.is_empty() {
        return None;
    }
    heights.sort_unstable_by(f64::total_cmp);
    let low = heights[(heights.len() as f64 * LOW) as usize];
    median(heights.into_iter().filter(|height| (height - low).abs() < SAME_LEVEL).collect())
}

/// For each stance of one person how far, metres, they are to be raised so that their resting feet are on the floor. Smooth in time; between two
/// contacts it goes straight from one to the other, so that what happens in the air stays as it is. Zero where the floor is not known.
pub fn floor_shift(stances: &[Stance], world: &World) -> Vec<f64> {
    if world.floor.is_none() {
        return vec![0.0; stances.len()];
    }
    let slope = (world.sigma_deg.unwrap_or(0.0) * DEGREE).tan();
    let rest = |(stance, resting): (&Stance, &[[bool; 2]; 2])| {
        let points = (0..2).flat_map(|foot| (0..2).map(move |point| (foot, point)));
        let resting = points.filter(|&(foot, point)| resting[foot][point]);
        let height = resting.map(|(foot, point)| world.height(stance.soles[foot][point])).fold(f64::INFINITY, f64::min);
        let reach = NEAR_FLOOR + slope * stance.soles[0][0].length();
        (height.abs() < reach).then_some((stance.time, height))
    };
    let rests: Vec<(f64, f64)> = stances.iter().zip(&resting(stances)).filter_map(rest).collect();
    // Somebody far away may rest above the floor all the time: then that is where the floor is for them.
    let level = low_level(rests.iter().map(|(_, height)| *height).collect()).unwrap_or(0.0);
    let on_floor = rests.into_iter().filter(|(_, height)| height - level < STEP);
    let contacts: Vec<(f64, f64)> = on_floor.map(|(time, height)| (time, -height)).collect();
    let mut next = 0;
    let straight: Vec<f64> = stances
        .iter()
        .map(|stance| {
            while next < contacts.len() && contacts[next].0 < stance.time {
                next += 1;
            }
            match (next.checked_sub(1).map(|before| contacts[before]), contacts.get(next)) {
                (None, None) => 0.0,
                (Some((_, shift)), None) | (None, Some(&(_, shift))) => shift,
                (Some((t0, s0)), Some(&(t1, s1))) => s0 + (s1 - s0) * (stance.time - t0) / (t1 - t0).max(1e-9),
            }
        })
        .collect();
    smoothed(stances, &straight)
}

/// Means under a Gaussian in time.
fn smoothed(stances: &[Stance], values: &[f64]) -> Vec<f64> {
    let reach = 3.0 * SHIFT_SMOOTHING;
    let mut first = 0;
    (0..stances.len())
        .map(|i| {
            let time = stances[i].time;
            while stances[first].time < time - reach {
                first += 1;
            }
            let near = (first..stances.len()).take_while(|&n| stances[n].time <= time + reach);
            let weighted = near.map(|n| {
                let weight = (-0.5 * ((stances[n].time - time) / SHIFT_SMOOTHING).powi(2)).exp();
                (weight, weight * values[n])
            });
            let (weights, sum) = weighted.fold((0.0, 0.0), |(w, s), (weight, value)| (w + weight, s + value));
            sum / weights.max(1e-12)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilted_camera_is_taken_upright() {
        let up = World::up_of_camera(20.0, 5.0);
        let world = World { up, floor: Some(1.5), source: UpSource::User, sigma_deg: None };
        let to_world = world.from_camera();
        assert!((to_world.matrix3 * up - DVec3::Y).length() < 1e-12);
        assert!((to_world.transform_point3(DVec3::ZERO) - DVec3::Y * 1.5).length() < 1e-12, "the camera's place");
        // It looks away and down.
        let forward = to_world.matrix3 * DVec3::Z;
        assert!(
            forward.z < -0.9 && (forward.y + (20.0 * DEGREE).sin() * (5.0 * DEGREE).cos()).abs() < 0.01,
            "{forward}"
        );
        assert!((world.height(DVec3::ZERO) - 1.5).abs() < 1e-12);
        assert_eq!(World::UNKNOWN.from_camera().matrix3, UPRIGHT_CAMERA);
    }

    #[test]
    fn the_floor_is_the_lowest_level_where_many_rest() {
        let box_and_floor: Vec<f64> =
            (0..60).map(|i| 0.5 + 0.001 * f64::from(i % 5)).chain((0..40).map(|i| 0.002 * f64::from(i % 3))).collect();
        assert!(low_level(box_and_floor).unwrap() < 0.01);
        assert_eq!(low_level(Vec::new()), None);
    }
}
