//! ONNX Runtime: loading the library, choosing where networks run, and opening them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use ort::{
    environment::Environment,
    ep,
    session::{
        InMemorySession, Session, SessionInputs, SessionOutputs,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
    value::TensorRef,
};

use crate::models::NetworkDescription;
use crate::thread::locked;

use super::optimized::{NotOptimized, optimized};

/// Where networks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
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
/// Bytes from which on a network of the user's own is large.
const LARGE: u64 = 200_000_000;

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
    #[error("CUDA does not work here ({reason}): {GPU_MEND}")]
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
    /// A network of the user's own is not as its description says.
    #[error("{} does not fit the network {}: {reason}", description.display(), file.display())]
    Misfit {
        /// The description.
        description: PathBuf,
        /// The network.
        file: PathBuf,
        /// What is there instead.
        reason: String,
    },
    /// The file of a network of the user's own cannot be opened.
    #[error("the network {} cannot be opened: {reason}", path.display())]
    OwnUnusable {
        /// The file.
        path: PathBuf,
        /// What ONNX Runtime said.
        reason: String,
    },
    /// A network of the user's own failed while running.
    #[error("the network {} failed: {reason}", path.display())]
    OwnFailed {
        /// The file.
        path: PathBuf,
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

/// The loaded library. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
    device: Device,
    /// The sessions of networks that all workers share; `None` where each has its own.
    shared: Option<Shared>,
    /// Those of large networks, which are shared everywhere.
    large: Shared,
    missed: Option<String>,
}

/// What to do about a GPU that is not used.
pub const GPU_MEND: &str =
    "run `make setup-gpu`, which needs an NVIDIA driver 580 or newer, or set `device` to \"cpu\"";

/// Of one network. On a GPU one for each shape of input: whenever the shape changes, all convolutions are planned anew (0.4 s for
/// the full landmark network on an H200).
type Sessions = Arc<Mutex<Vec<(Shape, Loaded)>>>;

/// Sessions by the network's file, and what it was when it was opened ([`stamp`]; nothing for networks that come with the program).
type Shared = Arc<Mutex<BTreeMap<(PathBuf, String), Sessions>>>;

/// Pictures, rows, columns, channels.
pub(super) type Shape = [usize; 4];

