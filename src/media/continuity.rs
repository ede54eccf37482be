//! Places where packets of a transport stream are missing: after a bad reception, say, or a copy with errors.
//!
//! Every packet carries a number of four bits that counts those of its stream (`continuity_counter`, ISO/IEC 13818-1, 2.4.3.3).
//! FFmpeg checks it, too, but what it finds is lost on the way to the decoder.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of a packet.
const PACKET: usize = 188;
/// First byte of every packet.
const SYNC: u8 = 0x47;
/// Bytes from one packet to the next: plain, with a time stamp before it (Blu-ray, camcorders), with error correction after it.
const DISTANCES: [usize; 3] = [188, 192, 204];
/// Packets that must begin where they should for a distance to be the right one.
const ENOUGH: usize = 5;

/// Goes through a file's packets of one stream, as far as it is asked.
pub(super) struct Continuity {
    file: BufReader<File>,
    /// Place of the next packet in the file, bytes.
    position: u64,
    /// From one packet to the next, bytes.
    distance: usize,
    /// Number by which packets of the stream are known.
    pid: u16,
    /// The last packet's number.
    counter: Option<u8>,
    /// Where the frame begins that is being read, and where the next one to judge.
    frame: i64,
    holes: Vec<i64>,
}

impl Continuity {
    /// For the stream `pid` of a file; `None` where the file cannot be read this way.
    pub fn open(path: &Path, pid: i32) -> Option<Self> {
        let mut file = BufReader::with_capacity(1 << 18, File::open(path).ok()?);
        let mut begin = Vec::new();
        let longest = DISTANCES[2] * (ENOUGH + 1);
        file.by_ref().take(longest as u64).read_to_end(&mut begin).ok()?;
        let fits = |&(distance, first): &(usize, usize)| {
            (0..ENOUGH).all(|at| begin.get(first + at * distance).is_some_and(|&byte| byte == SYNC))
        };
        let (distance, first) =
            DISTANCES.iter().flat_map(|&distance| (0..distance).map(move |first| (distance, first))).find(fits)?;
        file.seek(SeekFrom::Start(first as u64)).ok()?;
        let pid = u16::try_from(pid).ok()?;
        Some(Self { file, position: first as u64, distance, pid, counter: None, frame: -1, holes: Vec::new() })
    }

    /// The last frame that is damaged itself, or comes after missing ones, among those up to that which begins at `position` (as
    /// FFmpeg counts it): where it begins, or the byte before where nothing of it is missing.
    pub fn damage_until(&mut self, position: i64) -> Option<i64> {
        while self.frame <= position && self.read().is_some() {}
        let known = self.holes.partition_point(|&hole| hole <= position);
        self.holes.drain(..known).next_back()
    }

    /// Reads one packet.
    fn read(&mut self) -> Option<()> {
        let mut packet = [0; PACKET];
        self.file.read_exact(&mut packet).ok()?;
        if packet[0] != SYNC {
            // Bytes are missing, or too many: on to what looks like a packet.
            let further = packet.iter().skip(1).position(|&byte| byte == SYNC).map_or(PACKET, |at| at + 1);
            self.position += further as u64;
            self.file.seek_relative(further as i64 - PACKET as i64).ok()?;
            return Some(());
        }
        let start = self.position as i64 + PACKET as i64 - self.distance as i64;
        self.position += self.distance as u64;
        self.file.seek_relative(self.distance as i64 - PACKET as i64).ok()?;
        if u16::from_be_bytes([packet[1] & 0x1f, packet[2]]) != self.pid {
            return Some(());
        }
        let begins_frame = packet[1] & 0x40 != 0;
        let [has_fields, has_payload] = [packet[3] & 0x20 != 0, packet[3] & 0x10 != 0];
        let may_jump = has_fields && packet[4] > 0 && packet[5] & 0x80 != 0;
        let counter = packet[3] & 0x0f;
        // A packet may be sent twice; those without payload are not counted.
        let goes_on = |before: u8| counter == before || (has_payload && counter == (before + 1) % 16);
        if !may_jump && self.counter.is_some_and(|before| !goes_on(before)) {
            self.holes.push(if begins_frame { start - 1 } else { self.frame });
        }
        self.counter = Some(counter);
        if begins_frame {
            self.frame = start;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Packets of stream 256: the counter, and whether a frame begins.
    fn file(packets: &[(u8, bool)], distance: usize) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for &(counter, begins) in packets {
            let mut bytes = vec![0xff; distance];
            let at = if distance == 192 { 4 } else { 0 };
            bytes[at..at + 4].copy_from_slice(&[SYNC, 1 | u8::from(begins) << 6, 0, 0x10 | counter]);
            file.write_all(&bytes).unwrap();
        }
        file
    }

    #[test]
    fn missing_packets_are_found_and_sent_twice_is_no_damage() {
        // A frame of two packets, one of two of which the second is sent twice, one whose second of three is missing, and one
        // before which a whole one is.
        let packets = [
            (14, true),
            (15, false),
            (0, true),
            (1, false),
            (1, false),
            (2, true),
            (4, false),
            (7, true),
            (8, false),
            (9, true),
        ];
        for distance in DISTANCES {
            let file = file(&packets, distance);
            let place = |at: usize| (at * distance) as i64 + if distance == 204 { -16 } else { 0 };
            let mut found = Continuity::open(file.path(), 256).unwrap();
            let damage: Vec<_> = [0, 2, 5, 7, 9].map(|at| found.damage_until(place(at))).into();
            assert_eq!(damage, [None, None, Some(place(5)), Some(place(7) - 1), None], "{distance}");
        }
    }
}
