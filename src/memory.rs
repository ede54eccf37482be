//! How the C library's allocator, which FFmpeg, ONNX Runtime and Mesa use as well, keeps memory.

/// Keeps freed blocks of up to 4 MB for the next frame: fresh pages from the system cost a fifth of the time. Larger ones go
/// back: among them are a picture's planes in the encoder and the decoder, whose holes small blocks would fill. (Left alone,
/// glibc has an arena for each thread, which takes a third more memory at 1080p.) To be called first of all.
pub fn tune() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in
        [(libc::M_MMAP_THRESHOLD, 4 << 20), (libc::M_TRIM_THRESHOLD, 16 << 20), (libc::M_ARENA_MAX, 2)]
    {
        // SAFETY: with parameters that glibc documents. A refusal changes nothing.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives what was freed and kept back to the system: for the end of a stretch of work that the next one is unlike.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
