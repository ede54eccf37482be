//! The people of a clip once bodies are fitted to them: who is in a frame, how to draw them, what the motion file says of them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use glam::{DVec3, Mat4, Vec3, Vec3A, Vec4};

use super::figure::Figure;
use super::shot::Shot;
use crate::body::{Bend, Body, Camera, FittedPose, FittedTrack, RestSkeleton, Stance, World, floor_shift};
use crate::export::{self, MeshInfo, PersonInfo};
use crate::render::{self, Mesh, MeshError, Scene, Shape, Style};

/// R'G'B' of people: light, of even brightness, told apart by most kinds of colour vision (after Okabe and Ito's
/// palette, lightened).
const COLORS: [[f32; 3]; 8] = [
    [0.45, 0.72, 0.95],
    [0.98, 0.70, 0.35],
    [0.40, 0.82, 0.68],
    [0.93, 0.62, 0.80],
    [0.95, 0.90, 0.45],
    [0.65, 0.62, 0.95],
    [0.95, 0.55, 0.45],
    [0.75, 0.80, 0.85],
];

/// Every so manieth frame is enough to find how near people come to each other.
const NEARNESS_STEP: usize = 8;
/// Every so manieth vertex is enough to find a body's bounds.
const BOUNDS_STEP: usize = 7;
/// Depth in metres at which vertices nearer than that, or behind the camera, are taken to be when bounds are measured.
const NEAREST: f32 = 0.05;

/// The people of a clip, ready to be drawn.
pub struct FittedPeople<'a> {
    body: &'a Body,
    camera: Camera,
    people: Vec<Person<'a>>,
    mesh: &'a Mesh,
    /// Frames that are corrupt, where nobody is shown: what people did there was not seen.
    corrupt: BTreeSet<u64>,
    /// Frames in which somebody is not there, by their id, though they have a pose.
    absent: BTreeSet<(u32, u64)>,
    /// How far each person is raised in further views, by their id, metres, from their first frame on.
    raised: BTreeMap<u32, Vec<f64>>,
}

/// So many frames of a person tell how far they went.
const SAMPLES: usize = 200;

/// How far the surface in motion files may be from the body's, metres.
const EXPORTED_ERROR: f32 = 0.0015;

/// Thickness in metres of what people wear, or of their hair: the body is fitted to joints, and its bare skin lies that far
/// inside what is seen.
const CLOTHES: f32 = 0.006;

/// Somebody in the clip.
struct Person<'a> {
    track: &'a FittedTrack,
    /// Every [`BOUNDS_STEP`]th vertex of their body at rest, metres.
    rest: Vec<[f32; 3]>,
    /// R'G'B' in which they are drawn.
    color: [f32; 3],
}

/// Makes the scenes of a clip, frame after frame. Keeps the shapes of those in the picture only, a megabyte each: a long clip has many
/// people.
pub struct Scenes<'c> {
    people: &'c FittedPeople<'c>,
    /// By the person's id.
    shapes: BTreeMap<u32, Shape>,
}

/// Somebody in one frame.
struct PosedPerson<'a> {
    person: &'a Person<'a>,
    fitted: &'a FittedPose,
    /// For each joint the 3 x 4 matrix, row by row, that takes a vertex at rest to camera axes.
    joints: Vec<[f32; 12]>,
    /// How the pose changes the body at rest before that.
    bend: Option<Bend<'a>>,
}

impl<'a> FittedPeople<'a> {
    /// Of these `people`; `mesh` is the body's. Nobody is shown in frames that are `corrupt`.
    pub fn new(
        body: &'a Body,
        mesh: &'a Mesh,
        camera: Camera,
        people: &'a [FittedTrack],
        corrupt: BTreeSet<u64>,
    ) -> Self {
        let person = |(track, color): (&'a FittedTrack, usize)| {
            let rest = body.shaped_vertices(&track.shape).into_iter().step_by(BOUNDS_STEP).collect();
            Person { track, rest, color: COLORS[color] }
        };
        let people = people.iter().zip(colors(people, &camera)).map(person).collect();
        Self { body, camera, people, mesh, corrupt, absent: BTreeSet::new(), raised: BTreeMap::new() }
    }

    /// Without somebody, by their id, in some frames.
    #[must_use]
    pub fn without(self, absent: BTreeSet<(u32, u64)>) -> Self {
        Self { absent, ..self }
    }

