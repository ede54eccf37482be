//! How much memory there is, and how the C library's allocator, which FFmpeg, ONNX Runtime and Mesa use as well, keeps memory.

use std::path::Path;

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

/// Bytes that this process may have: the machine's, or less where a control group or a task of Slurm has less.
pub fn limit() -> u64 {
    let machine = rustix::system::sysinfo();
    let machine = (machine.totalram as u64).saturating_mul(machine.mem_unit.into());
    let megabytes = std::env::var("SLURM_MEM_PER_NODE").ok().and_then(|text| text.parse::<u64>().ok());
    // 0 is all of the node.
    let task = megabytes.filter(|&megabytes| megabytes > 0).map(|megabytes| megabytes << 20);
    [Some(machine), task, of_control_group()].into_iter().flatten().min().unwrap_or(machine)
}

/// The least of the limits of this process's control group and those around it (version 2).
fn of_control_group() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = |group: &Path| {
        let file = Path::new("/sys/fs/cgroup").join(group).join("memory.max");
        // "max" where there is none.
        std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()
    };
    Path::new(own).ancestors().filter_map(limit).min()
}