impl Runtime {
    /// What the library says of its version and how it was built.
    pub fn version(&self) -> &'static str {
        ort::info()
    }

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
        let environment =
            environment(library).map_err(|reason| PoseError::LibraryUnusable { path: path.clone(), reason })?;
        let mut runtime =
            Self { environment, library: path, device: Device::Cpu, shared: None, large: Arc::default(), missed: None };
        if device != Device::Cpu {
            match runtime.try_cuda() {
                // A GPU does one thing after the other anyway, and opening a network takes it seconds.
                Ok(()) => (runtime.device, runtime.shared) = (Device::Cuda, Some(Arc::default())),
                Err(e) if device == Device::Cuda => return Err(PoseError::Cuda { reason: sentence(&e) }),
                Err(e) if has_nvidia() => {
                    let missed =
                        format!("this machine has an NVIDIA GPU, but networks run on the CPU ({})", sentence(&e));
                    tracing::warn!("{missed}: {GPU_MEND}");
                    runtime.missed = Some(missed);
                }
                Err(e) => tracing::info!("networks run on the CPU (CUDA: {})", sentence(&e)),
            }
        }
        Ok(runtime)
    }

    /// [`Device::Cpu`] or [`Device::Cuda`]: where networks really run.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Why a GPU that is there is not used.
    pub fn missed(&self) -> Option<&str> {
        self.missed.as_deref()
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

    /// A network for one worker, opened when it is first run or prepared.
    ///
    /// # Errors
    /// When the file is missing.
    pub(super) fn open(&self, model: &Path) -> Result<Opened, PoseError> {
        let path = model.to_path_buf();
        if !model.is_file() {
            return Err(PoseError::ModelMissing { path });
        }
        let sessions = match &self.shared {
            Some(shared) => locked(shared).entry((path.clone(), String::new())).or_default().clone(),
            None => Sessions::default(),
        };
        Ok(Opened {
            runtime: self.clone(),
            model: path,
            files: Vec::new(),
            stamp: String::new(),
            sessions,
            kind: Kind::BuiltIn,
        })
    }

    /// A network of the user's own for one worker, opened when it is first run or prepared. On a CPU all workers share a large one, which
    /// then runs on all cores: memory would not do for more.
    ///
    /// # Errors
    /// When the file is missing.
    pub(super) fn open_own(&self, model: &Path) -> Result<Opened, PoseError> {
        let path = model.to_path_buf();
        let unusable = |e: std::io::Error| PoseError::OwnUnusable { path: path.clone(), reason: e.to_string() };
        let files = files(model).map_err(unusable)?;
        let stamp = stamp_of(&files).map_err(unusable)?;
        let bytes: u64 = files.iter().filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum();
        let kind = if bytes > LARGE { Kind::Large } else { Kind::Own };
        let of = |shared: &Shared| {
            let mut shared = locked(shared);
            // What the file was before is not asked again.
            shared.retain(|(known, then), _| *known != path || *then == stamp);
            shared.entry((path.clone(), stamp.clone())).or_default().clone()
        };
        let sessions = match &self.shared {
            Some(shared) => of(shared),
            None if kind == Kind::Large => of(&self.large),
            None => Sessions::default(),
        };
        Ok(Opened { runtime: self.clone(), model: path, files, stamp, sessions, kind })
    }

    /// People that a network of the user's own is best asked about at once. A CPU gains nothing by more than one, whatever the size
    /// of the network (docs/performance.md).
    pub fn own_batch(&self, description: &NetworkDescription) -> usize {
        match self.device {
            Device::Cuda => description.batch,
            _ => 1,
        }
    }

    /// Closes large networks that no worker holds any more.
    pub fn close_large(&self) {
        locked(&self.large).retain(|_, sessions| Arc::strong_count(sessions) > 1);
    }

    fn session(&self, model: &Path, kind: Kind) -> Result<Loaded, PoseError> {
        // Networks of the user's own are opened as they are: they change, and what is kept of them would pile up.
        if self.device == Device::Cpu && kind == Kind::BuiltIn {
            match self.optimized(model) {
                Ok(session) => return Ok(Loaded::Shared(session)),
                Err(reason) => tracing::info!("{} is opened as it is: {reason}", model.display()),
            }
        }
        let threads = match kind {
            Kind::Large => crate::thread::cores(),
            Kind::BuiltIn | Kind::Own => 1,
        };
        // Threads that wait for each other's part sleep: the other workers' threads want the cores.
        let builder = self
            .builder()
            .and_then(|builder| Ok(builder.with_intra_threads(threads)?.with_intra_op_spinning(false)?));
        let opened = builder.and_then(|mut builder| builder.commit_from_file(model));
        let path = model.to_path_buf();
        opened.map(Loaded::Own).map_err(|error| match kind {
            Kind::BuiltIn => PoseError::ModelUnusable { path, reason: error.to_string() },
            Kind::Own | Kind::Large => PoseError::OwnUnusable { path, reason: sentence(&error) },
        })
    }

    /// Optimised already, and with the weights that all sessions share.
    fn optimized(&self, model: &Path) -> Result<InMemorySession<'static>, NotOptimized> {
        let network = optimized(self.builder()?, &self.library, model)?;
        let mut builder =
            self.builder()?.with_optimization_level(GraphOptimizationLevel::Disable).map_err(ort::Error::from)?;
        Ok(builder.commit_from_memory_directly(network)?)
    }

    /// One thread: there is a worker for each core.
    fn builder(&self) -> Result<SessionBuilder, ort::Error> {
        // Its arena keeps the activations, blocks that the system would otherwise have to give anew for each picture.
        let cpu = ep::CPU::default().with_arena_allocator(true).build();
        let providers = match self.device {
            Device::Cuda => vec![cuda(), cpu],
            _ => vec![cpu],
        };
        Ok(Session::builder(&self.environment)?
            .with_execution_providers(providers)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_parallel_execution(false)?)
    }
}

/// An open network.
pub(super) enum Loaded {
    Own(Session),
    Shared(InMemorySession<'static>),
}

impl Loaded {
    /// What it says to its inputs.
    ///
    /// # Errors
    /// When the network fails.
    pub(super) fn run<'i, 'v: 'i, const N: usize>(
        &mut self,
        inputs: impl Into<SessionInputs<'i, 'v, N>>,
    ) -> Result<SessionOutputs<'_>, ort::Error> {
        match self {
            Self::Own(session) => session.run(inputs),
            Self::Shared(session) => session.run(inputs),
        }
    }

    fn session(&self) -> &Session {
        match self {
            Self::Own(session) => session,
            Self::Shared(session) => session,
        }
    }
}

