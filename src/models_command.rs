//! `meshreel models`: the bodies and networks that are there, and bodies of the user's own.

use std::path::{Path, PathBuf};

use crate::body::Body;
use crate::cli::{CheckNetwork, ImportSmpl};
use crate::config::Config;
use crate::models::{ModelName, Models, NetworkDescription};
use crate::pipeline::{self, CheckError};
use crate::smpl::{self, ImportError};

/// Imports a body; what is printed.
///
/// # Errors
/// When the file cannot be used or the body not written.
pub fn import(arguments: &ImportSmpl, models: &Models) -> Result<String, ImportError> {
    let ImportSmpl { file, output, overwrite } = arguments;
    let invalid = |reason: String| ImportError::Invalid { path: file.clone(), reason };
    let name = match output {
        Some(name) => *name,
        None => {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
            stem.parse::<ModelName>()
                .map_err(|rule| invalid(format!("its name is no name of a body; give one with -o ({rule})")))?
        }
    };
    if name.is_built_in() {
        return Err(invalid(format!("\"{name}\" is the body that comes with meshreel; give another name with -o")));
    }
    smpl::import(file, &models.bodies(), name, *overwrite).map(|imported| imported.to_string())
}

/// Checks a network of the user's own; `say` is given what is printed. Whether its answers make sense.
///
/// # Errors
/// When it cannot be run, does not fit its description, or the result cannot be written.
pub fn check(arguments: &CheckNetwork, config: &Config, say: &mut dyn FnMut(&str)) -> Result<bool, CheckError> {
    let CheckNetwork { name, picture, output, overwrite } = arguments;
    let output = output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.check.png")));
    let same = |a: &Path, b: &Path| a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    if picture.as_ref().is_some_and(|picture| same(picture, &output)) {
        let reason = "it is the picture itself; -o names another file".to_owned();
        return Err(CheckError::Write { path: output, reason });
    }
    if picture.is_some() && !overwrite && output.symlink_metadata().is_ok() {
        let reason = "it is there already; --overwrite replaces it, -o names another".to_owned();
        return Err(CheckError::Write { path: output, reason });
    }
    pipeline::check(config, *name, picture.as_deref(), Some(&output), say)
}

/// Bodies, then networks: name, size and licence of each, a line each.
pub fn list(models: &Models) -> Vec<String> {
    let mut lines: Vec<String> = bodies(models).into_iter().map(|name| body(models, name)).collect();
    lines.extend(models.networks().into_iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        format!("network {name:24} {:>9}  Apache-2.0", size(&path))
    }));
    lines.extend(networks(models).into_iter().map(|name| {
        let about = NetworkDescription::load(models, name).map_or_else(
            |error| error.to_string(),
            |own| {
                let lacks = own.body.filter(|&body| !models.body_named(body).exists());
                let lacks = lacks.map_or(String::new(), |body| format!("; the body \"{body}\" is missing"));
                pipeline::about(&own) + &lacks
            },
        );
        format!("yours   {name:24} {about}")
    }));
    lines
}

/// That of the program, then the user's own by name.
fn bodies(models: &Models) -> Vec<ModelName> {
    let own = models.bodies().read_dir().into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.strip_suffix(".safetensors")?.parse().ok()
    });
    let mut own: Vec<ModelName> = own.filter(|name: &ModelName| !name.is_built_in()).collect();
    own.sort();
    std::iter::once(ModelName::default()).chain(own).collect()
}

/// The user's own networks by name.
fn networks(models: &Models) -> Vec<ModelName> {
    let own = models.own_networks().read_dir().into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.strip_suffix(".toml")?.parse().ok()
    });
    let mut own: Vec<ModelName> = own.collect();
    own.sort();
    own
}

fn body(models: &Models, name: ModelName) -> String {
    let path = models.body_named(name);
    let size = size(&path);
    let about = match Body::load(&path) {
        Ok(body) => {
            let counts = [body.vertices.len(), body.faces.len(), body.joint_count(), body.shapes];
            let [vertices, faces, joints, shapes] = counts;
            format!("{vertices} vertices, {faces} faces, {joints} joints, {shapes} shapes; {}", body.licence)
        }
        Err(error) => error.to_string(),
    };
    format!("body    {name:24} {size:>9}  {about}")
}

fn size(path: &Path) -> String {
    path.metadata().map_or_else(|_| "missing".into(), |metadata| format!("{:.1} MB", metadata.len() as f64 / 1e6))
}
