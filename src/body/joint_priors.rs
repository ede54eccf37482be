//! Joint priors: which joint of a skeleton is what, how far it bends, and how it usually bends.
//!
//! Joints are recognised by name, so that bodies with other skeletons can be fitted as well.
//!
//! Ranges of motion are those of the American Academy of Orthopaedic Surgeons as collected in Norkin and White,
//! *Measurement of Joint Motion* (elbow 0 to 150 degrees, knee 0 to 135..150, shoulder flexion 180 and extension 60, hip flexion 120,
//! extension 30, abduction 45, adduction 30, ankle 20 up and 50 down), widened where athletes go further.

use super::rotation::log_derivative;
use glam::{DMat3, DQuat, DVec3};

/// What a joint is in a human body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The pelvis.
    Root,
    /// One of several joints of the back.
    Spine,
    /// Base of the neck.
    Neck,
    /// Base of the skull.
    Head,
    /// Inner end of the collar bone.
    Clavicle(Side),
    /// Shoulder.
    UpperArm(Side),
    /// Elbow.
    LowerArm(Side),
    /// Wrist.
    Hand(Side),
    /// Hip.
    UpperLeg(Side),
    /// Knee.
    LowerLeg(Side),
    /// Ankle.
    Foot(Side),
    /// A joint of a finger.
    Finger(Side, FingerJoint),
    /// Anything else: kept nearly at rest.
    Other,
}

/// Which joint of a hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FingerJoint {
    /// From the thumb (0) to the little finger (4).
    pub finger: usize,
    /// From the palm (0) to the tip (2).
    pub segment: usize,
}

/// Of the body, not of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The subject's left.
    Left,
    /// The subject's right.
    Right,
}

impl Side {
    /// +1 for left, which is towards +x at rest, -1 for right.
    pub fn sign(self) -> f64 {
        if self == Side::Left { 1.0 } else { -1.0 }
    }
}

/// What a joint's name means on one side of the body.
type RoleOf = fn(Side) -> Role;

/// Joint names of MakeHuman's default rig (without their `.L` or `.R`).
const MAKEHUMAN: [(&str, RoleOf); 13] = [
    ("root", |_| Role::Root),
    ("spine05", |_| Role::Spine),
    ("spine03", |_| Role::Spine),
    ("spine01", |_| Role::Spine),
    ("neck01", |_| Role::Neck),
    ("head", |_| Role::Head),
    ("clavicle", Role::Clavicle),
    ("upperarm01", Role::UpperArm),
    ("lowerarm01", Role::LowerArm),
    ("wrist", Role::Hand),
    ("upperleg01", Role::UpperLeg),
    ("lowerleg01", Role::LowerLeg),
    ("foot", Role::Foot),
];

/// Joint names of SMPL (without their `left_` or `right_`).
const SMPL: [(&str, RoleOf); 13] = [
    ("pelvis", |_| Role::Root),
    ("spine1", |_| Role::Spine),
    ("spine2", |_| Role::Spine),
    ("spine3", |_| Role::Spine),
    ("neck", |_| Role::Neck),
    ("head", |_| Role::Head),
    ("collar", Role::Clavicle),
    ("shoulder", Role::UpperArm),
    ("elbow", Role::LowerArm),
    ("wrist", Role::Hand),
    ("hip", Role::UpperLeg),
    ("knee", Role::LowerLeg),
    ("ankle", Role::Foot),
];

/// Fingers of SMPL-H and SMPL-X, the thumb first.
const SMPL_FINGERS: [&str; 5] = ["thumb", "index", "middle", "ring", "pinky"];

/// The joint of a finger by its name: `finger2-1` in MakeHuman's rig, `index1` in SMPL's; both count from 1.
fn finger_joint(stem: &str) -> Option<FingerJoint> {
    let (finger, segment) = match stem.strip_prefix("finger") {
        Some(numbers) => {
            let (finger, segment) = numbers.split_once('-')?;
            (finger.parse::<usize>().ok()?.checked_sub(1)?, segment)
        }
        None => {
            let split = stem.len().checked_sub(1).filter(|&split| stem.is_char_boundary(split))?;
            (SMPL_FINGERS.iter().position(|finger| *finger == &stem[..split])?, &stem[split..])
        }
    };
    let segment = segment.parse::<usize>().ok()?.checked_sub(1)?;
    (finger < 5 && segment < 3).then_some(FingerJoint { finger, segment })
}

