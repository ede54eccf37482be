//! What is exported of a clip: which people, and in which axes.

use glam::{DMat3, DQuat, DVec3};

use super::clip::{Clip, Raw};
use super::error::ExportError;
use super::header::PersonInfo;
use crate::body::{
    Camera, PosedJoint, RestSkeleton, Stance, Standing, UPRIGHT_CAMERA, UpSource, World, between, floor_shift,
};
use crate::control::Proceed;
use crate::pose::skeleton::COCO_NAMES;
use crate::text::people;

/// Most bytes of a result that say nothing but that somebody is absent.
const MOST_EMPTY: usize = 4_000_000_000;
/// Most ids in a message.
const MOST_NAMED: usize = 20;

/// Which axes points are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frame {
    /// Y is up, the floor is at 0 where it is known, and z is towards the camera. Resting feet are on the floor
    #[default]
    World,
    /// The camera's axes, y up and z towards the camera: what lies exactly over the picture
    Camera,
}

/// Which way a person who looks at the camera faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Heading {
    /// Along z, as in glTF and BVH
    #[default]
    Z,
    /// Along x, as OpenSim's models
    X,
}

/// What the user says of the camera and the floor.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Placement {
    /// Degrees by which the camera looks down.
    pub pitch: Option<f64>,
    /// Degrees by which the camera is turned clockwise.
    pub roll: Option<f64>,
    /// How far the camera is above the floor, metres.
    pub floor: Option<f64>,
}

/// Axes that points are taken to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axes {
    /// Which they are in truth: without a world they are the camera's.
    pub frame: Frame,
    /// Up and the floor, camera axes.
    pub world: World,
    /// Rotation from the upright camera's axes.
    pub tilt: DQuat,
    /// Added after it, metres.
    pub offset: DVec3,
}

/// Somebody who is exported.
pub struct Person<'a> {
    /// As the header has them.
    pub info: &'a PersonInfo,
    /// Their rows in the clip.
    pub rows: &'a [usize],
    /// At rest in y up, facing z.
    pub rest: RestSkeleton,
    /// The top of the head at rest.
    pub head_top: DVec3,
    /// The joint that carries it.
    pub head: usize,
    /// As in the file.
    camera_rest: RestSkeleton,
    /// Metres by which each row was raised so that resting feet are on the floor.
    shifts: Vec<f32>,
}

/// Some people of a clip in some axes.
pub struct Selection<'a> {
    /// The clip.
    pub clip: &'a Clip,
    /// The axes.
    pub axes: Axes,
    /// The people, in the header's order.
    pub people: Vec<Person<'a>>,
    /// Where they are in `people`, by their place in the header.
    chosen: Vec<Option<usize>>,
    /// Names of [`Sample::points`].
    pub names: Vec<String>,
}

/// A person in a frame, in the axes of the selection.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Seconds since the first frame.
    pub time: f64,
    /// x, y, width, height in displayed pixels.
    pub bounds: [f64; 4],
    /// How much was seen, 0..=1.
    pub score: f64,
    /// Whether this could be somebody else.
    pub uncertain: bool,
    /// How surely the left and the right hand was seen, 0..=1.
    pub hands: [f64; 2],
    /// Metres by which they were raised.
    pub shift: f64,
    /// COCO's 17 points, then the extra ones, metres.
    pub points: Vec<DVec3>,
    /// The same in displayed pixels, with confidence.
    pub pixels: Vec<[f64; 3]>,
    /// The top of the head: in metres, and in displayed pixels with confidence.
    pub head_top: (DVec3, [f64; 3]),
    /// Position of the root joint, metres.
    pub root: DVec3,
    /// Rotation of each joint relative to its parent.
    pub rotations: Vec<DQuat>,
}

impl Axes {
    fn new(world: World, frame: Frame, heading: Heading) -> Self {
        let is_known = world.source != UpSource::None || world.floor.is_some();
        let frame = if is_known { frame } else { Frame::Camera };
        let turn = match heading {
            Heading::Z => DQuat::IDENTITY,
            Heading::X => DQuat::from_rotation_y(std::f64::consts::FRAC_PI_2),
        };
        match frame {
            Frame::World => {
                let tilt = between(UPRIGHT_CAMERA * world.up, DVec3::Y);
                Self { frame, world, tilt: turn * tilt, offset: DVec3::Y * world.floor.unwrap_or(0.0) }
            }
            Frame::Camera => Self { frame, world, tilt: turn, offset: DVec3::ZERO },
        }
    }

    /// A point in camera axes.
    pub fn point(&self, point: DVec3) -> DVec3 {
        self.tilt * (UPRIGHT_CAMERA * point) + self.offset
    }