    /// With resting feet on the floor, where people are seen from elsewhere than from where they were filmed: depth from one camera is
    /// uncertain, and there it shows. As in exports. `times`: of the frames, seconds.
    #[must_use]
    pub fn on_the_floor(mut self, world: &World, times: &[f64]) -> Self {
        for Person { track, .. } in &self.people {
            let skeleton = RestSkeleton::of(self.body, &track.shape);
            let mut posed = Vec::new();
            let stance = |(frame, fitted): (u64, &FittedPose)| {
                let time = *times.get(usize::try_from(frame).ok()?)?;
                if self.is_corrupt(frame) || self.absent.contains(&(track.id, frame)) {
                    return None;
                }
                skeleton.pose(fitted.pose.position, &fitted.pose.rotations, &mut posed);
                Some((frame, Stance::new(&skeleton, &posed, &self.camera, time, fitted.score.into())?))
            };
            let stances = (track.first_frame..).zip(&track.poses).filter_map(stance);
            let (frames, stances): (Vec<u64>, Vec<Stance>) = stances.unzip();
            let mut raised = vec![0.0; track.poses.len()];
            for (frame, shift) in frames.iter().zip(floor_shift(&stances, world)) {
                raised[(frame - track.first_frame) as usize] = shift;
            }
            self.raised.insert(track.id, raised);
        }
        self
    }

    /// How far a person is raised in further views, metres.
    fn raised(&self, track: &FittedTrack, index: u64) -> f64 {
        let at = |raised: &Vec<f64>| raised.get((index - track.first_frame) as usize).copied();
        self.raised.get(&track.id).and_then(at).unwrap_or(0.0)
    }

    /// How they were filmed.
    pub fn camera(&self) -> Camera {
        self.camera
    }

