//! Networks as ONNX Runtime optimises them for this processor, kept beside the models.
//!
//! ONNX Runtime can use a file in its own format where it lies in memory: a network then opens in milliseconds instead of
//! tenths of a second, and all workers share one copy of its weights. What it optimises for depends on the processor and on its own
//! version, so the file's name holds both.

use std::{
    collections::BTreeMap,
    fs::{File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
    time::UNIX_EPOCH,
};

use memmap2::{Mmap, UncheckedAdvice};
use ort::session::builder::SessionBuilder;
use tempfile::Builder;

use crate::checksum;
use crate::thread::locked;

/// Beside the models.
const FOLDER: &str = "optimized";

/// Why a network is used as it is instead.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOptimized {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Runtime(#[from] ort::Error),
}

static MAPPED: Mutex<BTreeMap<PathBuf, &'static Mmap>> = Mutex::new(BTreeMap::new());

fn mapped() -> MutexGuard<'static, BTreeMap<PathBuf, &'static Mmap>> {
    locked(&MAPPED)
}

/// Gives the memory of the weights back to the system until a network is run again; they are read anew then, from the system's
/// cache as a rule.
pub(super) fn forget() {
    for map in mapped().values() {
        // SAFETY: the map is of a file and shared, so no writes are lost.
        let advised = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
        if let Err(error) = advised {
            tracing::debug!("{error}");
        }
    }
}

/// The network `model` in ONNX Runtime's format, made the first time by `builder` with the library at `library`. Where the folder beside the
/// models cannot be written, it is kept for the life of the process only.
///
/// The map stays for the life of the process: there are few networks, and sessions use it in place.
pub(super) fn optimized(builder: SessionBuilder, library: &Path, model: &Path) -> Result<&'static [u8], NotOptimized> {
    let folder = model.with_file_name(FOLDER);
    let path = folder.join(name(library, model)?);
    // Held meanwhile: whoever wants the same network waits for it.
    let mut known = mapped();
    if let Some(map) = known.get(&path) {
        return Ok(map);
    }
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(_) => make(builder, model, &folder, &path)?,
    };
    // SAFETY: nobody writes to this file: it got its name when it was complete, or has none.
    let map = unsafe { Mmap::map(&file)? };
    Ok(known.entry(path).or_insert(Box::leak(Box::new(map))))
}

/// Of the file for this network, this library and this processor.
fn name(library: &Path, model: &Path) -> io::Result<String> {
    let mut key = processor();
    for path in [library, model] {
        let data = path.metadata()?;
        let changed = data.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        key += &format!("\n{} {} {}", path.canonicalize()?.display(), data.len(), changed.as_nanos());
    }
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    Ok(format!("{stem}-{}.ort", checksum::hex(&checksum::of(key.as_bytes())[..8])))
}

/// What it can do.
fn processor() -> String {
    let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let abilities = known.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    format!("{} {}", std::env::consts::ARCH, abilities.unwrap_or_default())
}

fn make(builder: SessionBuilder, model: &Path, folder: &Path, path: &Path) -> Result<File, NotOptimized> {
    // Others who run meshreel may read it.
    let create = |folder: &Path| {
        Builder::new().prefix(".partial-").permissions(Permissions::from_mode(0o644)).tempfile_in(folder)
    };
    let beside = std::fs::create_dir_all(folder).and_then(|()| create(folder));
    let is_kept = beside.is_ok();
    let file = beside.or_else(|_| create(&std::env::temp_dir()))?;
    let builder = builder.with_config_entry("session.save_model_format", "ORT").map_err(ort::Error::from)?;
    builder.with_optimized_model_path(file.path()).map_err(ort::Error::from)?.commit_from_file(model)?;
    let written = file.reopen()?;
    if is_kept {
        written.sync_all()?;
        if let Err(error) = file.persist(path) {
            tracing::info!("{} cannot be kept: {error}", path.display());
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pose::{Device, Runtime};

    /// Copies the person detector into a folder, lets `prepare` loose on it, and asks the network; what it says, and the files it left.
    fn ask(prepare: impl FnOnce(&Path, &Path)) -> (Vec<f32>, Vec<String>) {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let library = models.join("libonnxruntime.so");
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("person_detection.onnx");
        std::fs::copy(models.join("person_detection.onnx"), &model).unwrap();
        prepare(&folder.path().join(FOLDER), &folder.path().join(FOLDER).join(name(&library, &model).unwrap()));
        let network = Runtime::load(&library, Device::Cpu).unwrap().open(&model).unwrap();
        let input: Vec<f32> = (0..64 * 96 * 3).map(|i| (i % 251) as f32 / 250.0).collect();
        let read =
            |out: &ort::session::SessionOutputs<'_>| Ok(super::super::runtime::output(out, "scores", 126)?.to_vec());
        let said = network.run([1, 64, 96, 3], &input, read).unwrap();
        let kept = std::fs::read_dir(folder.path().join(FOLDER)).into_iter().flatten();
        (said, kept.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
    }

    #[test]
    fn a_network_says_the_same_optimized_kept_or_not_and_as_it_is() {
        let (kept, files) = ask(|_, _| {});
        assert!(
            matches!(&files[..], [file] if file.starts_with("person_detection-") && file.ends_with(".ort")),
            "{files:?}"
        );
        let (passing, files) = ask(|folder, _| std::fs::write(folder, "a file where the folder should be").unwrap());
        assert!(files.is_empty());
        let (spoiled, _) = ask(|folder, file| {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(file, "not a network").unwrap();
        });
        assert!(kept.iter().any(|score| *score > 0.0));
        assert!(kept == passing && kept == spoiled);
    }
}
