//! The headless OpenGL context: which EGL devices there are, which one is used, and what to do when none works.

use std::ffi::CString;
use std::sync::Arc;

use glow::HasContext;
use glutin::api::egl::{context::PossiblyCurrentContext, device::Device, display::Display};
use glutin::config::{Api, ConfigSurfaceTypes, ConfigTemplateBuilder};
use glutin::context::{ContextApi, ContextAttributesBuilder, GlProfile, Robustness, Version};
use glutin::display::GlDisplay;
use thiserror::Error;

use super::cuda::device_of_cuda;

const MESA_SOFTWARE: &str = "EGL_MESA_device_software";

/// Why there is no usable OpenGL.
#[derive(Debug, Clone, Error)]
pub enum ContextError {
    /// The EGL library is missing.
    #[error(
        "cannot load libEGL.so.1, which draws without a display; install it (Debian, Ubuntu: apt install libegl1 libegl-mesa0 libgl1-mesa-dri)"
    )]
    NoEgl,
    /// EGL is there, but no driver behind it offers a device.
    #[error(
        "EGL found no device to draw with ({0}); install Mesa's drivers (Debian, Ubuntu: apt install libegl-mesa0 libgl1-mesa-dri), or, for an NVIDIA GPU, the driver's libEGL_nvidia.so.0 and its vendor file /usr/share/glvnd/egl_vendor.d/10_nvidia.json"
    )]
    NoDevice(String),
    /// Every device refused.
    #[error(
        "no EGL device gives an OpenGL 3.3 core context without a window: {0}; install Mesa's software renderer (Debian, Ubuntu: apt install libegl-mesa0 libgl1-mesa-dri)"
    )]
    NoContext(String),
}

/// One EGL device, as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Name, or the device file where the driver gives no name.
    pub name: String,
    /// Vendor; empty where the driver does not say.
    pub vendor: String,
    /// Device extensions, sorted.
    pub extensions: Vec<String>,
    /// Drawn by the CPU.
    pub software: bool,
    /// Why it gave no context, when it was tried and failed.
    pub refused: Option<String>,
}

/// What `meshreel doctor` shows of OpenGL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Every EGL device, in EGL's order.
    pub devices: Vec<DeviceInfo>,
    /// Index in `devices` of the one in use.
    pub used: usize,
    /// `GL_VENDOR`.
    pub vendor: String,
    /// `GL_RENDERER`.
    pub renderer: String,
    /// `GL_VERSION`.
    pub version: String,
    /// Drawn by the CPU (Mesa llvmpipe or softpipe).
    pub software: bool,
}

/// A current OpenGL 3.3 core context without window or surface. Stays on the thread that made it.
pub struct Context {
    /// The functions of OpenGL.
    pub gl: Arc<glow::Context>,
    description: Description,
    _current: PossiblyCurrentContext,
}

impl Context {
    /// Makes a context current on this thread: a GPU if one gives a context, the one that CUDA uses before others, else Mesa's software renderer.
    ///
    /// The software renderer starts one thread per core; the environment variable `LP_NUM_THREADS` (read by Mesa at this
    /// moment) sets another number.
    pub fn new() -> Result<Self, ContextError> {
        let devices: Vec<Device> = match Device::query_devices() {
            Ok(found) => found.collect(),
            Err(e) if matches!(e.error_kind(), glutin::error::ErrorKind::NotFound) => return Err(ContextError::NoEgl),
            Err(e) => return Err(ContextError::NoDevice(e.to_string())),
        };
        let mut infos: Vec<DeviceInfo> = devices.iter().map(device_info).collect();
        if infos.is_empty() {
            return Err(ContextError::NoDevice("the list is empty".into()));
        }
        let mut order: Vec<usize> = (0..devices.len()).collect();
        let of_cuda = device_of_cuda(devices.iter().filter(|device| !device.extensions().contains(MESA_SOFTWARE)));
        order.sort_by_key(|&i| (infos[i].software, of_cuda != Some(&devices[i])));
        // A device that claims to be a GPU may still be drawn by the CPU (a card without driver): the last resort.
        let mut fallback = None;
        for used in order {
            match open(&devices[used]) {
                Ok((current, gl)) => {
                    let software = is_software(&gl) || infos[used].software;
                    if software && !infos[used].software && fallback.is_none() {
                        infos[used].refused = Some("is drawn by the CPU".into());
                        fallback = Some(used);
                        continue;
                    }
                    infos[used].refused = None;
                    return Ok(Self::describe_as(current, gl, infos, used, software));
                }
                Err(reason) => infos[used].refused = Some(reason),
            }
        }
        if let Some(used) = fallback
            && let Ok((current, gl)) = open(&devices[used])
        {
            infos[used].refused = None;
            return Ok(Self::describe_as(current, gl, infos, used, true));
        }
        let reasons: Vec<String> =
            infos.iter().map(|i| format!("{}: {}", i.name, i.refused.as_deref().unwrap_or("not tried"))).collect();
        Err(ContextError::NoContext(reasons.join("; ")))
    }

