//! Angles in the picture, exactly as Sports2D defines them (Pagnon and Kim, *Sports2D*, JOSS 9(101) 2024; `Sports2D/process.py` and
//! `Pose2Sim/common.py` of versions 0.8 and 0.10, BSD-3-Clause: the table of points, offsets and signs, and the arithmetic).
//!
//! Points are displayed pixels, y down. Degrees; a person who stands straight and faces right in the picture has 0 at ankle, knee, hip, shoulder and elbow, and
//! flexion is positive. A person who faces left is mirrored before. What Sports2D does with whole curves afterwards (filling gaps, filters)
//! is not done.

use super::names::{Marker, marker};
use super::selection::{Sample, Selection};

/// How an angle is measured, with its points.
#[derive(Clone, Copy)]
enum Kind {
    /// Between a segment and the horizontal.
    Segment([&'static str; 2]),
    /// At the middle point.
    Corner([&'static str; 3]),
    /// Between two segments.
    Between([&'static str; 4]),
}

/// Name without the side, kind with `?` for the side's letter, offset (degrees), sign.
const SIDED: [(&str, Kind, f64, f64); 12] = [
    ("ankle", Kind::Between(["?Knee", "?Ankle", "?BigToe", "?Heel"]), 90.0, 1.0),
    ("knee", Kind::Corner(["?Ankle", "?Knee", "?Hip"]), -180.0, 1.0),
    ("hip", Kind::Between(["?Knee", "?Hip", "Hip", "Neck"]), 0.0, -1.0),
    ("shoulder", Kind::Between(["?Elbow", "?Shoulder", "Hip", "Neck"]), 0.0, -1.0),
    ("elbow", Kind::Corner(["?Wrist", "?Elbow", "?Shoulder"]), 180.0, -1.0),
    ("foot", Kind::Segment(["?BigToe", "?Heel"]), 0.0, -1.0),
    ("shank", Kind::Segment(["?Ankle", "?Knee"]), 0.0, -1.0),
    ("thigh", Kind::Segment(["?Knee", "?Hip"]), 0.0, -1.0),
    ("pelvis", Kind::Segment(["LHip", "RHip"]), 0.0, -1.0),
    ("trunk", Kind::Segment(["Neck", "Hip"]), 0.0, -1.0),
    ("shoulders", Kind::Segment(["LShoulder", "RShoulder"]), 0.0, -1.0),
    ("head", Kind::Segment(["Head", "Neck"]), 0.0, -1.0),
];
const ARMS: [(&str, Kind, f64, f64); 2] = [
    ("arm", Kind::Segment(["?Elbow", "?Shoulder"]), 0.0, -1.0),
    ("forearm", Kind::Segment(["?Wrist", "?Elbow"]), 0.0, -1.0),
];

/// An angle in the picture.
struct Angle {
    name: String,
    points: Vec<Marker>,
    offset: f64,
    sign: f64,
    /// Of a segment that has no front: between -90 and 90 degrees.
    is_line: bool,
}

/// All of Sports2D's angles, in the order of its default configuration.
pub struct ImageAngles {
    angles: Vec<Angle>,
    /// Tip of the foot and heel of both sides: which way a person faces.
    feet: [[Marker; 2]; 2],
}

impl ImageAngles {
    /// For the points of a clip.
    pub fn new(selection: &Selection<'_>) -> Self {
        let point = |name: &str| {
            let full = |short: &str| -> String {
                let (side, part) = match short.split_at_checked(1) {
                    Some(("R", part)) => ("right_", part),
                    Some(("L", part)) => ("left_", part),
                    _ => ("", short),
                };
                let part = match part {
                    "BigToe" => "big_toe".to_owned(),
                    part => part.to_ascii_lowercase(),
                };
                format!("{side}{part}")
            };
            match name {
                "Hip" => marker(selection, name, ["left_hip", "right_hip"]),
                "Neck" => marker(selection, name, ["left_shoulder", "right_shoulder"]),
                "Head" => marker(selection, name, ["head_top"; 2]),
                _ => marker(selection, name, [&full(name), &full(name)]),
            }
        };
        let angle = |name: String, side: &str, (kind, offset, sign): (Kind, f64, f64)| {
            let names: Vec<&str> = match kind {
                Kind::Segment(names) => names.to_vec(),
                Kind::Corner(names) => names.to_vec(),
                Kind::Between(names) => names.to_vec(),
            };
            let points = names.iter().map(|name| point(&name.replace('?', side))).collect();
            let is_line = matches!(&name[..], "pelvis" | "shoulders");
            Angle { name, points, offset, sign, is_line }
        };
        let mut angles = Vec::new();
        for (name, kind, offset, sign) in SIDED.into_iter().chain(ARMS) {
            match matches!(name, "pelvis" | "trunk" | "shoulders" | "head") {
                true => angles.push(angle(name.to_owned(), "", (kind, offset, sign))),
                false => angles.extend(
                    [("right", "R"), ("left", "L")]
                        .map(|(side, letter)| angle(format!("{side} {name}"), letter, (kind, offset, sign))),
                ),
            }
        }
        let feet = ["R", "L"].map(|side| [format!("{side}BigToe"), format!("{side}Heel")].map(|name| point(&name)));
        Self { angles, feet }
    }

    /// Names, as Sports2D has them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.angles.iter().map(|angle| &angle.name[..])
    }

    /// How far the tips of the feet are right of the heels, pixels: positive for who faces right.
    pub fn facing(&self, sample: &Sample) -> f64 {
        let right = |[toe, heel]: &[Marker; 2]| Some(toe.pixel(sample)?[0] - heel.pixel(sample)?[0]);
        self.feet.iter().filter_map(right).sum()
    }

    /// Degrees, in the order of the names; NaN where a point is missing. `is_left`: the person faces left.
    pub fn of<'s>(&'s self, sample: &'s Sample, is_left: bool) -> impl Iterator<Item = f64> + 's {
        let side = if is_left { -1.0 } else { 1.0 };
        self.angles.iter().map(move |angle| {
            let at = |marker: &Marker| marker.pixel(sample).map_or([f64::NAN; 2], |[x, y, _]| [x * side, y]);
            let points: Vec<[f64; 2]> = angle.points.iter().map(at).collect();
            let degrees = (measured(&points) + angle.offset) * angle.sign;
            match angle.is_line {
                true => (degrees + 90.0).rem_euclid(180.0) - 90.0,
                false => (degrees + 180.0).rem_euclid(360.0) - 180.0,
            }
        })
    }
}

/// Degrees between segments, or of one with the horizontal.
fn measured(points: &[[f64; 2]]) -> f64 {
    let minus = |a: [f64; 2], b: [f64; 2]| [a[0] - b[0], a[1] - b[1]];
    let (u, v) = match *points {
        [a, b] => {
            let u = minus(a, b);
            return u[1].atan2(u[0]).to_degrees();
        }
        [a, b, c] => (minus(a, b), minus(c, b)),
        [a, b, c, d] => (minus(b, a), minus(d, c)),
        _ => return f64::NAN,
    };
    -(u[0] * v[1] - u[1] * v[0]).atan2(u[0] * v[0] + u[1] * v[1]).to_degrees()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_straight_is_zero() {
        let ankle = |toe: [f64; 2]| measured(&[[100.0, 300.0], [100.0, 400.0], toe, [100.0, 410.0]]) + 90.0;
        assert!(ankle([120.0, 410.0]).abs() < 1e-9);
        assert!((ankle([120.0, 400.0]) - 26.565_051_177).abs() < 1e-6, "toes up");
        let knee = |ankle: [f64; 2]| {
            (measured(&[ankle, [100.0, 300.0], [100.0, 200.0]]) - 180.0 + 180.0).rem_euclid(360.0) - 180.0
        };
        assert!(knee([100.0, 400.0]).abs() < 1e-9);
        assert!((knee([0.0, 300.0]) - 90.0).abs() < 1e-9, "heel behind");
        let hip = -measured(&[[200.0, 200.0], [100.0, 200.0], [100.0, 200.0], [100.0, 50.0]]);
        assert!((hip - 90.0).abs() < 1e-9);
    }
}
