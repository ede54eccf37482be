//! `meshreel models`: the bodies and networks that are there, and bodies of the user's own.

use std::path::Path;

use crate::body::Body;
use crate::cli::ImportSmpl;
use crate::models::{ModelName, Models};
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

/// Bodies, then networks: name, size and licence of each, a line each.
pub fn list(models: &Models) -> Vec<String> {
    let mut lines: Vec<String> = bodies(models).into_iter().map(|name| body(models, name)).collect();
    lines.extend(models.networks().into_iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        format!("network {name:24} {:>9}  Apache-2.0", size(&path))
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