/// The role of a joint by its name, MakeHuman's or SMPL's.
pub fn role(name: &str) -> Role {
    // SMPL's foot is the joint of the toes, MakeHuman's is the ankle.
    let (table, stem, side): (&[_], _, _) = if let Some(stem) = name.strip_suffix(".L") {
        (&MAKEHUMAN, stem, Side::Left)
    } else if let Some(stem) = name.strip_suffix(".R") {
        (&MAKEHUMAN, stem, Side::Right)
    } else if let Some(stem) = name.strip_prefix("left_") {
        (&SMPL, stem, Side::Left)
    } else if let Some(stem) = name.strip_prefix("right_") {
        (&SMPL, stem, Side::Right)
    } else {
        let table: &[_] = if MAKEHUMAN.iter().any(|(known, _)| *known == name) { &MAKEHUMAN } else { &SMPL };
        (table, name, Side::Left)
    };
    if stem != name
        && let Some(joint) = finger_joint(stem)
    {
        return Role::Finger(side, joint);
    }
    table.iter().find(|(known, _)| *known == stem).map_or(Role::Other, |(_, role)| role(side))
}

/// How far beyond a limit a joint may be: standard deviation, radians.
const LIMIT_SIGMA: f64 = 0.05;
/// Below this squared length of the quaternion's part that tells the twist it is not defined: the limb points opposite to its direction at
/// rest.
const LEAST_TWIST: f64 = 1e-2;

/// What is usual and possible for one joint.
#[derive(Debug, Clone, PartialEq)]
pub struct JointPrior {
    /// Standard deviation of the rotation vector about the rest axes, radians; infinite where nothing is preferred.
    pub sigma: DVec3,
    /// Smallest and largest components of the rotation vector about the rest axes.
    range: [DVec3; 2],
    /// Direction of the limb at rest, for the limits below.
    bone: DVec3,
    /// The limb's direction in the parent's frame keeps `direction . axis <= max`.
    reach: Vec<(DVec3, f64)>,
    /// Largest twist about the bone either way, radians.
    twist: f64,
}

impl JointPrior {
    /// For a joint of some role whose limb has the direction `bone` at rest, its parent's limb `parent_bone`.
    pub fn new(role: Role, bone: DVec3, parent_bone: DVec3) -> Self {
        let free = [DVec3::NEG_INFINITY, DVec3::INFINITY];
        let within = |x: f64, y: f64, z: f64| [-DVec3::new(x, y, z), DVec3::new(x, y, z)];
        let plain = |sigma: f64, range| Self {
            sigma: DVec3::splat(sigma),
            range,
            bone,
            reach: Vec::new(),
            twist: f64::INFINITY,
        };
        // A hinge that opens towards `inner` (perpendicular to the parent's limb).
        let hinge = |inner: DVec3, hyper: f64, fold: f64, aside: f64| {
            let inner = (inner - parent_bone * parent_bone.dot(inner)).normalize_or_zero();
            let axis = parent_bone.cross(inner);
            vec![(-inner, hyper), (-parent_bone, fold), (axis, aside), (-axis, aside)]
        };
        match role {
            Role::Root => plain(f64::INFINITY, free),
            Role::Spine => plain(0.25, within(0.6, 0.5, 0.4)),
            Role::Neck => plain(0.35, within(0.6, 0.8, 0.5)),
            Role::Head => plain(0.35, within(0.6, 0.9, 0.5)),
            Role::Clavicle(_) => plain(0.15, within(0.5, 0.5, 0.5)),
            Role::UpperArm(side) => Self {
                // Not further back than 60 degrees, nor far across the chest.
                reach: vec![(DVec3::Z, 0.87), (DVec3::X * -side.sign(), 0.8)],
                twist: 1.9,
                ..plain(1.2, free)
            },
            // Up to 8 degrees beyond straight, 150 bent, 15 to either side.
            Role::LowerArm(_) => Self { reach: hinge(DVec3::NEG_Z, 0.14, 0.87, 0.26), twist: 1.9, ..plain(1.0, free) },
            Role::Hand(_) => plain(0.35, within(1.2, 1.2, 1.2)),
            Role::UpperLeg(side) => Self {
                // 35 degrees back, 35 across, 70 outwards, 140 up.
                reach: vec![
                    (DVec3::Z, 0.57),
                    (DVec3::X * -side.sign(), 0.57),
                    (DVec3::X * side.sign(), 0.94),
                    (DVec3::NEG_Y, 0.77),
                ],
                twist: 0.9,
                ..plain(0.9, free)
            },
            // Up to 3 degrees beyond straight, 150 bent, hardly sideways.
            Role::LowerLeg(_) => {
                Self { sigma: DVec3::new(0.9, 0.12, 0.12), reach: hinge(DVec3::Z, 0.05, 0.87, 0.2), ..plain(0.9, free) }
            }
            // About x, toes up is negative.
            Role::Foot(_) => plain(0.3, [DVec3::new(-0.6, -0.6, -0.6), DVec3::new(1.0, 0.6, 0.6)]),
            Role::Finger(..) | Role::Other => plain(0.1, within(0.5, 0.5, 0.5)),
        }
    }

