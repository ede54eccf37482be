//! Where the run-time files are: networks, body and the ONNX Runtime library.

pub mod description;
mod model_name;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use description::{DescriptionError, NetworkDescription, Purpose};
pub use model_name::ModelName;

/// Which landmark network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Network {
    /// Fastest.
    Lite,
    /// MediaPipe's default.
    Full,
    /// Most accurate, about four times the cost of full.
    Heavy,
}

impl Network {
    /// The network that is asked for a second opinion on what this one sees.
    pub fn other(self) -> Self {
        if self == Self::Full { Self::Heavy } else { Self::Full }
    }
}

/// The folder of run-time files that `make setup` builds.
#[derive(Debug, Clone)]
pub struct Models {
    folder: PathBuf,
}

impl Models {
    /// Files are looked for in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Files are in `folder`, or when that is empty where they are found from the program's own place: in `models` beside or above
    /// it (a build is two folders below it), or in `share/meshreel/models` above it, where `make install` puts them.
    pub fn find(folder: &Path) -> Self {
        if !folder.as_os_str().is_empty() {
            return Self::new(folder);
        }
        let program = std::env::current_exe().unwrap_or_default();
        Self::new(near(&program).unwrap_or_else(|| PathBuf::from("models")))
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The person detector (NanoDet).
    pub fn person_detector(&self) -> PathBuf {
        self.folder.join("person_detection.onnx")
    }

    /// The BlazePose region detector.
    pub fn region_detector(&self) -> PathBuf {
        self.folder.join("pose_detection.onnx")
    }

    /// A landmark network, without its segmentation head.
    pub fn landmarker(&self, network: Network) -> PathBuf {
        use Network::*;
        let name = match network {
            Lite => "lite",
            Full => "full",
            Heavy => "heavy",
        };
        self.folder.join(format!("pose_landmark_{name}.onnx"))
    }

    /// MediaPipe's hand network.
    pub fn hand_landmarker(&self) -> PathBuf {
        self.folder.join("hand_landmark.onnx")
    }

    /// The body's mesh, skeleton and shape.
    pub fn body(&self) -> PathBuf {
        self.folder.join("body.safetensors")
    }

    /// Folder of the user's own bodies.
    pub fn bodies(&self) -> PathBuf {
        self.folder.join("bodies")
    }

    /// Folder of the user's own networks.
    pub fn own_networks(&self) -> PathBuf {
        self.folder.join("networks")
    }

    /// The description of a network of the user's own.
    pub fn network_description(&self, name: ModelName) -> PathBuf {
        self.own_networks().join(format!("{name}.toml"))
    }

    /// A body by its name.
    pub fn body_named(&self, name: ModelName) -> PathBuf {
        match name.is_built_in() {
            true => self.body(),
            false => self.bodies().join(format!("{name}.safetensors")),
        }
    }

    /// All networks.
    pub fn networks(&self) -> Vec<PathBuf> {
        let landmarkers = [Network::Lite, Network::Full, Network::Heavy].map(|network| self.landmarker(network));
        let others = [self.person_detector(), self.region_detector(), self.hand_landmarker()];
        others.into_iter().chain(landmarkers).collect()
    }

    /// The ONNX Runtime library for CPUs.
    pub fn runtime(&self) -> PathBuf {
        self.folder.join("libonnxruntime.so")
    }

    /// The ONNX Runtime library for NVIDIA GPUs, where `make setup-gpu` put it.
    pub fn gpu_runtime(&self) -> Option<PathBuf> {
        let files = self.folder.join("gpu/onnxruntime/capi").read_dir().ok()?.flatten();
        files.map(|file| file.path()).filter(|path| is_runtime(path)).max()
    }
}

/// The folder of run-time files that belongs to a program.
fn near(program: &Path) -> Option<PathBuf> {
    let above = program.ancestors().skip(1).take(4);
    above
        .flat_map(|folder| [folder.join("models"), folder.join("share/meshreel/models")])
        .find(|folder| folder.join("body.safetensors").is_file())
}

/// `libonnxruntime.so` and a version.
fn is_runtime(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("libonnxruntime.so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_from_a_build_an_unpacked_folder_and_an_installation() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let cases = [
            ("checkout/target/release/meshreel", "checkout/models"),
            ("unpacked/meshreel", "unpacked/models"),
            ("usr/local/bin/meshreel", "usr/local/share/meshreel/models"),
        ];
        for (program, folder) in cases {
            assert_eq!(near(&at(program)), None);
            std::fs::create_dir_all(at(folder)).unwrap();
            assert_eq!(near(&at(program)), None, "a folder without the files is none");
            std::fs::write(at(folder).join("body.safetensors"), "").unwrap();
            assert_eq!(near(&at(program)), Some(at(folder)));
        }
    }
}