    /// From camera axes to these.
    pub fn matrix(&self) -> DMat3 {
        DMat3::from_quat(self.tilt) * UPRIGHT_CAMERA
    }

    /// The name of the frame, for files.
    pub fn frame_name(&self) -> &'static str {
        match self.frame {
            Frame::World => "world",
            Frame::Camera => "camera",
        }
    }

    /// The name of where up comes from, for files.
    pub fn source_name(&self) -> &'static str {
        match self.world.source {
            UpSource::FeetAndBody => "feet+body",
            UpSource::User => "user",
            UpSource::None => "none",
        }
    }
}

/// A rotation in camera axes, in axes with y up and z towards the camera.
fn turned_up(q: DQuat) -> DQuat {
    DQuat::from_xyzw(q.x, -q.y, -q.z, q.w)
}

impl<'a> Selection<'a> {
    /// Chooses people by their ids (all where none are named), and axes, as long as `proceed` says that the work goes on.
    ///
    /// # Errors
    /// When there is no such person, rows cannot be read, or the work ends.
    pub fn new(
        clip: &'a Clip,
        ids: &[u32],
        frame: Frame,
        heading: Heading,
        placement: Placement,
        proceed: Proceed<'_>,
    ) -> Result<Self, ExportError> {
        let header = &clip.header;
        if let Some(&id) = ids.iter().find(|id| !header.people.iter().any(|person| person.id == **id)) {
            let there: Vec<String> =
                header.people.iter().take(MOST_NAMED).map(|person| person.id.to_string()).collect();
            let there = match header.people.len() {
                0 => "nobody is in it".to_owned(),
                all if all > MOST_NAMED => format!("there are {} and {} more", there.join(", "), all - MOST_NAMED),
                _ => format!("there are {}", there.join(", ")),
            };
            return Err(ExportError::NoPerson { id, there });
        }
        let names = COCO_NAMES.iter().map(|&name| name.to_owned()).chain(header.extra_keypoints.iter().cloned());
        let mut chosen = vec![None; header.people.len()];
        let mut people = Vec::new();
        for (index, info) in header.people.iter().enumerate() {
            let is_meant = ids.is_empty() || ids.contains(&info.id);
            if !is_meant || clip.rows_of(index).is_empty() {
                continue;
            }
            chosen[index] = Some(people.len());
            let camera_rest = header.skeleton(info);
            let up = |point: DVec3| UPRIGHT_CAMERA * point;
            let rest = RestSkeleton {
                joints: camera_rest.joints.iter().map(|&joint| up(joint)).collect(),
                soles: camera_rest.soles.map(|foot| foot.map(up)),
                ..camera_rest.clone()
            };
            // A body without a head carries its top on the joint nearest to it.
            let far = |j: &usize| camera_rest.joints[*j].distance_squared(info.head_top);
            let nearest = (0..rest.joints.len()).min_by(|a, b| far(a).total_cmp(&far(b)));
            let head = rest.joint(crate::body::Role::Head).or(nearest).unwrap_or(0);
            let (rows, head_top) = (clip.rows_of(index), up(info.head_top));
            people.push(Person { info, rows, rest, head_top, head, camera_rest, shifts: Vec::new() });
        }
        let mut selection =
            Self { clip, axes: Axes::new(header.world, frame, heading), people, chosen, names: names.collect() };
        if placement != Placement::default() {
            selection.axes = Axes::new(selection.placed(placement, proceed)?, frame, heading);
        }
        if selection.axes.frame == Frame::World {
            let world = selection.axes.world;
            for index in 0..selection.people.len() {
                let stances = selection.stances(index, proceed)?;
                let shifts = floor_shift(&stances, &world);
                selection.people[index].shifts = shifts.into_iter().map(|shift| shift as f32).collect();
            }
        }
        Ok(selection)
    }

    /// Up and the floor as the user says, and as far as nothing is said, as people show them.
    fn placed(&self, placement: Placement, proceed: Proceed<'_>) -> Result<World, ExportError> {
        let known = self.clip.header.world;
        let says_up = placement.pitch.is_some() || placement.roll.is_some();
        let up = match says_up {
            true => World::up_of_camera(placement.pitch.unwrap_or(0.0), placement.roll.unwrap_or(0.0)),
            false => known.up,
        };
        let floor = match placement.floor {
            Some(floor) => Some(floor),
            None => {
                let mut standing = Standing::default();
                for index in 0..self.people.len() {
                    standing.add(&self.stances(index, proceed)?);
                }
                standing.floor(up)
            }
        };
        Ok(World { up, floor, source: UpSource::User, sigma_deg: if says_up { None } else { known.sigma_deg } })
    }

