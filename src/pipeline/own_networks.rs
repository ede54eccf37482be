//! The networks of the user's own that a job asks, with the body that one of them drives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::JobError;
use super::bodies::{Bodies, LoadedBody};
use crate::body::{BodyError, Camera, Estimator};
use crate::job::{JobSettings, Model, OwnNetwork};
use crate::models::description::Frames;
use crate::models::{DescriptionError, ModelName, Models, NetworkDescription, Purpose};
use crate::pose;
use crate::pose::own::{BodyEstimate, OwnAnswer, SeenPoints};
use crate::pose::{Landmarks, PoseError};

/// What a network says of one person, in the clip's camera.
pub struct Said {
    /// Where the key points are.
    pub points: Option<SeenPoints>,
    /// The body.
    pub estimate: Option<BodyEstimate>,
}

/// A network that is asked about people.
pub struct OfPeople {
    /// What it is shown and says.
    pub description: Arc<NetworkDescription>,
    /// The body that it drives.
    body: Option<(Arc<LoadedBody>, Estimator)>,
    /// People whom it was shown, and those of whom it said something usable.
    shown: AtomicUsize,
    answered: AtomicUsize,
}

impl OfPeople {
    /// What an answer about somebody with these landmarks means.
    ///
    /// # Errors
    /// When it is of another body than the description says.
    pub fn said(&self, answer: Option<OwnAnswer>, landmarks: &Landmarks) -> Result<Said, PoseError> {
        let OwnAnswer { points, body } = answer.unwrap_or_default();
        let estimate = match (&self.body, body) {
            (Some((loaded, estimator)), Some(output)) => {
                estimator.estimate(&loaded.body, &output, landmarks).map_err(|reason| PoseError::Misfit {
                    description: self.description.path.clone(),
                    file: self.description.file.clone(),
                    reason,
                })?
            }
            _ => None,
        };
        self.shown.fetch_add(1, Ordering::Relaxed);
        self.answered.fetch_add(usize::from(points.is_some() || estimate.is_some()), Ordering::Relaxed);
        Ok(Said { points, estimate })
    }

    /// What the user should know of its answers: that there were few, or that there is more in them than a body can have.
    pub fn warnings(&self) -> Vec<String> {
        let [shown, answered] = [&self.shown, &self.answered].map(|count| count.load(Ordering::Relaxed));
        let name = self.description.name;
        let few = (2 * answered < shown).then(|| {
            format!(
                "the network \"{name}\" said something usable of {answered} of the {shown} people whom it was shown; the others are as without it (`meshreel models check {name} PICTURE` looks closer)"
            )
        });
        let surface = self.description.outputs.vertices.as_ref().zip(self.description.body).map(|(_, body)| {
            format!(
                "the network \"{name}\" gives vertices and no pose: people have the pose and shape of the body \"{body}\" whose surface lies nearest to them"
            )
        });
        few.into_iter().chain(surface).collect()
    }
}

/// Those of one job. Cheap to clone.
#[derive(Clone, Default)]
pub struct OwnNetworks {
    /// It finds people.
    pub detector: Option<Arc<NetworkDescription>>,
    /// It is asked about each of them.
    pub of_people: Option<Arc<OfPeople>>,
}

impl OwnNetworks {
    /// Whether one looks at people on frames between keyframes.
    pub fn looks_between(&self) -> bool {
        self.of_people.as_ref().is_some_and(|own| own.description.frames == Frames::All)
    }
}

/// The descriptions that the settings of a job name.
pub struct Descriptions {
    /// Of the network that is asked about people.
    pub of_people: Option<Arc<NetworkDescription>>,
    /// Of the network that finds them.
    pub detector: Option<Arc<NetworkDescription>>,
}

impl Descriptions {
    /// Reads them.
    ///
    /// # Errors
    /// When one is not there, cannot be used, or is for something else.
    pub fn load(models: &Models, settings: &JobSettings) -> Result<Self, DescriptionError> {
        let read = |name: ModelName| NetworkDescription::load(models, name).map(Arc::new);
        let of_people = match settings.model {
            Model::Own(name) => Some(read(name)?),
            _ => None,
        };
        let detector = if settings.detector.is_built_in() { None } else { Some(read(settings.detector)?) };
        let purpose = |own: &Option<Arc<NetworkDescription>>| own.as_ref().map(|own| (own.name, own.purpose()));
        if let Some((name, is @ Purpose::Detector)) = purpose(&of_people) {
            let instead = "name it with --detector, or `detector = ...`";
            return Err(DescriptionError::Purpose { name: name.to_string(), is: is.noun(), instead });
        }
        if let Some((name, is @ (Purpose::KeyPoints | Purpose::Body))) = purpose(&detector) {
            let instead = "name it with --model, or `model = ...`";
            return Err(DescriptionError::Purpose { name: name.to_string(), is: is.noun(), instead });
        }
        Ok(Self { of_people, detector })
    }

    /// The body that people get: that of the network, or of the settings.
    ///
    /// # Errors
    /// When both name one, and not the same.
    pub fn body(&self, settings: &JobSettings) -> Result<ModelName, DescriptionError> {
        let Some((own, body)) = self.of_people.as_ref().and_then(|own| Some((own, own.body?))) else {
            return Ok(settings.body);
        };
        match settings.body {
            asked if asked.is_built_in() || asked == body => Ok(body),
            asked => Err(DescriptionError::OtherBody {
                name: own.name.to_string(),
                body: body.to_string(),
                asked: asked.to_string(),
            }),
        }
    }

    /// Ready to be asked about a clip with this camera.
    ///
    /// # Errors
    /// When the body cannot be used.
    pub fn ready(&self, bodies: &Bodies, camera: Camera) -> Result<OwnNetworks, JobError> {
        let of_people = match &self.of_people {
            None => None,
            Some(own) => {
                let body = match own.body {
                    None => None,
                    Some(name) => {
                        let loaded = bodies.get(name)?;
                        if loaded.body.file_origin.is_none() && !name.is_built_in() {
                            let (path, reason) =
                                (bodies.path(name), "it was imported by an earlier meshreel; import it again");
                            return Err(BodyError::Invalid { path, reason: reason.to_owned() }.into());
                        }
                        let estimator = Estimator::new(&loaded.body, camera, own.outputs.vertices.is_some());
                        Some((loaded, estimator))
                    }
                };
                Some(Arc::new(OfPeople {
                    description: own.clone(),
                    body,
                    shown: AtomicUsize::new(0),
                    answered: AtomicUsize::new(0),
                }))
            }
        };
        Ok(OwnNetworks { detector: self.detector.clone(), of_people })
    }

    /// For the report.
    pub fn used(&self) -> Vec<OwnNetwork> {
        let used =
            |own: &Arc<NetworkDescription>| OwnNetwork { name: own.name.to_string(), licence: own.licence.clone() };
        self.of_people.iter().chain(&self.detector).map(used).collect()
    }

    /// What a result depends on: each description, and which file its network is.
    ///
    /// # Errors
    /// When a network's file is not there.
    pub fn identity(&self) -> Result<Vec<String>, PoseError> {
        let all = self.of_people.iter().chain(&self.detector);
        let stamp = |own: &Arc<NetworkDescription>| {
            let unusable = |e: std::io::Error| PoseError::OwnUnusable { path: own.file.clone(), reason: e.to_string() };
            Ok(format!("{own:?} {}", pose::own::stamp(&own.file).map_err(unusable)?))
        };
        all.map(stamp).collect()
    }
}
