//! Networks of the user's own: what they are shown, how they are run, and what they say.
//!
//! `crop` fills the input, ONNX Runtime runs it, and `points`, `body` and `detector` read the outputs as the description
//! says. A description that does not fit its network is found out here, in terms of what the network has instead.

mod body;
mod crop;
mod detector;
mod points;

use std::borrow::Cow;
use std::sync::Arc;

use half::f16;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{Tensor as OrtTensor, TensorElementType, TensorRef, ValueType};

pub use body::{BodyEstimate, BodyOutput, MOST_SHAPE};
pub use crop::PersonCrop;
pub use detector::OwnDetector;
pub use points::{SeenPixel, SeenPoints};

use super::runtime::Opened;
pub use super::runtime::{size, stamp};
use super::{Device, Landmarks, Picture, PoseError, Runtime};
use crate::models::description::Layout;
use crate::models::{NetworkDescription, Purpose};

/// What a network says of one person.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OwnAnswer {
    /// Where the person's key points are, for networks that say so.
    pub points: Option<SeenPoints>,
    /// The person's body, for networks that give one.
    pub body: Option<BodyOutput>,
}

/// An input or output of a network, as its file has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Lengths of its axes; those that may vary are none.
    pub shape: Vec<Option<usize>>,
    /// What its elements are, such as `Float32`.
    pub element: String,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let axes: Vec<String> =
            self.shape.iter().map(|axis| axis.map_or("?".into(), |length| length.to_string())).collect();
        write!(f, "{} [{}] {}", self.name, axes.join(", "), self.element)
    }
}

/// An output's numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Lengths of its axes.
    pub shape: Vec<usize>,
    /// Row by row.
    pub values: Vec<f32>,
}

impl Tensor {
    /// The part of one crop of a batch: numbers, and lengths of the axes after the first.
    fn of(&self, index: usize) -> Part<'_> {
        let each = self.values.len() / self.shape.first().copied().unwrap_or(1).max(1);
        Part { shape: self.shape.get(1..).unwrap_or(&[]), values: &self.values[index * each..(index + 1) * each] }
    }
}

/// What an output says of one crop.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    shape: &'a [usize],
    values: &'a [f32],
}

/// The outputs that the description uses, in the order of [`NetworkDescription::output_names`].
pub struct Outputs {
    description: Arc<NetworkDescription>,
    tensors: Vec<Tensor>,
}

impl Outputs {
    /// All of one key, such as `pose`, for one crop.
    fn parts<'a>(&'a self, key: &'a str, index: usize) -> impl Iterator<Item = Part<'a>> {
        let names = self.description.output_names().into_iter().zip(&self.tensors);
        names.filter(move |((of, _), _)| *of == key).map(move |(_, tensor)| tensor.of(index))
    }

    /// The first of one key.
    fn part<'a>(&'a self, key: &'a str, index: usize) -> Option<Part<'a>> {
        self.parts(key, index).next()
    }

    /// Keys, names and numbers.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, String, &Tensor)> {
        let names = self.description.output_names().into_iter();
        let named: Vec<_> = names.map(|(key, name)| (key, name.to_owned())).collect();
        named.into_iter().zip(&self.tensors).map(|((key, name), tensor)| (key, name, tensor))
    }
}

/// A network of the user's own, as one worker has it.
pub struct OwnNetwork {
    description: Arc<NetworkDescription>,
    network: Opened,
    /// Name of the input for pictures, and whether its numbers are of half precision.
    input: (String, bool),
    /// Crops at a time, where the file allows only that.
    fixed: Option<usize>,
    /// Crops at a time.
    batch: usize,
    filled: Vec<f32>,
}