    /// The body that is fitted to all of them.
    pub fn body(&self) -> &'a Body {
        self.body
    }

    /// Names of the body's key points that are none of COCO's 17.
    pub fn extra_keypoints(&self) -> Vec<String> {
        self.extra().map(|keypoint| self.body.keypoint_names[keypoint].clone()).collect()
    }

    fn extra(&self) -> impl Iterator<Item = usize> {
        (0..self.body.keypoint_names.len()).filter(|keypoint| !self.body.coco17.contains(keypoint))
    }

    /// Up and the floor, as far as people show them; `times` are the frames' (seconds).
    pub fn world(&self, times: &[f64]) -> World {
        let tracks = || self.people.iter().map(|person| person.track);
        let skeletons: Vec<_> = tracks().map(|track| RestSkeleton::of(self.body, &track.shape)).collect();
        World::estimate(tracks(), &skeletons, &self.camera, times, |frame| self.is_corrupt(frame))
    }

    /// A surface of the body that is good to look at, and everybody with it at rest.
    ///
    /// # Errors
    /// When the body's mesh is too large for a motion file.
    pub fn at_rest(&self) -> Result<(MeshInfo, Vec<PersonInfo>), MeshError> {
        let surface = self.mesh.surface(EXPORTED_ERROR);
        let mesh = MeshInfo::new(surface.faces, surface.skin_indices, surface.skin_weights);
        let found = surface.skin_indices.len();
        let mesh = mesh.ok_or(MeshError::Length { what: "the list of vertices", found, expected: 1 << 16 })?;
        let of_surface =
            |vertices: &[[f32; 3]]| surface.vertices.iter().map(|&v| vertices[v as usize]).collect::<Vec<_>>();
        let directions: Vec<_> = self.body.shape_directions().map(of_surface).collect();
        let mesh = mesh.at_rest(of_surface(&self.body.vertices), &directions);
        let person = |Person { track, color, .. }: &Person| {
            let skeleton = RestSkeleton::of(self.body, &track.shape);
            let vertices = self.body.shaped_vertices(&track.shape);
            let frames = track.first_frame..track.first_frame + track.poses.len() as u64;
            let seen = || frames.clone().filter(|&frame| !self.is_corrupt(frame));
            let top = vertices.iter().min_by(|a, b| a[1].total_cmp(&b[1]));
            Some(PersonInfo {
                id: track.id,
                first_frame: seen().next()?,
                last_frame: seen().next_back()?,
                frames: seen().count() as u64,
                color: *color,
                shape: track.shape.clone(),
                rest: skeleton.joints,
                head_top: top.map_or(DVec3::ZERO, |&top| Vec3::from(top).as_dvec3()),
                soles: skeleton.soles,
            })
        };
        Ok((mesh, self.people.iter().filter_map(person).collect()))
    }

    /// How many there are in the whole clip.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether a frame is corrupt, so that nothing is known of who is in it.
    pub fn is_corrupt(&self, index: u64) -> bool {
        self.corrupt.contains(&index)
    }

    /// What the motion file says of a frame.
    pub fn rows(&self, index: u64) -> Vec<export::Person> {
        self.everybody(index).map(|posed| self.row(&posed)).collect()
    }

    /// Body points of everybody in some of the frames, evenly chosen, camera axes, metres.
    pub fn sampled_points(&self) -> Vec<DVec3> {
        let mut points = Vec::new();
        for Person { track, .. } in &self.people {
            let step = track.poses.len().div_ceil(SAMPLES).max(1);
            for (frame, fitted) in (track.first_frame..).zip(&track.poses).step_by(step) {
                if !self.is_corrupt(frame) && !self.absent.contains(&(track.id, frame)) {
                    points.extend(self.body.landmarks(&fitted.pose, &track.shape).into_iter().flatten());
                }
            }
        }
        points
    }

    /// Where everybody's body points are in a frame, for a shot; the nearest last.
    pub fn figures(&self, index: u64, shot: &Shot) -> Vec<Figure> {
        let figure = |posed: PosedPerson<'_>| {
            let PosedPerson { person, fitted, .. } = posed;
            let raised = shot.up * self.raised(person.track, index);
            let mut points = self.body.landmarks(&fitted.pose, &person.track.shape).map(|point| Some((point?, 0.0)));
            for (point, keypoint) in points.iter_mut().zip(self.body.blazepose33) {
                if let (Some((place, confidence)), Some(keypoint)) = (point, keypoint) {
                    *place = shot.from_filmed.transform_point3(*place + raised);
                    *confidence = self.keypoint_confidence(fitted, keypoint);
                }
            }
            Figure { id: person.track.id, points, color: person.color }
        };
        let mut figures: Vec<Figure> = self.everybody(index).map(figure).collect();
        figures.sort_by(|a, b| b.distance().total_cmp(&a.distance()));
        figures
    }

    /// Everybody who is in a frame.
    fn everybody(&self, index: u64) -> impl Iterator<Item = PosedPerson<'_>> {
        let people = if self.is_corrupt(index) { &[][..] } else { &self.people[..] };
        people.iter().filter_map(move |person| self.posed(person, index))
    }

    /// A person in a frame; `None` if they are not in it.
    fn posed<'s>(&'s self, person: &'s Person<'a>, index: u64) -> Option<PosedPerson<'s>> {
        if self.absent.contains(&(person.track.id, index)) {
            return None;
        }
        let offset = index.checked_sub(person.track.first_frame)?;
        let fitted = person.track.poses.get(usize::try_from(offset).ok()?)?;
        let joints = self.body.joint_transforms(&fitted.pose, &person.track.shape);
        let flat = |rows: &[[f32; 4]; 3]| std::array::from_fn(|i| rows[i / 4][i % 4]);
        let bend = self.body.bend(&fitted.pose);
        Some(PosedPerson { person, fitted, joints: joints.iter().map(flat).collect(), bend })
    }

    fn row(&self, posed: &PosedPerson) -> export::Person {
        let PosedPerson { person, fitted, .. } = posed;
        let pose = &fitted.pose;
        let joints = self.body.keypoints_coco(pose, &person.track.shape);
        let keypoints = std::array::from_fn(|i| {
            (self.camera.project(joints[i]), f64::from(self.keypoint_confidence(fitted, self.body.coco17[i])))
        });
        export::Person {
            id: person.track.id,
            bounds: self.bounds(posed),
            score: fitted.score.into(),
            uncertain: fitted.uncertain,
            doubtful: fitted.doubtful,
            keypoints,
            joints,
            extra: self.body.keypoints_at(&self.extra().collect::<Vec<_>>(), pose, &person.track.shape),
            position: pose.position,
            rotations: pose.rotations.clone(),
            shape: person.track.shape.clone(),
            hands: fitted.hands.map(f64::from),
        }
    }

    /// As well as the joint that moves the key point most was seen.
    fn keypoint_confidence(&self, fitted: &FittedPose, keypoint: usize) -> f32 {
        let joint = self.body.keypoint_joint(keypoint);
        fitted.pose.confidence.get(joint).copied().unwrap_or(0.0)
    }

    /// x, y, width, height of the body in displayed pixels.
    fn bounds(&self, posed: &PosedPerson) -> [f64; 4] {
        let matrices: Vec<Mat4> = posed
            .joints
            .iter()
            .map(|m| {
                Mat4::from_cols_array(&[
                    m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9], m[10], m[11], 0.0, 0.0, 0.0, 1.0,
                ])
                .transpose()
            })
            .collect();
        let (mut low, mut high) = ([f64::MAX; 2], [f64::MIN; 2]);
        let skin = self.body.skin_indices.iter().zip(&self.body.skin_weights).step_by(BOUNDS_STEP);
        for (i, (rest, (indices, weights))) in posed.person.rest.iter().zip(skin).enumerate() {
            let bent = posed.bend.as_ref().map_or(Vec3A::ZERO, |bend| bend.of(i * BOUNDS_STEP));
            let rest = (Vec3A::from_array(*rest) + bent).extend(1.0);
            let part = |(joint, weight): (&u32, &f32)| matrices[*joint as usize] * rest * *weight;
            let point: Vec4 = indices.iter().zip(weights).map(part).sum();
            let pixel = self.camera.project(point.truncate().max(Vec3::new(f32::MIN, f32::MIN, NEAREST)).as_dvec3());
            for axis in 0..2 {
                low[axis] = low[axis].min(pixel[axis]);
                high[axis] = high[axis].max(pixel[axis]);
            }
        }
        [low[0], low[1], high[0] - low[0], high[1] - low[1]]
    }
}

