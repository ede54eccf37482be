//! `meshreel doctor`: one line for everything meshreel needs: there or missing, and how to fix it; here, and on a node of the cluster.

use crate::models::Network;
use std::borrow::Cow;
use std::fmt;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use nvml_wrapper::Nvml;
use serde::{Deserialize, Serialize};

use crate::checksum;
use crate::config::Config;
use crate::executor::slurm::probe::{self, NoAnswer};
use crate::executor::slurm::{self, Health};
use crate::job::{Backend, Encode};
use crate::models::Models;
use crate::pose::{Device, GPU_MEND, Runtime, Worker};
use crate::render::{RenderThread, self_test};
use crate::text::printable;

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// As it should be.
    Good,
    /// Works, but less well than it could.
    Poor,
    /// Missing or broken: jobs will fail.
    Bad,
}

/// One line of the doctor's report.
#[derive(Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How it stands.
    pub state: State,
    /// What was looked at.
    pub what: Cow<'static, str>,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let state = match self.state {
            State::Good => "ok  ",
            State::Poor => "poor",
            State::Bad => "BAD ",
        };
        write!(f, "{state} {:<14} {}", self.what, printable(&self.found))?;
        match &self.fix {
            Some(fix) => write!(f, " -> {}", printable(fix)),
            None => Ok(()),
        }
    }
}

fn good(what: &'static str, found: impl Into<String>) -> Finding {
    Finding { state: State::Good, what: what.into(), found: found.into(), fix: None }
}

fn poor(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { state: State::Poor, what: what.into(), found: found.into(), fix: Some(fix.into()) }
}

fn bad(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { state: State::Bad, what: what.into(), found: found.into(), fix: Some(fix.into()) }
}

/// Looks at everything, telling each finding as soon as it is made. True when nothing is bad.
pub fn examine(config: &Config, models: &Models, mut tell: impl FnMut(&Finding)) -> bool {
    let mut healthy = true;
    let mut findings = |list: Vec<Finding>| {
        for finding in list {
            healthy &= finding.state != State::Bad;
            tell(&finding);
        }
    };
    findings(ffmpeg(config));
    findings(model_files(models));
    findings(runtime(config, models));
    findings(opengl());
    findings(cluster(config));
    findings(folders(config));
    findings(terminal());
    healthy
}

/// What a node is to look at.
#[derive(Serialize, Deserialize)]
struct NodeQuestion {
    /// Version of the meshreel that asks.
    version: String,
    /// Where the networks are to run.
    device: Device,
    /// GPUs that a task is to have.
    gpus: usize,
    /// Where models and library are: as in the configuration.
    models: PathBuf,
    library: PathBuf,
    encode: Encode,
    /// Folders that are read.
    reads: Vec<PathBuf>,
    /// Folders that are written to.
    writes: Vec<PathBuf>,
}

/// What it has found.
#[derive(Serialize, Deserialize)]
struct NodeAnswer {
    node: String,
    findings: Vec<Finding>,
}

/// Has a node of the cluster look, telling what it has found as its own. True when nothing is bad.
pub fn examine_cluster(config: &Config, mut tell: impl FnMut(&Finding)) -> bool {
    let question = NodeQuestion {
        version: env!("CARGO_PKG_VERSION").into(),
        device: config.device,
        gpus: config.slurm.gpus,
        models: config.models.folder.clone(),
        library: config.onnxruntime.library.clone(),
        encode: config.encode.clone(),
        reads: config.watch.iter().map(|watch| watch.path.clone()).collect(),
        writes: config.watch.iter().map(|watch| watch.output.clone()).collect(),
    };
    let answer: NodeAnswer = match probe::ask(config, &question) {
        Ok(answer) => answer,
        Err(error) => {
            let fix = match &error {
                NoAnswer::Ended { .. } => {
                    "nodes must see slurm.folder and slurm.program (this program, if it is not set) under the same names; look at them \
                     with `srun ls -l`"
                }
                NoAnswer::Waits { .. } => {
                    "see what the reason means in `man squeue`, and whether slurm.partition, cpus, memory, gpus and time suit the cluster"
                }
                NoAnswer::Silent { .. } => "see what the task does there; the node may be overloaded, or its disk away",
                NoAnswer::Folder(_) => "make slurm.folder writable, or name another one",
                NoAnswer::Slurm(_) => {
                    "correct what it names in [slurm]; `meshreel doctor` alone says what is known of the cluster here"
                }
            };
            tell(&bad("node", error.to_string(), fix));
            return false;
        }
    };
    let mut healthy = true;
    for mut finding in answer.findings {
        healthy &= finding.state != State::Bad;
        finding.what = format!("{}: {:<12}", answer.node, finding.what).into();
        tell(&finding);
    }
    healthy
}

