//! BVH (Biovision hierarchy), a file a person: skeleton, then rotations frame after frame.
//!
//! Rotations are in degrees, in the order Z, X, Y (`R = Rz Rx Ry`). The rest pose is a T by default, since programs that carry motion over to
//! another character expect one: each joint's axes are turned so that arms lie along x and legs along -y, and positions of joints stay what they
//! are. The format knows neither absence nor time stamps: a frame in which somebody is not seen repeats the one before, and a file begins with
//! the first frame of the person, whose number is in its name.

use std::fs::File;
use std::io::{BufWriter, Write};

use glam::{DMat3, DQuat, DVec3};

use super::error::ExportError;
use super::names::joint_names;
use super::output::Output;
use super::selection::{Person, Sample, Selection};
use super::steady::{Steady, Timeline};
use super::{Options, Rest, Scale};
use crate::body::{Role, between};

/// A skeleton as the file has it.
struct Skeleton<'p> {
    person: &'p Person<'p>,
    names: Vec<String>,
    /// How each joint's axes are turned in the rest pose.
    turns: Vec<DQuat>,
    /// Where the last bone of an arm, a leg or the head ends, at rest.
    ends: Vec<Option<DVec3>>,
    /// Length of a metre.
    metre: f64,
    /// The joints in the order in which the file has them: each before its children, and these one after the other with all below them.
    order: Vec<usize>,
}

/// Writes `NAME.pID.bvh` for each person.
pub fn write(selection: &Selection<'_>, options: &Options, output: &mut Output<'_>) -> Result<(), ExportError> {
    let timeline = Timeline::of(selection, "bvh", selection.clip.header.body.joints.len() * 30, options.full_length)?;
    for (index, person) in selection.people.iter().enumerate() {
        let skeleton = Skeleton::new(selection, person, options);
        let steady = Steady::new(selection, timeline, index);
        let seen = steady.range();
        let range = if options.full_length { 0..timeline.frames } else { seen.clone() };
        let from = if range.start == 0 { String::new() } else { format!(".f{}", range.start) };
        output.file(&format!("p{}{from}.bvh", person.info.id), |output, out| {
            skeleton.write(out)?;
            writeln!(out, "MOTION\nFrames: {}\nFrame Time: {:.10}", range.len(), 1.0 / timeline.rate)?;
            let mut motion = Rows { skeleton: &skeleton, before: Vec::new(), line: String::new() };
            // Before they come, they stand as in their first frame.
            let mut early = seen.start - range.start;
            for frame in steady {
                output.proceed()?;
                if let Some(sample) = frame?.1 {
                    motion.set(&sample);
                }
                for _ in 0..std::mem::take(&mut early) {
                    out.write_all(motion.line.as_bytes())?;
                }
                out.write_all(motion.line.as_bytes())?;
            }
            (seen.end..range.end).try_for_each(|_| out.write_all(motion.line.as_bytes()))?;
            Ok(())
        })?;
    }
    Ok(())
}

impl<'p> Skeleton<'p> {
    fn new(selection: &Selection<'_>, person: &'p Person<'p>, options: &Options) -> Self {
        let rest = &person.rest;
        let ends = ends(selection, person);
        // A hand is turned as a whole.
        let carrier = |j: usize| match rest.roles[j] {
            Role::Finger(side, _) => rest.joint(Role::Hand(side)).unwrap_or(j),
            _ => j,
        };
        let turn = |j: usize| -> DQuat {
            let j = carrier(j);
            let child = || rest.parents.iter().position(|&parent| parent == Some(j)).map(|child| rest.joints[child]);
            let bone = |to: Option<DVec3>| to.map_or(DVec3::ZERO, |to| to - rest.joints[j]);
            match rest.roles[j] {
                Role::UpperArm(side) | Role::LowerArm(side) => between(bone(child()), DVec3::X * side.sign()),
                Role::Hand(side) => between(bone(ends[j]), DVec3::X * side.sign()),
                Role::UpperLeg(_) | Role::LowerLeg(_) => between(bone(child()), DVec3::NEG_Y),
                _ => DQuat::IDENTITY,
            }
        };
        let turns = match options.rest {
            Rest::T => (0..rest.joints.len()).map(turn).collect(),
            Rest::A => vec![DQuat::IDENTITY; rest.joints.len()],
        };
        let metre = match options.scale {
            Scale::M => 1.0,
            Scale::Cm => 100.0,
        };
        let mut order = Vec::with_capacity(rest.joints.len());
        let mut next = vec![0];
        while let Some(j) = next.pop() {
            order.push(j);
            next.extend((0..rest.joints.len()).rev().filter(|&child| rest.parents[child] == Some(j)));
        }
        Self { person, names: joint_names(selection, options.names), turns, ends, metre, order }
    }