impl OwnNetwork {
    /// Opens it, and compares it with its description.
    ///
    /// # Errors
    /// When its file is missing or no network, or the two do not fit.
    pub fn new(runtime: &Runtime, description: &Arc<NetworkDescription>) -> Result<Self, PoseError> {
        let network = runtime.open_own(&description.file)?;
        let (inputs, outputs) = network.inspect(ports)?;
        let misfit = |reason: String| misfit(description, reason);
        let input = input(description, &inputs).map_err(misfit)?;
        let fixed = input.shape.first().copied().flatten();
        points::known(description).map_err(misfit)?;
        for (key, name) in description.output_names() {
            if !outputs.iter().any(|port| port.name == name) {
                return Err(misfit(format!(
                    "there is no output `{name}` ([outputs.{key}]); it has {}",
                    list(&outputs)
                )));
            }
        }
        // A GPU prepares itself anew for each number of crops, so that it is always shown the same. Detectors are shown one picture at a time.
        let is_detector = description.purpose() == Purpose::Detector;
        let batch = fixed.unwrap_or_else(|| if is_detector { 1 } else { runtime.own_batch(description) });
        let is_padded = runtime.device() == Device::Cuda;
        Ok(Self {
            input: (input.name.clone(), input.element == HALF),
            description: description.clone(),
            network,
            fixed: fixed.or(is_padded.then_some(batch)),
            batch,
            filled: Vec::new(),
        })
    }

    /// What its file has: inputs, and outputs.
    ///
    /// # Errors
    /// When it is missing or no network.
    pub fn ports(runtime: &Runtime, description: &NetworkDescription) -> Result<(Vec<Port>, Vec<Port>), PoseError> {
        runtime.open_own(&description.file)?.inspect(ports)
    }

    /// Its description.
    pub fn description(&self) -> &NetworkDescription {
        &self.description
    }

    /// Crops that it is always shown, however few are asked for.
    pub fn shown(&self) -> Option<usize> {
        self.fixed
    }

    /// Whether it is the network of a description as its files are now.
    pub fn is_of(&self, description: &NetworkDescription) -> bool {
        *self.description == *description && self.network.is_current()
    }

