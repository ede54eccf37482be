//! Which EGL device is the GPU that CUDA uses in this process.
//!
//! EGL lists all GPUs of a machine, in an order of its own, and knows nothing of `CUDA_VISIBLE_DEVICES`, by which a cluster tells its tasks
//! which of them are theirs. Without a choice all tasks of a node would draw on its first GPU. So CUDA is asked for the UUID of its device 0,
//! which is where the networks run, and EGL for that of each of its devices; a driver that tells EGL no UUID may tell the number
//! by which CUDA knows a device.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use glutin::api::egl::device::Device;

type Uuid = [u8; 16];

/// `EGL_DEVICE_UUID_EXT` of `EGL_EXT_device_persistent_id`.
const DEVICE_UUID: c_int = 0x335C;
/// `EGL_CUDA_DEVICE_NV` of `EGL_NV_device_cuda`.
const CUDA_DEVICE: c_int = 0x323A;

/// The one of `devices` that CUDA uses. Where there is no choice nobody is asked, and where there is no CUDA nobody answers.
pub fn device_of_cuda<'a>(devices: impl Iterator<Item = &'a Device> + Clone) -> Option<&'a Device> {
    let can_tell = |device: &&Device| {
        ["EGL_EXT_device_persistent_id", "EGL_NV_device_cuda"].iter().any(|name| device.extensions().contains(name))
    };
    if devices.clone().filter(can_tell).count() < 2 {
        return None;
    }
    let wanted = uuid_of_cuda()?;
    let mut able = devices.filter(can_tell);
    able.clone().find(|device| uuid(device) == Some(wanted)).or_else(|| able.find(|device| number(device) == Some(0)))
}

/// The UUID of CUDA's device 0.
fn uuid_of_cuda() -> Option<Uuid> {
    let library = open(c"libcuda.so.1")?;
    let (mut device, mut uuid) = (0, Uuid::default());
    // SAFETY: the symbols have these signatures in every libcuda.so.1; the pointers are to variables of the right size that outlive the calls.
    let codes = unsafe {
        let init: extern "C" fn(c_uint) -> c_int = function(symbol(library, c"cuInit")?);
        let get: extern "C" fn(*mut c_int, c_int) -> c_int = function(symbol(library, c"cuDeviceGet")?);
        let tell: extern "C" fn(*mut Uuid, c_int) -> c_int = function(symbol(library, c"cuDeviceGetUuid")?);
        [init(0), get(&raw mut device, 0), tell(&raw mut uuid, device)]
    };
    (codes == [0; 3]).then_some(uuid)
}

/// The UUID of an EGL device.
fn uuid(device: &Device) -> Option<Uuid> {
    if !device.extensions().contains("EGL_EXT_device_persistent_id") {
        return None;
    }
    let (mut uuid, mut size) = (Uuid::default(), 0);
    let most = c_int::try_from(uuid.len()).ok()?;
    // SAFETY: the extension is there, so the function has this signature; the pointers are to variables of the sizes that are told.
    let is_told = unsafe {
        type Query = extern "C" fn(*const c_void, c_int, c_int, *mut c_void, *mut c_int) -> c_uint;
        let query: Query = function(egl(c"eglQueryDeviceBinaryEXT")?);
        query(device.raw_device(), DEVICE_UUID, most, (&raw mut uuid).cast(), &raw mut size)
    };
    (is_told == 1 && size == most).then_some(uuid)
}

/// The number by which CUDA knows an EGL device in this process.
fn number(device: &Device) -> Option<isize> {
    if !device.extensions().contains("EGL_NV_device_cuda") {
        return None;
    }
    let mut number: isize = -1;
    // SAFETY: as above; an EGLAttrib is as wide as a pointer.
    let is_told = unsafe {
        let query: extern "C" fn(*const c_void, c_int, *mut isize) -> c_uint =
            function(egl(c"eglQueryDeviceAttribEXT")?);
        query(device.raw_device(), CUDA_DEVICE, &raw mut number)
    };
    (is_told == 1).then_some(number)
}

/// A function of an extension of EGL.
fn egl(name: &CStr) -> Option<*mut c_void> {
    let library = open(c"libEGL.so.1")?;
    // SAFETY: the symbol has this signature in every libEGL.so.1, and the name ends with a zero.
    let found = unsafe {
        let address: extern "C" fn(*const c_char) -> *mut c_void = function(symbol(library, c"eglGetProcAddress")?);
        address(name.as_ptr())
    };
    (!found.is_null()).then_some(found)
}

/// A library, loaded for as long as the process lives.
fn open(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: these are libraries that a process that draws and runs networks loads anyway; the name ends with a zero.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
    (!library.is_null()).then_some(library)
}

fn symbol(library: *mut c_void, name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the library is loaded, and the name ends with a zero.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// An address as a function.
///
/// # Safety
/// `F` is a function pointer with the signature of what is there.
unsafe fn function<F: Copy>(address: *mut c_void) -> F {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: both are as wide as a pointer; the caller vouches for the rest.
    unsafe { std::mem::transmute_copy(&address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_egl_are_found_and_what_a_device_lacks_is_not_asked_for() {
        assert!(egl(c"eglQueryDeviceStringEXT").is_some());
        let devices: Vec<Device> = Device::query_devices().unwrap().collect();
        for device in &devices {
            let has = |name| device.extensions().contains(name);
            assert_eq!(number(device).is_some(), has("EGL_NV_device_cuda"));
            assert!(uuid(device).is_none() || has("EGL_EXT_device_persistent_id"));
        }
        if uuid_of_cuda().is_none() {
            assert!(device_of_cuda(devices.iter()).is_none());
        }
    }
}