/// Looks around on a node for [`examine_cluster`]; `file` holds what it asks.
///
/// # Errors
/// When the question cannot be read, or the answer not be written.
pub fn examine_node(file: &Path) -> Result<(), String> {
    let question: NodeQuestion = match probe::question(file) {
        Ok(Some(question)) => question,
        Ok(None) => {
            return Err(format!("{}: there is no question, or one of another version of meshreel", file.display()));
        }
        Err(error) => return Err(error.to_string()),
    };
    let mut config = Config { device: question.device, encode: question.encode.clone(), ..Config::default() };
    config.models.folder.clone_from(&question.models);
    config.onnxruntime.library.clone_from(&question.library);
    let models = Models::find(&config.models.folder);
    let mut findings = vec![node_itself(&question), node_gpu(&question)];
    findings.push(good(
        "slurm.folder",
        format!("{} is the same there as here", file.parent().and_then(Path::parent).unwrap_or(file).display()),
    ));
    for folder in &question.reads {
        findings.push(readable(
            folder,
            "it must have the same name on the nodes; mount it there, or name another folder with watch.path",
        ));
    }
    findings.extend(question.writes.iter().map(|folder| writable("output folder", folder)));
    findings.extend(ffmpeg(&config));
    findings.extend(model_files(&models));
    findings.extend(runtime(&config, &models));
    findings.extend(opengl());
    probe::answer(file, &NodeAnswer { node: slurm::node(), findings }).map_err(|error| error.to_string())
}

/// Version and cores.
fn node_itself(question: &NodeQuestion) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let cores = slurm::cores_of_task();
    let found = format!("meshreel {own}, {cores} {} for a task", if cores == 1 { "core" } else { "cores" });
    match question.version == own {
        true => good("node", found),
        false => bad(
            "node",
            format!("{found}; here it is {}", question.version),
            "install the same version on both, or correct slurm.program",
        ),
    }
}

/// GPUs that a task is given.
fn node_gpu(question: &NodeQuestion) -> Finding {
    let names = gpus();
    let given = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
    match (names.is_empty(), question.gpus) {
        (true, 0) => good("GPU", "none, and slurm.gpus asks for none"),
        (true, wanted) => bad(
            "GPU",
            format!("none that NVIDIA's driver knows of, though slurm.gpus is {wanted}"),
            "ask for a partition with GPUs (slurm.partition, slurm.extra), or have the driver installed there",
        ),
        (false, 0) => poor(
            "GPU",
            format!("{}, which tasks are not given", names.join(", ")),
            "set slurm.gpus = 1 if jobs are to use one",
        ),
        (false, _) if given.is_empty() => poor(
            "GPU",
            format!("{}, but CUDA_VISIBLE_DEVICES is not set", names.join(", ")),
            "tasks may disturb each other; have Slurm's gres.conf name the GPUs",
        ),
        (false, _) => good("GPU", format!("{}; a task is given {given}", names.join(", "))),
    }
}

/// Names of NVIDIA's GPUs that this process sees.
fn gpus() -> Vec<String> {
    let Ok(nvml) = Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init() else { return Vec::new() };
    let name = |index| nvml.device_by_index(index).and_then(|device| device.name()).ok();
    (0..nvml.device_count().unwrap_or(0)).filter_map(name).collect()
}

fn ffmpeg(config: &Config) -> Vec<Finding> {
    let version = crate::media::version();
    let wanted = &config.encode.codec;
    let others = ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks", "h264_nvenc", "hevc_nvenc"];
    let there: Vec<&str> = others.into_iter().filter(|name| crate::media::has_encoder(name)).collect();
    let encoder = match crate::media::try_encoder(&config.encode.settings(), &config.encode.container) {
        Ok(()) => good("encoder", format!("{wanted} (the one in use) starts; also there: {}", there.join(", "))),
        Err(error) => bad("encoder", error.to_string(), format!("set encode.codec; there are {}", there.join(", "))),
    };
    vec![good("FFmpeg", version), encoder]
}

/// What the build of the models wrote about its results.
#[derive(Deserialize)]
struct Built {
    files: Vec<BuiltFile>,
}

#[derive(Deserialize)]
struct BuiltFile {
    name: String,
    sha256: String,
}

fn model_files(models: &Models) -> Vec<Finding> {
    const FIX: &str =
        "run `make setup` in the checkout and `make install` if it is installed from there, or set models.folder";
    let folder = models.folder();
    let list =
        std::fs::read(folder.join("built.json")).ok().and_then(|text| serde_json::from_slice::<Built>(&text).ok());
    let needed = [
        models.person_detector(),
        models.region_detector(),
        models.landmarker(Network::Lite),
        models.landmarker(Network::Full),
        models.landmarker(Network::Heavy),
        models.body(),
    ];
    let mut findings = vec![good("models", folder.display().to_string())];
    for path in needed {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let listed = list.as_ref().and_then(|list| list.files.iter().find(|file| file.name == name));
        findings.push(match (checksum::of_file(&path), listed) {
            (Err(error), _) => bad("model", format!("{name}: {error}"), FIX),
            (Ok(sum), Some(file)) if checksum::hex(&sum) == file.sha256 => {
                good("model", format!("{name}, checksum as built"))
            }
            (Ok(_), Some(_)) => bad("model", format!("{name} is not the file that was built"), FIX),
            (Ok(_), None) => poor("model", format!("{name} is there, its checksum is not known"), FIX),
        });
    }
    findings
}