    /// What it says of people, given the landmarks that were found of each; nothing where its numbers are not usable.
    ///
    /// # Errors
    /// When the network fails, or its outputs have other shapes than the description says.
    pub fn look(&mut self, people: &[(Picture<'_>, &Landmarks)]) -> Result<Vec<Option<OwnAnswer>>, PoseError> {
        let mut answers = Vec::with_capacity(people.len());
        for batch in people.chunks(self.batch) {
            let crops: Vec<PersonCrop> = batch
                .iter()
                .map(|(picture, landmarks)| PersonCrop::new(&self.description, landmarks, picture.geometry.display))
                .collect();
            let pictures: Vec<_> = batch.iter().map(|(picture, _)| *picture).zip(crops.iter().copied()).collect();
            let outputs = self.run_crops(&pictures)?;
            for (index, crop) in crops.iter().enumerate() {
                answers.push(self.answer(&outputs, index, crop)?);
            }
        }
        Ok(answers)
    }

    /// Its outputs for some crops, at most as many as it takes at a time.
    ///
    /// # Errors
    /// As of [`Self::look`].
    pub fn run_crops(&mut self, crops: &[(Picture<'_>, PersonCrop)]) -> Result<Outputs, PoseError> {
        let mut filled = std::mem::take(&mut self.filled);
        filled.clear();
        for (picture, crop) in crops {
            crop.fill(picture, &self.description, &mut filled);
        }
        let outputs = self.run(&mut filled, crops.len());
        self.filled = filled;
        outputs
    }

    /// What outputs say of one crop.
    ///
    /// # Errors
    /// When they have other shapes than the description says.
    pub fn answer(&self, outputs: &Outputs, index: usize, crop: &PersonCrop) -> Result<Option<OwnAnswer>, PoseError> {
        let read = || {
            let points = points::read(&self.description, outputs, index, crop)?;
            let body = body::read(&self.description, outputs, index, crop)?;
            Ok((points, body))
        };
        let (points, body) = read().map_err(|reason: String| misfit(&self.description, reason))?;
        Ok((points.is_some() || body.is_some()).then_some(OwnAnswer { points, body }))
    }

    /// Has its outputs read as another description says, of the same network and names.
    pub fn describe(&mut self, description: Arc<NetworkDescription>) {
        self.description = description;
    }

    /// Its outputs for grey pictures.
    ///
    /// # Errors
    /// When it fails.
    pub fn run_blank(&mut self, count: usize) -> Result<Outputs, PoseError> {
        let [width, height] = self.description.input.size;
        let mut pictures = Vec::new();
        (0..count).for_each(|_| {
            let grey = vec![0.5; width * height * 3];
            crop::add(&grey, [width, height], &self.description.input, &mut pictures);
        });
        self.run(&mut pictures, count)
    }

    /// Runs it on `count` pictures, filled one after the other.
    fn run(&self, pictures: &mut Vec<f32>, count: usize) -> Result<Outputs, PoseError> {
        let [width, height] = self.description.input.size;
        let shown = self.fixed.unwrap_or(count);
        pictures.resize(shown * width * height * 3, 0.0);
        let shape = match self.description.input.layout {
            Layout::Nchw => [shown, 3, height, width],
            Layout::Nhwc => [shown, height, width, 3],
        };
        let names = self.description.output_names();
        let failed = |error: PoseError| match error {
            PoseError::Inference { reason } => PoseError::OwnFailed { path: self.description.file.clone(), reason },
            other => other,
        };
        let tensors = self.network.with(shape, |session| {
            let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::new();
            let (name, is_half) = &self.input;
            inputs.push((
                Cow::from(name.as_str()),
                match is_half {
                    true => {
                        let halves: Vec<f16> = pictures.iter().map(|&v| f16::from_f32(v)).collect();
                        OrtTensor::from_array((shape, halves))?.into()
                    }
                    false => TensorRef::from_array_view((shape, &pictures[..]))?.into(),
                },
            ));
            if let Some(sizes) = &self.description.input.sizes {
                let each = [width as i64, height as i64].repeat(shown);
                inputs.push((Cow::from(sizes.as_str()), OrtTensor::from_array(([shown, 2], each))?.into()));
            }
            let outputs = session.run(inputs)?;
            names.iter().map(|(_, name)| tensor(&outputs, name)).collect::<Result<Vec<Tensor>, PoseError>>()
        });
        let tensors = tensors.map_err(failed)?;
        for ((key, name), tensor) in names.iter().zip(&tensors) {
            let is_batch = tensor.shape.first().is_some_and(|&first| first == shown);
            if !is_batch || tensor.values.len() != tensor.shape.iter().product::<usize>() {
                let reason = format!(
                    "its output `{name}` ([outputs.{key}]) is {:?} for {shown} pictures: the first axis should have one entry for each",
                    tensor.shape
                );
                return Err(misfit(&self.description, reason));
            }
        }
        Ok(Outputs { description: self.description.clone(), tensors })
    }
}

/// What ONNX Runtime calls numbers of half precision.
const HALF: &str = "Float16";

/// Inputs and outputs of a session.
fn ports(session: &Session) -> (Vec<Port>, Vec<Port>) {
    let port = |outlet: &ort::value::Outlet| {
        let (shape, element) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                (shape.iter().map(|&axis| usize::try_from(axis).ok()).collect(), format!("{ty:?}"))
            }
            other => (Vec::new(), format!("{other:?}")),
        };
        Port { name: outlet.name().to_owned(), shape, element }
    };
    (session.inputs().iter().map(port).collect(), session.outputs().iter().map(port).collect())
}

/// The input for pictures, of the shape that the description says.
fn input<'a>(description: &NetworkDescription, inputs: &'a [Port]) -> Result<&'a Port, String> {
    let of_pictures: Vec<&Port> =
        inputs.iter().filter(|port| Some(&port.name) != description.input.sizes.as_ref()).collect();
    let there = list(inputs);
    if let Some(sizes) = description.input.sizes.as_ref().filter(|name| !inputs.iter().any(|p| p.name == **name)) {
        return Err(format!("there is no input `{sizes}` (`input.sizes`); it has {there}"));
    }
    let sizes = inputs.iter().find(|port| Some(&port.name) == description.input.sizes.as_ref());
    let takes_sizes = |port: &Port| {
        port.element == "Int64" && port.shape.len() == 2 && port.shape[1].is_none_or(|length| length == 2)
    };
    if let Some(port) = sizes.filter(|port| !takes_sizes(port)) {
        return Err(format!("its input {port} (`input.sizes`) should be [B, 2] Int64, width and height"));
    }
    let found = match (&description.input.name, &of_pictures[..]) {
        (Some(name), all) => *all
            .iter()
            .find(|p| p.name == *name)
            .ok_or_else(|| format!("there is no input `{name}`; it has {there}"))?,
        (None, [one]) => one,
        (None, _) => return Err(format!("`input.name` must say which of its inputs takes the picture: {there}")),
    };
    let others: Vec<Port> = of_pictures.iter().filter(|port| port.name != found.name).map(|&p| p.clone()).collect();
    if !others.is_empty() {
        return Err(format!("it has inputs that nothing is known for: {}", list(&others)));
    }
    let [width, height] = description.input.size;
    let expected = match description.input.layout {
        Layout::Nchw => [3, height, width],
        Layout::Nhwc => [height, width, 3],
    };
    let fits = found.shape.len() == 4
        && found.shape[1..].iter().zip(expected).all(|(axis, expected)| axis.is_none_or(|length| length == expected));
    if !fits {
        return Err(format!(
            "its input is {found}, and the description says {expected:?} after the first axis (`input.size` is width, height; `input.layout` says where the colours are)"
        ));
    }
    if found.shape[0] == Some(0) {
        return Err(format!("its input is {found}: it takes no pictures at all"));
    }
    if !["Float32", HALF].contains(&found.element.as_str()) {
        return Err(format!("its input is {found}; numbers must be Float32 or Float16"));
    }
    Ok(found)
}

