//! A skeleton at rest, and where its joints are once it is posed. Unlike [`super::Skeleton`] it needs no body file: a motion file holds all of it.

use glam::{DQuat, DVec3};

use super::joint_priors::{Role, role};
use super::{Body, Side};

/// The joints of one person at rest.
#[derive(Debug, Clone, PartialEq)]
pub struct RestSkeleton {
    /// Parent of each joint; `None` for the root, which is joint 0. Parents come before their children.
    pub parents: Vec<Option<usize>>,
    /// What each joint is.
    pub roles: Vec<Role>,
    /// Positions at rest, metres.
    pub joints: Vec<DVec3>,
    /// Points on the floor when the body stands at rest, metres: below heel and toes of the left, then of the right foot.
    pub soles: [[DVec3; 2]; 2],
}

/// A posed joint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PosedJoint {
    /// Rotation from the axes at rest.
    pub rotation: DQuat,
    /// Position, metres.
    pub position: DVec3,
}

/// Left, then right.
pub const SIDES: [Side; 2] = [Side::Left, Side::Right];

impl RestSkeleton {
    /// That of a body of this shape.
    pub fn of(body: &Body, shape: &[f64]) -> Self {
        let joints = body.rest_joints(shape);
        Self { parents: body.parents.clone(), roles: body.roles.clone(), soles: body.soles(shape), joints }
    }

    /// From what a motion file says: names and parents of the joints, and their places at rest.
    pub fn named(names: &[String], parents: Vec<Option<usize>>, joints: Vec<DVec3>, soles: [[DVec3; 2]; 2]) -> Self {
        Self { parents, roles: names.iter().map(|name| role(name)).collect(), joints, soles }
    }

    /// The joint with this role, if there is one (the first, where there are several).
    pub fn joint(&self, role: Role) -> Option<usize> {
        self.roles.iter().position(|&r| r == role)
    }

    /// Poses it: the root joint at `root`, each joint rotated against its parent.
    pub fn pose(&self, root: DVec3, rotations: &[DQuat], posed: &mut Vec<PosedJoint>) {
        posed.clear();
        for (j, (&rest, &local)) in self.joints.iter().zip(rotations).enumerate() {
            posed.push(match self.parents[j] {
                None => PosedJoint { rotation: local, position: root },
                Some(p) => {
                    let PosedJoint { rotation, position } = posed[p];
                    PosedJoint { rotation: rotation * local, position: position + rotation * (rest - self.joints[p]) }
                }
            });
        }
    }

    /// A point that moves with a joint.
    pub fn carried(&self, posed: &[PosedJoint], joint: usize, at_rest: DVec3) -> DVec3 {
        posed[joint].position + posed[joint].rotation * (at_rest - self.joints[joint])
    }
}
