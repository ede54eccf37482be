//! ONNX Runtime: loading the library, choosing where networks run, and opening them.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ort::{
    environment::Environment,
    ep,
    session::{Session, SessionOutputs, builder::GraphOptimizationLevel},
    value::TensorRef,
};

/// Where networks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A CUDA GPU when it works, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA GPU; an error when it does not work.
    Cuda,
}

const GPU_BATCH: usize = 8;

/// Why a network could not be opened or run.
#[derive(Debug, thiserror::Error)]
pub enum PoseError {
    /// No library at the configured path.
    #[error(
        "ONNX Runtime is not at {path}: run `make setup`, or set `onnxruntime.library` to an existing libonnxruntime.so"
    )]
    LibraryMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The library is there but unusable.
    #[error(
        "{path} is not a usable ONNX Runtime 1.24 or newer ({reason}): run `make setup`, or set `onnxruntime.library` to a newer one"
    )]
    LibraryUnusable {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// No network at the path.
    #[error("the network {path} is missing: run `make setup`")]
    ModelMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The network could not be opened.
    #[error("the network {path} cannot be opened ({reason}): delete it and run `make setup`")]
    ModelUnusable {
        /// The file.
        path: PathBuf,
        /// What ONNX Runtime said.
        reason: String,
    },
    /// CUDA was asked for and does not work.
    #[error(
        "CUDA does not work here ({reason}): set `device` to \"cpu\", or point `onnxruntime.library` at a GPU build whose CUDA and cuDNN are installed"
    )]
    Cuda {
        /// What ONNX Runtime said.
        reason: String,
    },
    /// A network failed while running.
    #[error("the network failed ({reason}); if it goes on, set `device` to \"cpu\"")]
    Inference {
        /// What ONNX Runtime said.
        reason: String,
    },
    /// A network gave outputs of another shape than this program was written for.
    #[error(
        "the network's output `{name}` has {found} values instead of {expected}: delete the models and run `make setup`"
    )]
    Shape {
        /// Output.
        name: &'static str,
        /// Number of values it has.
        found: usize,
        /// Number of values it should have.
        expected: usize,
    },
}

impl From<ort::Error> for PoseError {
    fn from(error: ort::Error) -> Self {
        Self::Inference { reason: error.to_string() }
    }
}

/// The loaded library. Cheap to clone; sessions made from it are independent of each other.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    device: Device,
}

impl Runtime {
    /// Loads the library. The first path that loads stays for the life of the process.
    ///
    /// # Errors
    /// When the library is missing or too old, or `device` is [`Device::Cuda`] and CUDA does not work. For
    /// [`Device::Auto`] the fallback to the CPU is logged.
    pub fn load(library: &Path, device: Device) -> Result<Self, PoseError> {
        let path = library.to_path_buf();
        if !library.is_file() {
            return Err(PoseError::LibraryMissing { path });
        }
        if device != Device::Cpu {
            load_cuda(library);
        }
        let environment = environment(library).map_err(|reason| PoseError::LibraryUnusable { path, reason })?;
        let mut runtime = Self { environment, device: Device::Cpu };
        if device != Device::Cpu {
            match runtime.try_cuda() {
                Ok(()) => runtime.device = Device::Cuda,
                Err(e) if device == Device::Cuda => return Err(PoseError::Cuda { reason: e.to_string() }),
                Err(e) => tracing::info!("networks run on the CPU (CUDA: {e})"),
            }
        }
        Ok(runtime)
    }

    /// [`Device::Cpu`] or [`Device::Cuda`]: where networks really run.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Pictures that are shown to a network at a time. A CPU gains nothing by more than one; a GPU's time goes mostly into being
    /// asked.
    pub fn batch(&self) -> usize {
        match self.device {
            Device::Cuda => GPU_BATCH,
            _ => 1,
        }
    }

    /// A provider that fails is otherwise skipped in silence, so ask for the error.
    fn try_cuda(&self) -> Result<(), ort::Error> {
        Session::builder(&self.environment)?.with_execution_providers([cuda()]).map(|_| ()).map_err(ort::Error::from)
    }

    /// Opens a network for one worker.
    ///
    /// # Errors
    /// When the file is missing or is not a network.
    pub(super) fn open(&self, model: &Path) -> Result<Opened, PoseError> {
        let session = self.session(model)?;
        Ok(Opened { runtime: self.clone(), model: model.to_path_buf(), sessions: vec![(None, session)] })
    }