/// For messages.
fn list(ports: &[Port]) -> String {
    ports.iter().map(Port::to_string).collect::<Vec<_>>().join("; ")
}

fn misfit(description: &NetworkDescription, reason: String) -> PoseError {
    PoseError::Misfit { description: description.path.clone(), file: description.file.clone(), reason }
}

/// An output as single-precision numbers.
fn tensor(outputs: &SessionOutputs<'_>, name: &str) -> Result<Tensor, PoseError> {
    let inference = |reason: String| PoseError::Inference { reason };
    let value = outputs.get(name).ok_or_else(|| inference(format!("it gave no output `{name}`")))?;
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(inference(format!("its output `{name}` is no tensor")));
    };
    let shape = shape.iter().map(|&axis| usize::try_from(axis).unwrap_or(0)).collect();
    let values = match ty {
        TensorElementType::Float32 => value.try_extract_tensor::<f32>()?.1.to_vec(),
        TensorElementType::Float16 => value.try_extract_tensor::<f16>()?.1.iter().map(|v| v.to_f32()).collect(),
        TensorElementType::Float64 => value.try_extract_tensor::<f64>()?.1.iter().map(|&v| v as f32).collect(),
        TensorElementType::Int64 => value.try_extract_tensor::<i64>()?.1.iter().map(|&v| v as f32).collect(),
        TensorElementType::Int32 => value.try_extract_tensor::<i32>()?.1.iter().map(|&v| v as f32).collect(),
        other => return Err(inference(format!("its output `{name}` has numbers of the type {other:?}"))),
    };
    Ok(Tensor { shape, values })
}
