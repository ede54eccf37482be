//! `meshreel doctor`: one line for everything meshreel needs: there or missing, and how to fix it.

use crate::models::Network;
use std::fmt;
use std::io::IsTerminal;
use std::path::Path;

use serde::Deserialize;

use crate::checksum;
use crate::config::Config;
use crate::executor::slurm::{self, Health};
use crate::job::Backend;
use crate::models::Models;
use crate::pose::{Device, GPU_MEND, Runtime, Worker};
use crate::render::{RenderThread, self_test};
use crate::text::printable;

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Good,
    /// Works, but less well than it could.
    Poor,
    /// Missing or broken: jobs will fail.
    Bad,
}

/// One line of the doctor's report.
#[derive(Debug)]
pub struct Finding {
    /// How it stands.
    pub state: State,
    /// What was looked at.
    pub what: &'static str,
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
    Finding { state: State::Good, what, found: found.into(), fix: None }
}

fn poor(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { state: State::Poor, what, found: found.into(), fix: Some(fix.into()) }
}

fn bad(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { state: State::Bad, what, found: found.into(), fix: Some(fix.into()) }
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
        findings.push(match std::fs::read_dir(&watch.path) {
            Ok(_) => good("watch folder", watch.path.display().to_string()),
            Err(error) => {
                bad("watch folder", format!("{}: {error}", watch.path.display()), "create it, or correct watch.path")
            }
        });
        findings.push(writable("output folder", &watch.output));
    }
    findings
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