fn runtime(config: &Config, models: &Models) -> Vec<Finding> {
    let library = crate::pipeline::runtime_library(config, models);
    let found = match Runtime::load(&library, config.device) {
        Ok(runtime) => runtime,
        Err(error) => {
            return vec![bad(
                "ONNX Runtime",
                error.to_string(),
                "run `make setup` in the checkout, or set onnxruntime.library",
            )];
        }
    };
    let place = if found.device() == Device::Cuda { "an NVIDIA GPU" } else { "the processor" };
    let device = format!("{}, networks run on {place}", library.display());
    let missed = found.missed().map(|missed| poor("ONNX Runtime", missed, GPU_MEND));
    let mut worker = Worker::new(found, models.clone());
    let opened = match worker.open(Network::Full) {
        Ok(()) => good("ONNX Runtime", device),
        Err(error) => bad("ONNX Runtime", error.to_string(), "run `make setup`"),
    };
    std::iter::once(opened).chain(missed).collect()
}

fn opengl() -> Vec<Finding> {
    let thread = match RenderThread::start() {
        Ok(thread) => thread,
        Err(error) => {
            let fix = "install libegl1 libegl-mesa0 libgl1-mesa-dri (or your GPU vendor's EGL driver)";
            return vec![bad("OpenGL", error.to_string(), fix)];
        }
    };
    let description = thread.description();
    let mut findings = Vec::new();
    for (index, device) in description.devices.iter().enumerate() {
        let used = if index == description.used { " (in use)" } else { "" };
        let name = [&device.vendor, &device.name].map(String::as_str).join(" ");
        let refused = device.refused.as_ref().map_or(String::new(), |why| format!(": no context ({why})"));
        findings.push(good("EGL device", format!("{index}: {}{used}{refused}", name.trim())));
    }
    let how = if description.software { "software, on the processor" } else { "hardware" };
    let context = format!("{}, {}, OpenGL {} ({how})", description.vendor, description.renderer, description.version);
    let drawn = self_test(&thread.renderer());
    findings.push(match drawn {
        Ok(_) => good("OpenGL", format!("{context}; a triangle was drawn and read back")),
        Err(error) => bad("OpenGL", format!("{context}: {error}"), "update the driver or Mesa"),
    });
    findings
}

fn cluster(config: &Config) -> Vec<Finding> {
    if !config.backends().contains(&Backend::Slurm) && config.executor != Backend::Slurm {
        return Vec::new();
    }
    let finding = |health| match health {
        Health::Good(found) => good("Slurm", found),
        Health::Bad(found, fix) => bad("Slurm", found, fix),
    };
    slurm::examine(config).into_iter().map(finding).collect()
}

fn folders(config: &Config) -> Vec<Finding> {
    let mut findings = vec![writable("state folder", &config.state)];
    for watch in &config.watch {
        findings.push(readable(&watch.path, "create it, or correct watch.path"));
        findings.push(writable("output folder", &watch.output));
    }
    findings
}

/// A folder that videos come from.
fn readable(folder: &Path, fix: &str) -> Finding {
    match std::fs::read_dir(folder) {
        Ok(_) => good("watch folder", format!("{} can be read", folder.display())),
        Err(error) => bad("watch folder", format!("{}: {error}", folder.display()), fix),
    }
}

/// A folder we can write in, or could make.
fn writable(what: &'static str, folder: &Path) -> Finding {
    let existing = folder.ancestors().find(|f| f.is_dir()).unwrap_or(Path::new("/"));
    match tempfile::tempfile_in(existing) {
        Ok(_) if existing == folder => good(what, format!("{} can be written", folder.display())),
        Ok(_) => good(what, format!("{} will be created", folder.display())),
        Err(error) => bad(
            what,
            format!("{}: {error}", existing.display()),
            format!("chown or chmod {}, or name another folder", existing.display()),
        ),
    }
}

fn terminal() -> Vec<Finding> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if !std::io::stdout().is_terminal() {
        return vec![good("terminal", "none (output goes to a pipe or file)")];
    }
    let locale = [variable("LC_ALL"), variable("LC_CTYPE"), variable("LANG")].into_iter().find(|v| !v.is_empty());
    let unicode = locale.is_some_and(|v| v.to_lowercase().replace('-', "").contains("utf8"));
    let colors = match (variable("COLORTERM").as_str(), variable("TERM")) {
        _ if !variable("NO_COLOR").is_empty() => "no colours (NO_COLOR is set)",
        ("truecolor" | "24bit", _) => "16 million colours",
        (_, term) if term.contains("256color") => "256 colours",
        _ => "16 colours",
    };
    let (columns, rows) = crossterm::terminal::size().unwrap_or_default();
    let found = format!("{}, {columns}x{rows}, {colors}", variable("TERM"));
    vec![if unicode {
        good("terminal", format!("{found}, Unicode"))
    } else {
        poor("terminal", format!("{found}, no Unicode locale"), "export LANG=C.UTF-8")
    }]
}
