//! Joint angles in space, from key points.
//!
//! Named as the coordinates of OpenSim's models; degrees; flexion and dorsiflexion are positive. Each is measured in the sagittal plane of the
//! segment nearer to the trunk. These are angles between key points with the signs that the ISB recommends, not its joint coordinate systems
//! (Wu and Cavanagh 1995; Wu et al. 2002 and 2005, doi 10.1016/j.jbiomech.2004.05.042; Grood and Suntay 1983): rotation about a limb's own axis
//! cannot be seen in key points, and is left out. The trunk leans against the y axis of the file: against gravity in the world frame.

use glam::DVec3;

use super::selection::Sample;

/// Names of the angles, in the order of [`JointAngles::of`].
pub const NAMES: [&str; 11] = [
    "pelvis_tilt",
    "hip_flexion_r",
    "knee_angle_r",
    "ankle_angle_r",
    "hip_flexion_l",
    "knee_angle_l",
    "ankle_angle_l",
    "arm_flex_r",
    "elbow_flex_r",
    "arm_flex_l",
    "elbow_flex_l",
];

/// Places of a side's points among [`Sample::points`].
struct SidePoints {
    shoulder: usize,
    elbow: usize,
    wrist: usize,
    hip: usize,
    knee: usize,
    ankle: usize,
    toe: Option<usize>,
    heel: Option<usize>,
}

/// Measures angles of samples whose points have these names.
pub struct JointAngles {
    right: SidePoints,
    left: SidePoints,
}

/// Those that have no end: arms go round, and so does somebody head over heels.
const ROUND: [usize; 3] = [0, 7, 9];
/// Those of arms.
const ARMS: [usize; 2] = [7, 9];

/// Angles of a person frame after frame, without jumps: those that go round are continued beyond 180 degrees as long as the person is in view.
/// Arms begin at -90 to 270 degrees: one that is overhead is at 190 rather than at -170, which no shoulder reaches backwards.
#[derive(Debug, Clone, Default)]
pub struct Continuous(Option<(usize, [f64; NAMES.len()])>);

impl Continuous {
    /// The angles of a frame after those of the frames before.
    pub fn next(&mut self, frame: usize, mut angles: [f64; NAMES.len()]) -> [f64; NAMES.len()] {
        for arm in ARMS {
            angles[arm] += if angles[arm] < -90.0 { 360.0 } else { 0.0 };
        }
        let mut known = angles;
        if let Some((_, before)) = self.0.filter(|(last, _)| last + 1 == frame) {
            for i in 0..NAMES.len() {
                if ROUND.contains(&i) && angles[i].is_finite() && before[i].is_finite() {
                    angles[i] += ((before[i] - angles[i]) / 360.0).round() * 360.0;
                }
                known[i] = if angles[i].is_nan() { before[i] } else { angles[i] };
            }
        }
        self.0 = Some((frame, known));
        angles
    }
}

/// A segment's axes: to the front, along it upwards, and to the person's right.
#[derive(Clone, Copy)]
struct Segment {
    front: DVec3,
    up: DVec3,
    right: DVec3,
}

impl Segment {
    /// With the axis `up`, and `right` as near to the given direction as can be.
    fn new(up: DVec3, right: DVec3) -> Option<Self> {
        let up = up.try_normalize()?;
        let right = (right - up * right.dot(up)).try_normalize()?;
        Some(Self { front: up.cross(right), up, right })
    }

    /// Degrees by which something that hangs straight down at 0 points to the front.
    fn forward(&self, of: DVec3) -> f64 {
        of.dot(self.front).atan2(-of.dot(self.up)).to_degrees()
    }
}

impl JointAngles {
    /// For points of these names.
    pub fn new(names: &[String]) -> Self {
        let find = |name: String| names.iter().position(|known| *known == name);
        // COCO's order: left before right.
        let side = |name: &str, right: usize| SidePoints {
            shoulder: 5 + right,
            elbow: 7 + right,
            wrist: 9 + right,
            hip: 11 + right,
            knee: 13 + right,
            ankle: 15 + right,
            toe: find(format!("{name}_big_toe")),
            heel: find(format!("{name}_heel")),
        };
        Self { right: side("right", 1), left: side("left", 0) }
    }

