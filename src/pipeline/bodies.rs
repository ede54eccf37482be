//! The bodies that jobs ask for, each loaded once, when the first job does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::body::{Body, BodyError};
use crate::checksum;
use crate::models::{ModelName, Models};
use crate::render::{Mesh, MeshData};
use crate::thread::locked;

/// A body, ready to be fitted and drawn.
pub struct LoadedBody {
    /// What is fitted.
    pub body: Body,
    /// What is drawn.
    pub mesh: Mesh,
    /// SHA-256 of its file.
    pub sum: String,
}

/// Those that were asked for.
pub struct Bodies {
    models: Models,
    loaded: Mutex<BTreeMap<ModelName, Arc<LoadedBody>>>,
}

impl Bodies {
    /// None yet.
    pub fn new(models: &Models) -> Self {
        Self { models: models.clone(), loaded: Mutex::default() }
    }

    /// The body of a name.
    ///
    /// # Errors
    /// When there is none, or its file cannot be used.
    pub fn get(&self, name: ModelName) -> Result<Arc<LoadedBody>, BodyError> {
        // Whoever asks for the same body meanwhile waits, and does not load it again.
        let mut loaded = locked(&self.loaded);
        if let Some(body) = loaded.get(&name) {
            return Ok(body.clone());
        }
        let path = self.models.body_named(name);
        if !name.is_built_in() && !path.exists() {
            return Err(BodyError::Missing { name, path });
        }
        let invalid = |reason: String| BodyError::Invalid { path: path.clone(), reason };
        let bytes = std::fs::read(&path).map_err(|source| BodyError::Read { path: path.clone(), source })?;
        let mut body = Body::parse(&bytes).map_err(invalid)?;
        if !name.is_built_in() {
            // Motion files tell by it which file to look for.
            body.name = name.to_string();
        }
        let mesh = Mesh::new(MeshData::from(&body)).map_err(|error| invalid(error.to_string()))?;
        let body = Arc::new(LoadedBody { body, mesh, sum: checksum::hex(&checksum::of(&bytes)) });
        loaded.insert(name, body.clone());
        Ok(body)
    }

    /// Where a body's file is.
    pub fn path(&self, name: ModelName) -> std::path::PathBuf {
        self.models.body_named(name)
    }

    /// The body that is called so in a motion file; `None` where there is none.
    ///
    /// # Errors
    /// When its file cannot be used.
    pub fn called(&self, name: &str) -> Result<Option<Arc<LoadedBody>>, BodyError> {
        let built_in = self.get(ModelName::default())?;
        if built_in.body.name == name {
            return Ok(Some(built_in));
        }
        match name.parse().map(|name| self.get(name)) {
            Ok(Err(BodyError::Missing { .. })) | Err(_) => Ok(None),
            Ok(body) => body.map(Some),
        }
    }
}
