//! A job as it could be sent to another process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{JobSettings, OutputNames};

/// One video to process: what a job is, apart from what it needs while somebody works on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The video.
    #[serde(with = "path_bytes")]
    pub source: PathBuf,
    /// What its results are called.
    pub outputs: OutputNames,
    /// Whatever has these names is replaced, not only earlier results of the same video.
    pub overwrite: bool,
    /// How.
    pub settings: JobSettings,
}

/// Why a job has no results, as whoever asked for it needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// In a sentence.
    pub reason: String,
    /// What follows from it.
    pub kind: FailureKind,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It was told to stop.
    Stopped,
    /// Trying again is pointless: the video itself is the trouble.
    Permanent,
    /// What the system did to it may pass.
    Passing,
    /// The disk of the results is full.
    OutputFull,
    /// The disk of the checkpoint is full.
    CheckpointFull,
}

/// Names of files need not be text: text where they are, else bytes.
pub(super) mod path_bytes {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Name<'a> {
        Text(std::borrow::Cow<'a, str>),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(name: &(impl AsRef<OsStr> + ?Sized), to: S) -> Result<S::Ok, S::Error> {
        let name = name.as_ref();
        match name.to_str() {
            Some(text) => Name::Text(text.into()).serialize(to),
            None => Name::Bytes(name.as_bytes().to_vec()).serialize(to),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: From<OsString>>(from: D) -> Result<T, D::Error> {
        Ok(T::from(match Name::deserialize(from)? {
            Name::Text(text) => OsString::from(text.into_owned()),
            Name::Bytes(bytes) => OsString::from_vec(bytes),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_job_can_be_written_down_whatever_its_video_is_called() {
        for name in [&b"a b.mp4"[..], b"\xff\n\xfe.mp4"] {
            let name = OsStr::from_bytes(name);
            let spec = JobSpec {
                source: Path::new("/in").join(name),
                outputs: OutputNames::new(Path::new("/out"), name, "mkv"),
                overwrite: false,
                settings: JobSettings::default(),
            };
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<JobSpec>(&text).unwrap(), spec, "{text}");
        }
    }
}