    /// Negative log-likelihood (twice) of a rotation.
    pub fn cost(&self, rotation: DQuat) -> f64 {
        let mut cost = 0.0;
        self.terms(rotation, |residual, _| cost += residual * residual);
        cost
    }

    /// Calls `add(residual, derivative)` for each term that acts at this rotation; residuals are in standard deviations,
    /// derivatives by a right-multiplied rotation vector.
    pub fn terms(&self, rotation: DQuat, mut add: impl FnMut(f64, DVec3)) {
        if self.sigma.x.is_infinite() {
            return;
        }
        let v = super::rotation::log(rotation);
        let rows: DMat3 = log_derivative(v).transpose();
        for i in 0..3 {
            add(v[i] / self.sigma[i], rows.col(i) / self.sigma[i]);
            let beyond = v[i] - v[i].clamp(self.range[0][i], self.range[1][i]);
            if beyond != 0.0 {
                add(beyond / LIMIT_SIGMA, rows.col(i) / LIMIT_SIGMA);
            }
        }
        if !self.reach.is_empty() {
            let direction = rotation * self.bone;
            for &(axis, max) in &self.reach {
                let beyond = direction.dot(axis) - max;
                if beyond > 0.0 {
                    let derivative = self.bone.cross(rotation.inverse() * axis);
                    add(beyond / LIMIT_SIGMA, derivative / LIMIT_SIGMA);
                }
            }
        }
        if self.twist.is_finite() {
            let q = if rotation.w < 0.0 { -rotation } else { rotation };
            let part = DVec3::new(q.x, q.y, q.z);
            let along = part.dot(self.bone);
            let square = q.w * q.w + along * along;
            let angle = 2.0 * along.atan2(q.w);
            let beyond = angle - angle.clamp(-self.twist, self.twist);
            if beyond != 0.0 && square > LEAST_TWIST {
                let derivative = ((self.bone * q.w + self.bone.cross(part)) * q.w + part * along) / square;
                add(beyond / LIMIT_SIGMA, derivative / LIMIT_SIGMA);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rotation::exp;
    use super::*;

    #[test]
    fn both_skeletons_are_known() {
        assert_eq!(role("lowerleg01.R"), Role::LowerLeg(Side::Right));
        assert_eq!(role("left_knee"), Role::LowerLeg(Side::Left));
        assert_eq!(role("right_hand"), Role::Other);
        assert_eq!((role("foot.L"), role("left_foot")), (Role::Foot(Side::Left), Role::Other));
        assert_eq!((role("spine05"), role("spine2"), role("head")), (Role::Spine, Role::Spine, Role::Head));
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let roles = [
            Role::LowerArm(Side::Left),
            Role::UpperLeg(Side::Right),
            Role::Foot(Side::Left),
            Role::UpperArm(Side::Left),
        ];
        for role in roles {
            let prior = JointPrior::new(role, DVec3::new(0.5, 0.8, 0.1).normalize(), DVec3::new(0.6, 0.8, 0.0));
            for v in [DVec3::new(-0.9, 0.7, 1.1), DVec3::new(1.5, -1.9, 0.4), DVec3::new(0.2, 2.2, -0.8)] {
                let q = exp(v);
                let mut gradient = DVec3::ZERO;
                prior.terms(q, |r, d| gradient += 2.0 * r * d);
                let h = 1e-6;
                for (i, axis) in [DVec3::X, DVec3::Y, DVec3::Z].into_iter().enumerate() {
                    let numeric = (prior.cost(q * exp(axis * h)) - prior.cost(q * exp(-axis * h))) / (2.0 * h);
                    assert!((numeric - gradient[i]).abs() < 1e-5 * gradient.length().max(1.0), "{role:?} {v} {i}");
                }
            }
        }
    }

    #[test]
    fn a_knee_bends_back_but_not_forward_and_an_elbow_the_other_way() {
        let knee = JointPrior::new(Role::LowerLeg(Side::Left), DVec3::Y, DVec3::Y);
        assert!(knee.cost(exp(DVec3::X * -0.3)) > 10.0 * knee.cost(exp(DVec3::X * 0.3)));
        let elbow = JointPrior::new(Role::LowerArm(Side::Left), DVec3::Y, DVec3::Y);
        assert!(elbow.cost(exp(DVec3::X * 0.5)) > 10.0 * elbow.cost(exp(DVec3::X * -0.5)));
    }
}