/// Whose a network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It comes with the program.
    BuiltIn,
    /// The user's.
    Own,
    /// The user's, and so large that it is in memory once.
    Large,
}

/// A network as one worker has it.
pub(super) struct Opened {
    runtime: Runtime,
    model: PathBuf,
    /// Its files, of a network of the user's own, and what they were ([`stamp`]).
    files: Vec<PathBuf>,
    stamp: String,
    sessions: Sessions,
    kind: Kind,
}

impl Opened {
    /// Opens it for inputs of a shape.
    ///
    /// # Errors
    /// When the file is not a network.
    pub(super) fn prepare(&self, shape: Shape) -> Result<(), PoseError> {
        self.with(shape, |_| Ok(()))
    }

    /// Shows it `input` and gives `read` what it says.
    ///
    /// # Errors
    /// When the network fails, and those of `read`.
    pub(super) fn run<T>(
        &self,
        shape: Shape,
        input: &[f32],
        read: impl FnOnce(&SessionOutputs<'_>) -> Result<T, PoseError>,
    ) -> Result<T, PoseError> {
        self.with(shape, |session| {
            let tensor = TensorRef::from_array_view((shape, input))?;
            read(&session.run(ort::inputs!["input" => tensor])?)
        })
    }

    /// Whether the network's files are what they were.
    pub(super) fn is_current(&self) -> bool {
        stamp_of(&self.files).is_ok_and(|now| now == self.stamp)
    }

    /// What a session says of itself.
    ///
    /// # Errors
    /// When the file is not a network.
    pub(super) fn inspect<T>(&self, read: impl FnOnce(&Session) -> T) -> Result<T, PoseError> {
        let mut sessions = locked(&self.sessions);
        if sessions.is_empty() {
            sessions.push((Shape::default(), self.runtime.session(&self.model, self.kind)?));
        }
        Ok(read(sessions[0].1.session()))
    }

    /// Lends the session for a shape, opened first where there is none.
    ///
    /// # Errors
    /// When the file is not a network, and those of `act`.
    pub(super) fn with<T>(
        &self,
        shape: Shape,
        act: impl FnOnce(&mut Loaded) -> Result<T, PoseError>,
    ) -> Result<T, PoseError> {
        // A network of the user's own is always shown the same number of pictures on a GPU.
        let is_for = |known: &Shape| self.runtime.shared.is_none() || self.kind != Kind::BuiltIn || *known == shape;
        let mut sessions = locked(&self.sessions);
        let index = match sessions.iter().position(|(known, _)| is_for(known)) {
            Some(index) => index,
            None => {
                sessions.push((shape, self.runtime.session(&self.model, self.kind)?));
                sessions.len() - 1
            }
        };
        act(&mut sessions[index].1)
    }
}

/// The files of a network: its own, and those that its weights lie in where they are too many for one.
fn files(model: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut all = vec![model.to_path_buf()];
    if model.metadata()?.len() <= LARGE {
        let beside = weight_files(&std::fs::read(model)?).into_iter().map(|name| model.with_file_name(name));
        all.extend(beside.filter(|path| path.is_file()));
    }
    Ok(all)
}

/// Bytes of a network, with the weights that lie beside its file.
///
/// # Errors
/// When it is not there.
pub fn size(model: &Path) -> std::io::Result<u64> {
    files(model)?.iter().map(|path| Ok(path.metadata()?.len())).sum()
}

/// What tells the files of a network now from what they were: their sizes and when they were written.
///
/// # Errors
/// When one is not there.
pub fn stamp(model: &Path) -> std::io::Result<String> {
    stamp_of(&files(model)?)
}

fn stamp_of(files: &[PathBuf]) -> std::io::Result<String> {
    let one = |path: &PathBuf| {
        let data = path.metadata()?;
        let written = data.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(format!("{} {};", data.len(), written.as_nanos()))
    };
    files.iter().map(one).collect()
}

/// Names of the files that an ONNX file (`network`) says weights lie in: one for all, or, as PyTorch's older exporter writes them, one for
/// each tensor.
fn weight_files(network: &[u8]) -> BTreeSet<String> {
    // The protobuf message with the key `location`, up to the length of its value.
    const LOCATION: &[u8] = b"\x0a\x08location\x12";
    let mut names = BTreeSet::new();
    let mut rest = network;
    while let Some(start) = memchr::memmem::find(rest, LOCATION) {
        rest = &rest[start + LOCATION.len()..];
        // Names of 128 bytes and more have a length of two bytes, the lower seven bits first.
        let (length, value) = match *rest {
            [low, high, ref value @ ..] if low >= 128 => (usize::from(low & 127) | usize::from(high) << 7, value),
            [length, ref value @ ..] => (usize::from(length), value),
            [] => break,
        };
        names.extend(value.get(..length).and_then(|name| String::from_utf8(name.to_vec()).ok()));
    }
    names
}

/// Whether an NVIDIA driver is at work.
fn has_nvidia() -> bool {
    ["/proc/driver/nvidia/version", "/dev/nvidiactl"].iter().any(|path| Path::new(path).exists())
}

/// What ONNX Runtime says, without the place in its source and what follows the first line.
fn sentence(error: &ort::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.rsplit_once(" : FAIL : ").map_or(line, |(_, reason)| reason).to_owned()
}

/// The convolutions are chosen by rule, not by trying: the same each time, and no wait at each new shape of input. Full precision:
/// with TensorFloat-32 key points moved by 1.3 pixels in the median, and it saves nothing, since the time goes into preparing
/// pictures and copying them.
fn cuda() -> ep::ExecutionProviderDispatch {
    ep::CUDA::default()
        .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
        .with_tf32(false)
        .build()
        .error_on_failure()
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
    let mut loaded = locked(&LOADED);
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
    fn workers_share_a_session_for_each_shape_where_one_is_asked_to() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let own = Runtime::load(&models.join("libonnxruntime.so"), Device::Cpu).unwrap();
        let shared = Runtime { shared: Some(Arc::default()), ..own.clone() };
        let model = models.join("person_detection.onnx");
        let shapes = [[1, 64, 96, 3], [1, 96, 64, 3], [1, 64, 96, 3]];
        let answers = |runtime: &Runtime| {
            let workers = [0, 1].map(|_| runtime.open(&model).unwrap());
            let ask = |(worker, shape): (usize, Shape)| {
                let input: Vec<f32> = (0..shape.iter().product()).map(|i| (i % 251) as f32 / 250.0).collect();
                workers[worker].run(shape, &input, |out| Ok(output(out, "scores", 126)?.to_vec())).unwrap()
            };
            let answers: Vec<Vec<f32>> =
                (0..2).flat_map(|worker| shapes.map(|shape| (worker, shape))).map(ask).collect();
            let sessions = workers.map(|worker| (locked(&worker.sessions).len(), Arc::strong_count(&worker.sessions)));
            (answers, sessions)
        };
        let (expected, each) = answers(&own);
        assert_eq!(each, [(1, 1); 2]);
        let (found, all) = answers(&shared);
        assert_eq!(all, [(2, 3), (2, 2)], "two shapes; two workers and the runtime hold them");
        assert_eq!(found, expected);
        assert!(expected[0] == expected[2] && expected[0] == expected[3] && expected[0] != expected[1]);
    }

    #[test]
    fn the_files_with_weights_count() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("network.onnx");
        let long = "w".repeat(200);
        let mut network = b"before".to_vec();
        for name in ["network.onnx.data", &long, "network.onnx.data", "gone"] {
            network.extend(b"\x0a\x08location\x12");
            let bytes = name.len() as u8;
            network.extend(if bytes < 128 { vec![bytes] } else { vec![bytes, 1] });
            network.extend(name.as_bytes());
        }
        network.extend(b"\x0a\x08location\x12\x7fcut off");
        std::fs::write(&model, &network).unwrap();
        std::fs::write(folder.path().join("network.onnx.data"), [0; 1000]).unwrap();
        std::fs::write(folder.path().join(long), [0; 500]).unwrap();
        assert_eq!(size(&model).unwrap(), network.len() as u64 + 1500);
    }

    #[test]
    fn a_missing_library_names_the_mend() {
        let error = Runtime::load(Path::new("/nowhere/libonnxruntime.so"), Device::Cpu).err().unwrap().to_string();
        assert!(error.contains("/nowhere/libonnxruntime.so") && error.contains("make setup"), "{error}");
    }
}