    /// Degrees, in the order of [`NAMES`]; NaN where one is not defined. `up` is a unit vector.
    pub fn of(&self, sample: &Sample, up: DVec3) -> [f64; 11] {
        let p = |i: usize| sample.points[i];
        let (r, l) = (&self.right, &self.left);
        let hips = p(r.hip).midpoint(p(l.hip));
        let shoulders = p(r.shoulder).midpoint(p(l.shoulder));
        let Some(trunk) = Segment::new(shoulders - hips, p(r.hip) - p(l.hip)) else { return [f64::NAN; 11] };
        // As the pelvis of OpenSim's models: leaning forward is negative.
        let lean = -Segment::new(up, trunk.right)
            .map_or(f64::NAN, |level| trunk.up.dot(level.front).atan2(trunk.up.dot(level.up)).to_degrees());
        let leg = |side: &SidePoints| {
            let (thigh, shank) = (p(side.knee) - p(side.hip), p(side.ankle) - p(side.knee));
            // Between -90, which no joint reaches, and 270: whoever is bent double does not jump from 180 to -180.
            let bent = |degrees: f64| (degrees + 90.0).rem_euclid(360.0) - 90.0;
            let hip = bent(trunk.forward(thigh));
            let knee = Segment::new(-thigh, trunk.right).map_or(f64::NAN, |segment| bent(-segment.forward(shank)));
            let foot = side.toe.zip(side.heel).map(|(toe, heel)| p(toe) - p(heel));
            let ankle = Segment::new(-shank, trunk.right).zip(foot);
            let ankle = ankle
                .map_or(f64::NAN, |(segment, foot)| foot.dot(segment.up).atan2(foot.dot(segment.front)).to_degrees());
            [hip, knee, ankle]
        };
        let arm = |side: &SidePoints| {
            let (upper, lower) = (p(side.elbow) - p(side.shoulder), p(side.wrist) - p(side.elbow));
            // An elbow bends in one plane, which turns with the arm: the whole angle between the two is its flexion.
            let elbow = match (upper.try_normalize(), lower.try_normalize()) {
                (Some(upper), Some(lower)) => upper.angle_between(lower).to_degrees(),
                _ => f64::NAN,
            };
            [trunk.forward(upper), elbow]
        };
        let ([hr, kr, ar], [hl, kl, al]) = (leg(r), leg(l));
        let ([sr, er], [sl, el]) = (arm(r), arm(l));
        [lean, hr, kr, ar, hl, kl, al, sr, er, sl, el]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pose::skeleton::COCO_NAMES;
    use glam::DQuat;

    fn names() -> Vec<String> {
        let more = ["left_big_toe", "right_big_toe", "left_heel", "right_heel"];
        COCO_NAMES.iter().chain(&more).map(|&name| name.to_owned()).collect()
    }

    /// Somebody who stands straight, faces +z, arms hanging, y up.
    fn standing() -> Sample {
        let at = |name: &str| {
            let x = if name.starts_with("left") { 0.15 } else { -0.15 };
            let (y, z) = match name.split_once('_').map_or(name, |(_, part)| part) {
                "shoulder" => (1.4, 0.0),
                "elbow" => (1.1, 0.0),
                "wrist" => (0.85, 0.0),
                "hip" => (0.9, 0.0),
                "knee" => (0.5, 0.0),
                "ankle" => (0.08, 0.0),
                "big_toe" => (0.0, 0.18),
                "heel" => (0.0, -0.05),
                _ => (1.6, 0.0),
            };
            DVec3::new(x, y, z)
        };
        Sample {
            time: 0.0,
            bounds: [0.0; 4],
            score: 1.0,
            uncertain: false,
            hands: [0.0; 2],
            shift: 0.0,
            points: names().iter().map(|name| at(name)).collect(),
            pixels: Vec::new(),
            head_top: (DVec3::ZERO, [0.0; 3]),
            root: DVec3::ZERO,
            rotations: Vec::new(),
        }
    }

    fn bend(sample: &mut Sample, joint: &str, moved: &[&str], degrees: f64) {
        let index = |name: &str| names().iter().position(|known| known == name).unwrap();
        let centre = sample.points[index(joint)];
        for name in moved {
            let point = &mut sample.points[index(name)];
            *point = centre + DQuat::from_rotation_x(degrees.to_radians()) * (*point - centre);
        }
    }

    #[test]
    fn standing_straight_is_zero_and_flexion_positive() {
        let angles = JointAngles::new(&names());
        let straight = angles.of(&standing(), DVec3::Y);
        assert!(straight.iter().all(|angle| angle.abs() < 1e-9), "{straight:?}");
        let turn = DQuat::from_rotation_y(1.0);
        let check = |name: &str, expected: f64, sample: &Sample| {
            let at = NAMES.iter().position(|known| *known == name).unwrap();
            let found = angles.of(sample, DVec3::Y)[at];
            assert!((found - expected).abs() < 1e-9, "{name}: {found}");
            // Wherever they face.
            let mut turned = sample.clone();
            turned.points.iter_mut().for_each(|p| *p = turn * *p);
            assert!((angles.of(&turned, DVec3::Y)[at] - expected).abs() < 1e-9, "{name} turned");
        };
        let leg = ["right_ankle", "right_big_toe", "right_heel"];
        let mut sample = standing();
        bend(&mut sample, "right_knee", &leg, 50.0);
        check("knee_angle_r", 50.0, &sample);
        check("knee_angle_l", 0.0, &sample);
        let mut sample = standing();
        bend(&mut sample, "right_hip", &[&leg[..], &["right_knee"]].concat(), -100.0);
        check("hip_flexion_r", 100.0, &sample);
        check("knee_angle_r", 0.0, &sample);
        let mut sample = standing();
        bend(&mut sample, "left_ankle", &["left_big_toe", "left_heel"], -15.0);
        check("ankle_angle_l", 15.0, &sample);
        let mut sample = standing();
        bend(&mut sample, "left_shoulder", &["left_elbow", "left_wrist"], -70.0);
        check("arm_flex_l", 70.0, &sample);
        bend(&mut sample, "left_elbow", &["left_wrist"], -80.0);
        check("elbow_flex_l", 80.0, &sample);
        let mut sample = standing();
        sample.points.iter_mut().for_each(|p| *p = DQuat::from_rotation_x(0.2) * *p);
        check("pelvis_tilt", -0.2_f64.to_degrees(), &sample);
    }
    #[test]
    fn angles_that_go_round_do_not_jump() {
        let mut continuous = Continuous::default();
        let at = |frame: usize, degrees: f64| {
            let wrapped = (degrees + 180.0).rem_euclid(360.0) - 180.0;
            let mut angles = [wrapped; 11];
            if frame == 7 {
                angles[7] = f64::NAN;
            }
            angles
        };
        for frame in 0..40 {
            let degrees = frame as f64 * 40.0;
            let angles = continuous.next(frame, at(frame, degrees));
            assert!((angles[0] - degrees).abs() < 1e-9 && angles[8].abs() <= 180.0, "{frame}: {angles:?}");
            assert!(frame == 7 || (angles[7] - degrees).abs() < 1e-9, "{frame}: {angles:?}");
        }
        // Somebody who was away begins anew.
        assert_eq!(continuous.next(50, at(50, 370.0))[0], 10.0);
        let mut folded = standing();
        bend(&mut folded, "right_hip", &["right_knee", "right_ankle"], -190.0);
        assert!((JointAngles::new(&names()).of(&folded, DVec3::Y)[1] - 190.0).abs() < 1e-9);
    }
}