    fn session(&self, model: &Path) -> Result<Session, PoseError> {
        let path = model.to_path_buf();
        if !model.is_file() {
            return Err(PoseError::ModelMissing { path });
        }
        self.try_session(model).map_err(|e| PoseError::ModelUnusable { path, reason: e.to_string() })
    }

    /// One thread, no arena (sessions are many and memory counts).
    fn try_session(&self, model: &Path) -> Result<Session, ort::Error> {
        let cpu = ep::CPU::default().with_arena_allocator(false).build();
        let providers = match self.device {
            Device::Cuda => vec![cuda(), cpu],
            _ => vec![cpu],
        };
        Session::builder(&self.environment)?
            .with_execution_providers(providers)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_parallel_execution(false)?
            .commit_from_file(model)
    }
}

/// Pictures, rows, columns, channels.
pub(super) type Shape = [usize; 4];

/// An open network with one input.
pub(super) struct Opened {
    runtime: Runtime,
    model: PathBuf,
    /// On a GPU one for each shape of input: whenever the shape changes, all convolutions are planned anew (0.4 s on an H200).
    sessions: Vec<(Option<Shape>, Session)>,
}

impl Opened {
    /// Shows it `input`.
    ///
    /// # Errors
    /// When the network fails.
    pub(super) fn run(&mut self, shape: Shape, input: &[f32]) -> Result<SessionOutputs<'_>, PoseError> {
        let is_for = |&(known, _): &(Option<Shape>, Session)| match self.runtime.device {
            Device::Cuda => known.is_none_or(|known| known == shape),
            _ => true,
        };
        let index = match self.sessions.iter().position(is_for) {
            Some(index) => index,
            None => {
                self.sessions.push((None, self.runtime.session(&self.model)?));
                self.sessions.len() - 1
            }
        };
        let (known, session) = &mut self.sessions[index];
        *known = Some(shape);
        let tensor = TensorRef::from_array_view((shape, input))?;
        Ok(session.run(ort::inputs!["input" => tensor])?)
    }
}

/// The convolutions are chosen by rule, not by trying: the same each time, and no wait at each new shape of input.
fn cuda() -> ep::ExecutionProviderDispatch {
    ep::CUDA::default().with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic).build().error_on_failure()
}

/// Loads CUDA and cuDNN from where their Python packages lie beside that of ONNX Runtime; elsewhere the system's loader looks for
/// them.
fn load_cuda(library: &Path) {
    // PACKAGES/onnxruntime/capi/libonnxruntime.so
    let Some(packages) = library.ancestors().nth(3) else { return };
    let [cuda, cudnn] = ["nvidia/cu13/lib", "nvidia/cudnn/lib"].map(|folder| packages.join(folder));
    for (cuda, cudnn) in [(Some(&*cuda), None), (None, Some(&*cudnn))] {
        if cuda.or(cudnn).is_some_and(Path::is_dir)
            && let Err(error) = ep::cuda::preload_dylibs(cuda, cudnn)
        {
            tracing::info!("CUDA beside {}: {error}", library.display());
        }
    }
}

/// ONNX Runtime allows one environment in a process: the first is kept and shared.
fn environment(library: &Path) -> Result<Environment, String> {
    static LOADED: Mutex<Option<Environment>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*loaded {
        return Ok(environment.clone());
    }
    let builder = ort::init_from(library).map_err(|e| e.to_string())?;
    let environment = builder.with_name("meshreel").with_telemetry(false).build().map_err(|e| e.to_string())?;
    Ok(loaded.insert(environment).clone())
}

/// One output of a network, checked for its length.
pub(super) fn output<'a>(
    outputs: &'a ort::session::SessionOutputs<'_>,
    name: &'static str,
    expected: usize,
) -> Result<&'a [f32], PoseError> {
    let value = outputs.get(name).ok_or(PoseError::Shape { name, found: 0, expected })?;
    let (_, data) = value.try_extract_tensor::<f32>()?;
    if data.len() != expected {
        return Err(PoseError::Shape { name, found: data.len(), expected });
    }
    Ok(data)
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x.clamp(-80.0, 80.0)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_names_the_mend() {
        let error = Runtime::load(Path::new("/nowhere/libonnxruntime.so"), Device::Cpu).err().unwrap().to_string();
        assert!(error.contains("/nowhere/libonnxruntime.so") && error.contains("make setup"), "{error}");
    }
}
