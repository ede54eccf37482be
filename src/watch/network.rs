//! Which folders the system reports no changes of.

use std::path::Path;

/// File systems whose files others change (`man 2 statfs`, `linux/magic.h`): NFS, SMB, CIFS, SMB2, CODA, AFS, Ceph, 9P, FUSE
/// (sshfs and the like), VirtualBox's and VMware's shared folders.
const NETWORK: [u32; 12] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x7375_7245,
    0x5346_414f,
    0x00c3_6400,
    0x0102_1997,
    0x6573_5546,
    0x786f_4256,
    0xbacb_acbc,
    0x6b41_4653,
];

/// Whether a folder is on a drive that other machines write to, as far as the system says.
pub fn is_on_network(folder: &Path) -> bool {
    // The width of the number differs from system to system; its low 32 bits are the same.
    rustix::fs::statfs(folder).is_ok_and(|disk| NETWORK.contains(&(disk.f_type as u32)))
}