impl<'c> Scenes<'c> {
    /// Of everybody in a clip.
    pub fn new(people: &'c FittedPeople<'c>) -> Self {
        Self { people, shapes: BTreeMap::new() }
    }

    /// The bodies to draw for a frame.
    ///
    /// # Errors
    /// When the body does not fit its mesh.
    pub fn make(&mut self, index: u64, shot: &Shot, style: Style) -> Result<Scene, MeshError> {
        let all = self.people;
        let everybody: Vec<PosedPerson> = all.everybody(index).collect();
        self.shapes.retain(|id, _| everybody.iter().any(|posed| posed.person.track.id == *id));
        for track in everybody.iter().map(|posed| posed.person.track) {
            if let Entry::Vacant(place) = self.shapes.entry(track.id) {
                place.insert(Shape::dressed(all.mesh, &all.body.shaped_vertices(&track.shape), CLOTHES)?);
            }
        }
        let placed = |PosedPerson { person, joints, .. }: &PosedPerson<'_>| -> Vec<[f32; 12]> {
            let raised = shot.up * all.raised(person.track, index);
            joints.iter().map(|joint| shot.place(joint, raised)).collect()
        };
        let placed: Vec<_> = everybody.iter().map(placed).collect();
        let people: Vec<render::Person> = everybody
            .iter()
            .zip(&placed)
            .map(|(PosedPerson { person, fitted, bend, .. }, joints)| {
                let (shape, color) = (&self.shapes[&person.track.id], person.color);
                render::Person { shape, bend: bend.as_ref(), joints, confidence: &fitted.pose.confidence, color }
            })
            .collect();
        Scene::build(all.mesh, &people, &shot.camera, &shot.geometry, style)
    }
}

/// Which of [`COLORS`] each of them has: the next in turn while there are enough, then the one whose wearers stay furthest away.
fn colors(people: &[FittedTrack], camera: &Camera) -> Vec<usize> {
    let mut colors: Vec<usize> = Vec::with_capacity(people.len());
    for track in people {
        let mut room = [f64::INFINITY; COLORS.len()];
        for (other, &color) in people.iter().zip(&colors) {
            room[color] = room[color].min(nearest(track, other, camera));
        }
        let turn = (0..COLORS.len()).map(|i| (track.id.saturating_sub(1) as usize + i) % COLORS.len());
        let best = turn.reduce(|best, color| if room[color] > room[best] { color } else { best });
        colors.push(best.unwrap_or(0));
    }
    colors
}

/// How near two people come to each other in the picture, in displayed pixels between their root joints; infinitely far if they are
/// never seen at once.
fn nearest(one: &FittedTrack, other: &FittedTrack, camera: &Camera) -> f64 {
    let end = |track: &FittedTrack| track.first_frame + track.poses.len() as u64;
    let both = one.first_frame.max(other.first_frame)..end(one).min(end(other));
    let place = |track: &FittedTrack, frame: u64| {
        let fitted = track.poses.get((frame - track.first_frame) as usize)?;
        Some(camera.project(fitted.pose.position))
    };
    both.step_by(NEARNESS_STEP)
        .filter_map(|frame| Some((place(one, frame)?, place(other, frame)?)))
        .map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]))
        .fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Pose;

    fn stands(id: u32, x: f64, frames: std::ops::Range<u64>) -> FittedTrack {
        let pose = Pose { position: DVec3::new(x, 0.0, 10.0), rotations: Vec::new(), confidence: Vec::new() };
        let fitted = FittedPose { pose, score: 1.0, uncertain: false, doubtful: false, hands: [0.0; 2] };
        let poses = vec![fitted; (frames.end - frames.start) as usize];
        FittedTrack { id, first_frame: frames.start, shape: Vec::new(), poses }
    }

    #[test]
    fn neighbours_have_different_colors() {
        // Eight in a row have a colour each. A ninth joins at one end, a tenth when all have gone.
        let mut people: Vec<_> = (0..8).map(|i| stands(i + 1, f64::from(i), 0..50)).collect();
        people.push(stands(9, 0.4, 20..50));
        people.push(stands(10, 0.4, 60..70));
        assert_eq!(colors(&people, &Camera::guess([1280, 720])), [0, 1, 2, 3, 4, 5, 6, 7, 7, 1]);
    }
}