    fn write(&self, out: &mut BufWriter<File>) -> Result<(), ExportError> {
        writeln!(out, "HIERARCHY")?;
        self.joint(out, 0, 0)
    }

    fn joint(&self, out: &mut BufWriter<File>, j: usize, depth: usize) -> Result<(), ExportError> {
        let indent = "\t".repeat(depth);
        let rest = &self.person.rest;
        let kind = if depth == 0 { "ROOT" } else { "JOINT" };
        let offset = |from: usize, to: DVec3| self.turns[from] * (to - rest.joints[from]) * self.metre;
        let at = rest.parents[j].map_or(DVec3::ZERO, |parent| offset(parent, rest.joints[j]));
        let places = if depth == 0 { "6 Xposition Yposition Zposition" } else { "3" };
        writeln!(out, "{indent}{kind} {}\n{indent}{{", self.names[j])?;
        writeln!(out, "{indent}\tOFFSET {:.5} {:.5} {:.5}", at.x, at.y, at.z)?;
        writeln!(out, "{indent}\tCHANNELS {places} Zrotation Xrotation Yrotation")?;
        let children = (0..rest.joints.len()).filter(|&child| rest.parents[child] == Some(j));
        let mut is_last = true;
        for child in children {
            is_last = false;
            self.joint(out, child, depth + 1)?;
        }
        if is_last {
            let end = offset(j, self.ends[j].unwrap_or(rest.joints[j] + DVec3::Y * 0.05));
            writeln!(out, "{indent}\tEnd Site\n{indent}\t{{")?;
            writeln!(out, "{indent}\t\tOFFSET {:.5} {:.5} {:.5}\n{indent}\t}}", end.x, end.y, end.z)?;
        }
        Ok(writeln!(out, "{indent}}}")?)
    }
}

/// Where bones without a child end: at the top of the head, the tips of the feet, and where hands, toes and fingers end.
fn ends(selection: &Selection<'_>, person: &Person<'_>) -> Vec<Option<DVec3>> {
    let mesh = &selection.clip.header.mesh;
    let at_rest = mesh.of_shape(&person.info.shape);
    let end = |j: usize| {
        let joint = person.rest.joints[j];
        match person.rest.roles[j] {
            Role::Head => Some(person.head_top),
            Role::Foot(side) => Some(person.rest.soles[usize::from(side == crate::body::Side::Right)][1]),
            Role::Hand(_) | Role::Finger(..) | Role::Other => {
                // Twice as far as the middle of the vertices that follow the hand, the toes or a finger.
                let is_of = |(v, _): &(usize, &[f32; 3])| {
                    let of = mesh.skin_indices[*v].iter().zip(mesh.skin_weights[*v]);
                    of.filter(|(k, _)| usize::from(**k) == j).any(|(_, weight)| weight > 127)
                };
                let vertices = at_rest.iter().enumerate().filter(is_of);
                let (sum, count) = vertices.fold((DVec3::ZERO, 0.0), |(sum, count), (_, v)| {
                    (sum + DVec3::new(f64::from(v[0]), f64::from(-v[1]), f64::from(-v[2])), count + 1.0)
                });
                (count > 0.0).then(|| joint + (sum / count - joint) * 2.0)
            }
            _ => None,
        }
    };
    (0..person.rest.joints.len()).map(end).collect()
}

/// The lines of the motion.
struct Rows<'s, 'p> {
    skeleton: &'s Skeleton<'p>,
    /// Angles of the frame before, radians: z, x, y of each joint.
    before: Vec<[f64; 3]>,
    line: String,
}