    fn describe_as(
        current: PossiblyCurrentContext,
        gl: glow::Context,
        devices: Vec<DeviceInfo>,
        used: usize,
        software: bool,
    ) -> Self {
        // SAFETY: the context is current on this thread.
        let [vendor, renderer, version] =
            [glow::VENDOR, glow::RENDERER, glow::VERSION].map(|name| unsafe { gl.get_parameter_string(name) });
        let description = Description { devices, used, vendor, renderer, version, software };
        Self { gl: Arc::new(gl), description, _current: current }
    }

    /// Devices and driver, for showing.
    pub fn description(&self) -> &Description {
        &self.description
    }
}

fn device_info(device: &Device) -> DeviceInfo {
    let mut extensions: Vec<String> = device.extensions().iter().map(|e| (*e).to_owned()).collect();
    extensions.sort();
    let software = device.extensions().contains(MESA_SOFTWARE);
    let file = device.drm_render_device_node_path().or_else(|| device.drm_device_node_path());
    let name = device
        .name()
        .map(str::to_owned)
        .or_else(|| file.map(|f| f.display().to_string()))
        .unwrap_or_else(|| if software { "Mesa software" } else { "unnamed" }.to_owned());
    DeviceInfo { name, vendor: device.vendor().unwrap_or_default().to_owned(), extensions, software, refused: None }
}

fn is_software(gl: &glow::Context) -> bool {
    // SAFETY: called right after the context was made current on this thread.
    let renderer = unsafe { gl.get_parameter_string(glow::RENDERER) }.to_lowercase();
    ["llvmpipe", "softpipe", "swrast", "software"].iter().any(|name| renderer.contains(name))
}

fn open(device: &Device) -> Result<(PossiblyCurrentContext, glow::Context), String> {
    // SAFETY: no native display is passed; the device comes from EGL itself and lives as long as the library.
    let display = unsafe { Display::with_device(device, None) }.map_err(|e| e.to_string())?;
    let template =
        ConfigTemplateBuilder::new().with_api(Api::OPENGL).with_surface_type(ConfigSurfaceTypes::empty()).build();
    // SAFETY: the template names no native window.
    let config = unsafe { display.find_configs(template) }
        .map_err(|e| e.to_string())?
        .next()
        .ok_or("offers no configuration for OpenGL")?;
    let create = |robustness| {
        let attributes = ContextAttributesBuilder::new()
            .with_robustness(robustness)
            .with_context_api(ContextApi::OpenGl(Some(Version::new(3, 3))))
            .with_profile(GlProfile::Core)
            .build(None);
        // SAFETY: no native window handle is passed.
        unsafe { display.create_context(&config, &attributes) }
    };
    // A GPU that is reset says so to a robust context; drivers that have none refuse it.
    let context = create(Robustness::RobustLoseContextOnReset)
        .or_else(|_| create(Robustness::NotRobust))
        .map_err(|e| e.to_string())?;
    let current = context.make_current_surfaceless().map_err(|e| e.to_string())?;
    // SAFETY: the context is current, and the addresses come from the display that made it.
    let gl = unsafe {
        glow::Context::from_loader_function(|name| match CString::new(name) {
            Ok(name) => display.get_proc_address(&name),
            Err(_) => std::ptr::null(),
        })
    };
    Ok((current, gl))
}