    /// How a person holds themselves in each of their rows.
    fn stances(&self, index: usize, proceed: Proceed<'_>) -> Result<Vec<Stance>, ExportError> {
        let (person, camera) = (&self.people[index], self.clip.header.camera.into());
        let mut posed = Vec::new();
        let stance = |&row: &usize| {
            proceed()?;
            let raw = self.raw(row)?;
            let time = self.clip.times[self.clip.place(row).0];
            person.camera_rest.pose(raw.root, &raw.rotations, &mut posed);
            Ok(Stance::new(&person.camera_rest, &posed, &camera, time, raw.score))
        };
        let stances: Vec<Option<Stance>> = person.rows.iter().map(stance).collect::<Result<_, ExportError>>()?;
        // All of them or none: a body without feet, or behind the camera, is not moved.
        Ok(stances.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default())
    }

    fn raw(&self, row: usize) -> Result<Raw, ExportError> {
        self.clip.raw(row).map_err(|source| ExportError::Read { path: "temporary file".into(), source })
    }

    /// Whether a format that has `rows` rows of so many bytes for these people, also where they are absent, is not mostly empty: a small motion
    /// file of many who are there for a moment could fill a disk.
    ///
    /// # Errors
    /// [`ExportError::TooLarge`] if it is.
    pub fn check_room(&self, format: &'static str, rows: usize, row_bytes: usize) -> Result<(), ExportError> {
        let there = self.people.iter().map(|person| person.rows.len()).sum();
        let empty = rows.saturating_sub(there).saturating_mul(row_bytes);
        match empty > MOST_EMPTY {
            false => Ok(()),
            true => Err(ExportError::TooLarge {
                format,
                what: format!(
                    "{} who are absent so often: {} GB would say nothing else",
                    people(self.people.len()),
                    empty / 1_000_000_000
                ),
                instead: "take csv or coco, which hold those who are there, or fewer people at a time with --person",
            }),
        }
    }

    /// Rows of a frame with somebody of the selection: who, as an index into `people`, and which of their rows.
    pub fn in_frame(&self, frame: usize) -> impl Iterator<Item = (usize, usize)> {
        self.clip.rows_in(frame).filter_map(|row| {
            let person = self.chosen[self.clip.place(row).1]?;
            Some((person, self.people[person].rows.binary_search(&row).ok()?))
        })
    }

    /// The frame of a person's row.
    pub fn frame_of(&self, person: usize, row: usize) -> usize {
        self.clip.place(self.people[person].rows[row]).0
    }

    /// A person's row by its place among theirs.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn sample(&self, person: usize, row: usize) -> Result<Sample, ExportError> {
        let who = &self.people[person];
        let raw = self.raw(who.rows[row])?;
        let camera: Camera = self.clip.header.camera.into();
        let shift = who.shifts.get(row).map_or(0.0, |&shift| f64::from(shift));
        let to = |point: DVec3| self.axes.point(point) + DVec3::Y * shift;
        let mut posed: Vec<PosedJoint> = Vec::new();
        who.camera_rest.pose(raw.root, &raw.rotations, &mut posed);
        let head_top = who.camera_rest.carried(&posed, who.head, who.info.head_top);
        let pixel = |point: DVec3, confidence: f64| {
            let [x, y] = camera.project(point);
            [x, y, confidence]
        };
        let mut pixels = raw.keypoints2d.to_vec();
        for (point, name) in raw.points.iter().zip(&self.names).skip(pixels.len()) {
            pixels.push(pixel(*point, raw.keypoints2d[seen_with(name)][2]));
        }
        let mut rotations: Vec<DQuat> = raw.rotations.iter().map(|&q| turned_up(q)).collect();
        rotations[0] = self.axes.tilt * rotations[0];
        Ok(Sample {
            time: self.clip.times[self.frame_of(person, row)],
            bounds: raw.bounds,
            score: raw.score,
            uncertain: raw.uncertain,
            hands: raw.hands,
            shift,
            points: raw.points.iter().map(|&point| to(point)).collect(),
            pixels,
            head_top: (to(head_top), pixel(head_top, raw.keypoints2d[0][2])),
            root: to(raw.root),
            rotations,
        })
    }
}

/// COCO's point that an extra key point is seen as well as: the ankle for feet, the wrist for hands.
fn seen_with(name: &str) -> usize {
    let is_left = name.starts_with("left_");
    let is_foot = ["heel", "toe"].iter().any(|part| name.contains(part));
    match (is_foot, is_left) {
        (true, true) => 15,
        (true, false) => 16,
        (false, true) => 9,
        (false, false) => 10,
    }
}