impl Rows<'_, '_> {
    fn set(&mut self, sample: &Sample) {
        use std::fmt::Write;
        let skeleton = self.skeleton;
        let rest = &skeleton.person.rest;
        let mut turned: Vec<DQuat> = Vec::with_capacity(rest.joints.len());
        let mut world: Vec<DQuat> = Vec::with_capacity(rest.joints.len());
        let root = sample.root * skeleton.metre;
        self.line = format!("{:.5} {:.5} {:.5}", root.x, root.y, root.z);
        let is_first = self.before.is_empty();
        for j in 0..rest.joints.len() {
            let rotation = rest.parents[j].map_or(sample.rotations[j], |parent| world[parent] * sample.rotations[j]);
            world.push(rotation);
            turned.push(rotation * skeleton.turns[j].conjugate());
            let local = rest.parents[j].map_or(turned[j], |parent| turned[parent].conjugate() * turned[j]);
            let before = self.before.get(j).copied();
            let angles = euler(DMat3::from_quat(local.normalize()), before.unwrap_or_default());
            match is_first {
                true => self.before.push(angles),
                false => self.before[j] = angles,
            }
        }
        for &j in &skeleton.order {
            let [z, x, y] = self.before[j].map(f64::to_degrees);
            // Writing to a string cannot fail.
            let _ = write!(self.line, " {z:.5} {x:.5} {y:.5}");
        }
        self.line.push('\n');
    }
}

/// Angles z, x, y (radians) with `R = Rz Rx Ry`, of all that there are those nearest to `before`.
fn euler(r: DMat3, before: [f64; 3]) -> [f64; 3] {
    let at = |row: usize, column: usize| r.col(column)[row];
    let x = at(2, 1).clamp(-1.0, 1.0).asin();
    // Looking along the y axis of the joint z and y turn about the same axis: only their sum or difference is known, and z stays as it was.
    let (z, y) = match x.cos() < 1e-6 {
        true => (before[0], at(0, 2).atan2(at(0, 0)) - x.signum() * before[0]),
        false => ((-at(0, 1)).atan2(at(1, 1)), (-at(2, 0)).atan2(at(2, 2))),
    };
    let pi = std::f64::consts::PI;
    let near = |angles: [f64; 3]| -> [f64; 3] {
        std::array::from_fn(|i| angles[i] + ((before[i] - angles[i]) / (2.0 * pi)).round() * 2.0 * pi)
    };
    let off = |angles: &[f64; 3]| -> f64 { angles.iter().zip(before).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) };
    let [one, other] = [near([z, x, y]), near([z + pi, pi - x, y + pi])];
    if off(&one) <= off(&other) { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix([z, x, y]: [f64; 3]) -> DMat3 {
        DMat3::from_rotation_z(z) * DMat3::from_rotation_x(x) * DMat3::from_rotation_y(y)
    }

    #[test]
    fn angles_give_the_rotation_and_do_not_jump() {
        for (z, y) in [(0.0, 0.0), (0.3, -0.4), (2.0, 1.0)] {
            let mut before = euler(matrix([z, 0.0, y]), [0.0; 3]);
            // Twice head over heels.
            for i in 0..200 {
                let r = matrix([z, f64::from(i) * 0.0628, y]);
                let angles = euler(r, before);
                assert!(
                    (matrix(angles).to_cols_array().iter().zip(r.to_cols_array())).all(|(a, b)| (a - b).abs() < 1e-5)
                );
                assert!(angles.iter().zip(before).all(|(a, b)| (a - b).abs() < 0.2), "{i}: {before:?} {angles:?}");
                before = angles;
            }
        }
        // Straight up: only the sum counts.
        let r = matrix([0.4, std::f64::consts::FRAC_PI_2, 0.3]);
        let angles = euler(r, [0.5, 1.5, 0.2]);
        assert!(
            (matrix(angles).to_cols_array().iter().zip(r.to_cols_array())).all(|(a, b)| (a - b).abs() < 1e-5),
            "{angles:?}"
        );
        assert!((angles[0] - 0.5).abs() < 1e-9);
    }
}
