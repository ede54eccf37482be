//! What is done of a job, on disk piece by piece: a process that dies loses a few seconds of work.
//!
//! A folder of plain files for each job. A piece is written under a name for now and gets its own when all of it is on disk, so it is there
//! whole or not at all, whenever the process or the machine dies. Nothing is locked, and nothing that is there is changed. Pieces may come
//! in any order, from several threads and from several processes. What follows from a piece is made again: whoever goes on from a checkpoint
//! gets the same results, byte for byte, as who never stopped.
//!
//! In the folder is another one, named by a sum of the job's description and of the version of the files. So a process that still works by
//! another description cannot spoil what is there.
//!
//! | file | what it holds |
//! |---|---|
//! | `begun` | nothing: whoever finds it may go on |
//! | `observed-S-A-B` | frames A to B as the stretch that begins with frame S observed them; with `-end` they are its last |
//! | `fitted` | the fitted people |
//! | `drawn-A-B` | the compressed pictures of frames A to B |

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;

use crate::checksum;
use crate::media::Packet;

/// Version of what is in the files, what the tracker remembers included; a checkpoint of another version is begun anew.
const FORMAT: u32 = 19;

const BEGUN: &str = "begun";
const FITTED: &str = "fitted";
/// Ends the name of a stretch's last piece.
const LAST: &str = "-end";
/// Begins the names of files that are being written.
const UNFINISHED: &str = ".unfinished-";
/// Age of such a file from which on nobody writes it any more.
const OLD: Duration = Duration::from_secs(3600);

/// Why a checkpoint cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("what is done cannot be written down in {}: {source}", path.display())]
pub struct CheckpointError {
    /// The file or folder.
    path: PathBuf,
    source: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error("it makes no sense: {0}")]
    Form(#[from] postcard::Error),
}

impl CheckpointError {
    /// Whether there is no room.
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(&self.source, Cause::Disk(error) if matches!(error.kind(), StorageFull | QuotaExceeded))
    }

    /// Whether what is there cannot be understood.
    pub fn is_beyond_use(&self) -> bool {
        matches!(self.source, Cause::Form(_))
    }
}

/// Names the file in an error.
fn at<T, E: Into<Cause>>(path: &Path, result: Result<T, E>) -> Result<T, CheckpointError> {
    result.map_err(|source| CheckpointError { path: path.to_owned(), source: source.into() })
}

/// The checkpoint of one job.
pub struct Checkpoint {
    /// That of the description.
    folder: PathBuf,
}

impl Checkpoint {
    /// Opens the checkpoint of the job with this description in a folder, or begins one. What is there of another description goes.
    ///
    /// # Errors
    /// Those of the disk, which may pass; so have all methods below.
    pub fn open(folder: &Path, job: &str) -> Result<Self, CheckpointError> {
        let checkpoint = Self::of(folder, job);
        match checkpoint.is_begun()? {
            true => checkpoint.remove_left()?,
            false => checkpoint.begin(folder)?,
        }
        Ok(checkpoint)
    }

    /// Opens one that somebody else has begun, to work on the same job; `None` where there is none of this description.
    pub fn join(folder: &Path, job: &str) -> Result<Option<Self>, CheckpointError> {
        let checkpoint = Self::of(folder, job);
        Ok(checkpoint.is_begun()?.then_some(checkpoint))
    }

    fn of(folder: &Path, job: &str) -> Self {
        let sum = checksum::of(format!("{FORMAT} {job}").as_bytes());
        Self { folder: folder.join(&checksum::hex(&sum)[..16]) }
    }

    fn is_begun(&self) -> Result<bool, CheckpointError> {
        let path = self.folder.join(BEGUN);
        match path.symlink_metadata() {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => at(&path, Err(error)),
        }
    }

    /// Makes the folder anew.
    fn begin(&self, around: &Path) -> Result<(), CheckpointError> {
        if around.symlink_metadata().is_ok_and(|there| !there.is_dir()) {
            at(around, std::fs::remove_file(around))?;
        }
        if !around.is_dir() {
            at(around, std::fs::create_dir(around))?;
        }
        for name in names(around)? {
            let path = around.join(name);
            at(&path, if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) })?;
        }
        at(&self.folder, std::fs::create_dir(&self.folder))?;
        let begun = self.folder.join(BEGUN);
        at(&begun, std::fs::write(&begun, ""))?;
        at(around, File::open(around).and_then(|folder| folder.sync_all()))
    }

    /// Removes the files whose names are such.
    fn remove(&self, is_such: impl Fn(&str) -> bool) -> Result<(), CheckpointError> {
        for name in names(&self.folder)? {
            if is_such(&name) {
                let path = self.folder.join(name);
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => at(&path, removed)?,
                }
            }
        }
        Ok(())
    }

    /// Removes what those have left who died while they wrote. Others may be writing now.
    fn remove_left(&self) -> Result<(), CheckpointError> {
        let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
        // The clock of the disk, which may be another machine's.
        let now = at(&self.folder, modified(Unfinished::new(&self.folder)?.out.get_ref().path()))?;
        let is_old = |name: &str| modified(&self.folder.join(name)).is_ok_and(|then| now > then + OLD);
        self.remove(|name| name.starts_with(UNFINISHED) && is_old(name))
    }

    /// Makes the next [`Checkpoint::open`] begin anew.
    pub fn forget(&self) -> Result<(), CheckpointError> {
        self.remove(|name| name == BEGUN)
    }

    fn put<T: Serialize>(&self, name: &str, piece: &T) -> Result<(), CheckpointError> {
        let path = self.folder.join(name);
        let mut file = Unfinished::new(&self.folder)?;
        let bytes = at(&path, postcard::to_allocvec(piece))?;
        at(&path, file.out.write_all(&bytes))?;
        file.finish(&path)
    }

    fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T, CheckpointError> {
        let path = self.folder.join(name);
        let bytes = at(&path, std::fs::read(&path))?;
        at(&path, postcard::from_bytes(&bytes))
    }

    /// Writes down the fitted people, piece by piece.
    pub fn add_fitted<T: Serialize>(&self, pieces: impl Iterator<Item = T>) -> Result<(), CheckpointError> {
        let path = self.folder.join(FITTED);
        let mut file = Unfinished::new(&self.folder)?;
        for piece in pieces {
            let bytes = at(&path, postcard::to_allocvec(&piece))?;
            at(&path, file.add(&bytes))?;
        }
        file.finish(&path)
    }

    /// The pieces of the fitted people, in order; `None` where they are not fitted yet.
    pub fn fitted<T: DeserializeOwned>(&self) -> Result<Option<Vec<T>>, CheckpointError> {
        let path = self.folder.join(FITTED);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => at(&path, opened)?,
        };
        let (mut file, mut pieces) = (BufReader::new(file), Vec::new());
        while let Some(bytes) = at(&path, next(&mut file))? {
            pieces.push(at(&path, postcard::from_bytes(&bytes))?);
        }
        Ok(Some(pieces))
    }

    /// What the stretch that begins with frame `stretch` observed so far, in order.
    pub fn observed<T: DeserializeOwned>(&self, stretch: u64) -> Result<Vec<T>, CheckpointError> {
        let pieces = self.observed_pieces(stretch)?;
        chain(stretch, &pieces).into_iter().map(|piece| self.get(&piece.name())).collect()
    }

    /// How far each stretch was observed, by its first frame, and whether that is all of it.
    pub fn observed_until(&self) -> Result<BTreeMap<u64, (u64, bool)>, CheckpointError> {
        let all = pieces(&self.folder)?;
        let by_stretch = all.chunk_by(|a, b| a.pass == b.pass).filter_map(|pieces| match pieces[0].pass {
            Pass::Observed { stretch } => Some((stretch, pieces)),
            Pass::Drawn => None,
        });
        let until = |piece: &Piece| (piece.frames.end, piece.is_last);
        Ok(by_stretch.filter_map(|(stretch, pieces)| Some((stretch, until(chain(stretch, pieces).last()?)))).collect())
    }

    fn observed_pieces(&self, stretch: u64) -> Result<Vec<Piece>, CheckpointError> {
        Ok(pieces(&self.folder)?.into_iter().filter(|piece| piece.pass == Pass::Observed { stretch }).collect())
    }

    /// Adds frames that were observed by the stretch that begins with frame `stretch`, perhaps its last (`is_last`): then there may be
    /// none.
    pub fn add_observed<T: Serialize>(
        &self,
        stretch: u64,
        frames: Range<u64>,
        is_last: bool,
        piece: &T,
    ) -> Result<(), CheckpointError> {
        self.put(&Piece { pass: Pass::Observed { stretch }, frames, is_last }.name(), piece)
    }

    /// Frames from the first one on that are in the segments of the drawing pass, without a gap.
    pub fn drawn(&self) -> Result<u64, CheckpointError> {
        let drawn = self.drawn_segments()?;
        Ok(drawn.into_iter().fold(0, |end, segment| if segment.start == end { segment.end } else { end }))
    }

    /// The segments of the drawing pass so far: their frames, in order.
    pub fn drawn_segments(&self) -> Result<Vec<Range<u64>>, CheckpointError> {
        let mut all: Vec<Range<u64>> = Vec::new();
        for Piece { frames, .. } in pieces(&self.folder)?.into_iter().filter(|piece| piece.pass == Pass::Drawn) {
            if all.last().is_none_or(|before| before.end <= frames.start) {
                all.push(frames);
            }
        }
        Ok(all)
    }

    /// Whether there is a segment that begins with this frame.
    pub fn is_drawn(&self, first: u64) -> Result<bool, CheckpointError> {
        Ok(self.drawn_segments()?.iter().any(|segment| segment.start == first))
    }

    /// Whether the fitted people are there.
    pub fn is_fitted(&self) -> Result<bool, CheckpointError> {
        Ok(names(&self.folder)?.iter().any(|name| name == FITTED))
    }

    /// Begins a segment of the drawing pass with this frame. Several may be under way at the same time.
    pub fn begin_drawn(&self, first: u64) -> Result<Segment, CheckpointError> {
        Ok(Segment { folder: self.folder.clone(), first, file: Unfinished::new(&self.folder)? })
    }

    /// Stamps of all packets, in order.
    pub fn stamps(&self) -> Result<Vec<i64>, CheckpointError> {
        let mut stamps = Vec::new();
        for frames in self.drawn_segments()? {
            let (path, mut file) = self.open_drawn(frames)?;
            while let Some(about) = at(&path, next(&mut file))? {
                let (stamp, _, _): (i64, i64, i32) = at(&path, postcard::from_bytes(&about))?;
                stamps.push(stamp);
                at(&path, skip(&mut file))?;
            }
        }
        Ok(stamps)
    }

    /// Gives all packets in order.
    pub fn each_packet<E: From<CheckpointError>>(
        &self,
        mut take: impl FnMut(Packet) -> Result<(), E>,
    ) -> Result<(), E> {
        for frames in self.drawn_segments()? {
            let (path, mut file) = self.open_drawn(frames)?;
            while let Some(about) = at(&path, next(&mut file))? {
                let (stamp, duration, flags) = at(&path, postcard::from_bytes(&about))?;
                let data = at(&path, next(&mut file).and_then(|data| data.ok_or_else(cut_off)))?;
                take(Packet { data, stamp, duration, flags })?;
            }
        }
        Ok(())
    }

    fn open_drawn(&self, frames: Range<u64>) -> Result<(PathBuf, BufReader<File>), CheckpointError> {
        let path = self.folder.join(Piece::drawn(frames).name());
        let file = BufReader::with_capacity(1 << 16, at(&path, File::open(&path))?);
        Ok((path, file))
    }
}

/// A segment that is being drawn. Nothing is left of one that is not completed.
pub struct Segment {
    folder: PathBuf,
    first: u64,
    file: Unfinished,
}

impl Segment {
    /// Adds packets.
    pub fn add(&mut self, packets: &[Packet]) -> Result<(), CheckpointError> {
        for Packet { data, stamp, duration, flags } in packets {
            let about = at(&self.folder, postcard::to_allocvec(&(stamp, duration, flags)))?;
            at(&self.folder, self.file.add(&about).and_then(|()| self.file.add(data)))?;
        }
        Ok(())
    }

    /// Completes it: the next one begins at frame `next`. Gives its frames.
    pub fn complete(self, next: u64) -> Result<Range<u64>, CheckpointError> {
        let frames = self.first..next;
        self.file.finish(&self.folder.join(Piece::drawn(frames.clone()).name()))?;
        Ok(frames)
    }
}

/// A file that is being written.
struct Unfinished {
    folder: PathBuf,
    out: BufWriter<NamedTempFile>,
}

impl Unfinished {
    fn new(folder: &Path) -> Result<Self, CheckpointError> {
        let file = at(folder, tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder))?;
        Ok(Self { folder: folder.to_owned(), out: BufWriter::with_capacity(1 << 16, file) })
    }

    /// Adds bytes that [`next`] gives again as a whole.
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(&(bytes.len() as u64).to_le_bytes())?;
        self.out.write_all(bytes)
    }

    /// Gives it its name, once all of it is on disk.
    fn finish(self, path: &Path) -> Result<(), CheckpointError> {
        let file = at(path, self.out.into_inner().map_err(io::IntoInnerError::into_error))?;
        at(path, file.as_file().sync_all())?;
        if path.exists() {
            // Somebody else has made the same. What others may be reading is left alone.
            return Ok(());
        }
        at(path, file.persist(path).map_err(|error| error.error))?;
        at(&self.folder, File::open(&self.folder).and_then(|folder| folder.sync_all()))
    }
}

/// The next bytes of a file to which [`Unfinished::add`] has added them; `None` at its end.
fn next(file: &mut BufReader<File>) -> Result<Option<Vec<u8>>, Cause> {
    let Some(length) = next_length(file)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(Some(bytes)) } else { Err(cut_off()) }
}

/// Passes over the bytes that [`next`] would give.
fn skip(file: &mut BufReader<File>) -> Result<(), Cause> {
    let length = next_length(file)?.and_then(|length| i64::try_from(length).ok()).ok_or_else(cut_off)?;
    Ok(file.seek_relative(length)?)
}

fn next_length(file: &mut BufReader<File>) -> Result<Option<u64>, Cause> {
    let mut length = Vec::with_capacity(8);
    file.take(8).read_to_end(&mut length)?;
    match <[u8; 8]>::try_from(&length[..]) {
        Ok(length) => Ok(Some(u64::from_le_bytes(length))),
        Err(_) if length.is_empty() => Ok(None),
        Err(_) => Err(cut_off()),
    }
}

/// A file ends too early.
fn cut_off() -> Cause {
    Cause::Form(postcard::Error::DeserializeUnexpectedEnd)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pass {
    /// By the stretch that begins with this frame.
    Observed {
        stretch: u64,
    },
    Drawn,
}

/// A piece of a pass, by its file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    pass: Pass,
    frames: Range<u64>,
    /// Nothing of its stretch follows.
    is_last: bool,
}

impl Piece {
    fn drawn(frames: Range<u64>) -> Self {
        Self { pass: Pass::Drawn, frames, is_last: false }
    }

    fn name(&self) -> String {
        let Range { start, end } = self.frames;
        match self.pass {
            Pass::Observed { stretch } => {
                let last = if self.is_last { LAST } else { "" };
                format!("observed-{stretch}-{start}-{end}{last}")
            }
            Pass::Drawn => format!("drawn-{start}-{end}"),
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        let (name, is_last) = name.strip_suffix(LAST).map_or((name, false), |name| (name, true));
        let (kind, numbers) = name.split_once('-')?;
        let numbers: Vec<u64> = numbers.split('-').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        match (kind, &numbers[..]) {
            ("observed", &[stretch, start, end]) => {
                Some(Self { pass: Pass::Observed { stretch }, frames: start..end, is_last })
            }
            ("drawn", &[start, end]) => Some(Self::drawn(start..end)),
            _ => None,
        }
    }
}

/// Names of all files in a folder.
fn names(folder: &Path) -> Result<Vec<String>, CheckpointError> {
    let read = || std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>();
    Ok(at(folder, read())?.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

/// All pieces in a folder, in the order of the passes and their frames.
fn pieces(folder: &Path) -> Result<Vec<Piece>, CheckpointError> {
    let mut all: Vec<Piece> = names(folder)?.iter().filter_map(|name| Piece::of_name(name)).collect();
    all.sort_by_key(|piece| (piece.pass, piece.frames.start, piece.frames.end, piece.is_last));
    Ok(all)
}

/// The pieces that follow each other from a frame on; of several that begin with the same frame the longest one. Where two workers were at
/// the same job for a moment, each has cut it into pieces in its own way, and either's are good.
fn chain(from: u64, sorted: &[Piece]) -> Vec<&Piece> {
    let (mut all, mut at) = (Vec::new(), from);
    while let Some(piece) = sorted.iter().rev().find(|piece| piece.frames.start == at) {
        all.push(piece);
        if piece.is_last || piece.frames.is_empty() {
            break;
        }
        at = piece.frames.end;
    }
    all
}

/// Frames in the pieces of both passes in a checkpoint, whatever job it is of; none when it cannot be read.
pub fn frames_written_down(folder: &Path) -> u64 {
    let all = names(folder).unwrap_or_default().into_iter().filter_map(|name| pieces(&folder.join(name)).ok());
    all.flatten().map(|piece| piece.frames.end.saturating_sub(piece.frames.start)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(stamp: i64) -> Packet {
        Packet { data: vec![stamp as u8; 3], stamp, duration: 1, flags: 0 }
    }

    fn add_drawn(checkpoint: &Checkpoint, stamps: Range<i64>) {
        let mut segment = checkpoint.begin_drawn(stamps.start.unsigned_abs()).unwrap();
        let packets: Vec<Packet> = stamps.clone().map(packet).collect();
        segment.add(&packets).unwrap();
        segment.complete(stamps.end.unsigned_abs()).unwrap();
    }

    #[test]
    fn what_cannot_be_opened_now_is_not_begun_anew() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("jobs").join("1.checkpoint");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        Checkpoint::open(&path, "a").unwrap().add_observed(0, 0..2, false, &1u8).unwrap();
        // As when a disk is away: nothing can be opened there, and nothing is begun.
        let away = root.path().join("away");
        std::fs::rename(path.parent().unwrap(), &away).unwrap();
        assert!(Checkpoint::open(&path, "a").is_err());
        std::fs::rename(&away, path.parent().unwrap()).unwrap();
        assert_eq!(Checkpoint::open(&path, "a").unwrap().observed::<u8>(0).unwrap(), [1]);
    }

    #[test]
    fn pieces_of_a_stretch_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::open(folder.path(), "a").unwrap();
        let add = |stretch, frames, piece: u8| {
            checkpoint.add_observed(stretch, frames, [3, 4].contains(&piece), &piece).unwrap();
        };
        add(0, 0..100, 1);
        add(0, 100..121, 2);
        // The end of a clip whose last frame was a keyframe has no frames of its own.
        add(0, 121..121, 3);
        // Another stretch, and what another worker cut differently before it was told to end.
        add(110, 110..200, 4);
        add(0, 0..90, 5);
        add(0, 90..110, 6);
        assert_eq!(checkpoint.observed::<u8>(0).unwrap(), [1, 2, 3]);
        assert_eq!(checkpoint.observed::<u8>(110).unwrap(), [4]);
        assert!(checkpoint.observed::<u8>(90).unwrap().is_empty());
        add(300, 300..310, 7);
        let until = checkpoint.observed_until().unwrap();
        assert_eq!(until, BTreeMap::from([(0, (121, true)), (110, (200, true)), (300, (310, false))]));
        // What is there is not written over.
        add(300, 300..310, 8);
        assert_eq!(checkpoint.observed::<u8>(300).unwrap(), [7]);
    }

    #[test]
    fn what_was_solved_is_there_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("1.checkpoint");
        let checkpoint = Checkpoint::open(&path, "a").unwrap();
        assert_eq!(checkpoint.fitted::<u8>().unwrap(), None);
        checkpoint.add_fitted([7u8, 8].into_iter()).unwrap();
        let checkpoint = Checkpoint::open(&path, "a").unwrap();
        assert_eq!(checkpoint.fitted::<u8>().unwrap(), Some(vec![7, 8]));
        // What is of another kind, or cut off, is no reason to fail for ever.
        assert!(checkpoint.fitted::<String>().unwrap_err().is_beyond_use());
        let whole = std::fs::read(checkpoint.folder.join(FITTED)).unwrap();
        std::fs::write(checkpoint.folder.join(FITTED), &whole[..whole.len() - 1]).unwrap();
        assert!(checkpoint.fitted::<u8>().unwrap_err().is_beyond_use());
        assert_eq!(Checkpoint::open(&path, "b").unwrap().fitted::<u8>().unwrap(), None);
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)] // ranges are what is meant
    fn segments_may_be_drawn_at_the_same_time() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::open(folder.path(), "a").unwrap();
        // The second of three is completed while the first has a packet; of the third there is one as well.
        let [mut first, mut second, mut third] = [0, 5, 10].map(|first| checkpoint.begin_drawn(first).unwrap());
        second.add(&[packet(5)]).unwrap();
        first.add(&[packet(0)]).unwrap();
        third.add(&[packet(10)]).unwrap();
        second.add(&[packet(6)]).unwrap();
        assert_eq!(second.complete(10).unwrap(), 5..10);
        assert_eq!((checkpoint.drawn().unwrap(), checkpoint.drawn_segments().unwrap()), (0, vec![5..10]));
        drop((first, third));
        assert_eq!(checkpoint.stamps().unwrap(), [5, 6]);
        add_drawn(&checkpoint, 0..5);
        assert_eq!((checkpoint.drawn().unwrap(), checkpoint.stamps().unwrap()), (10, vec![0, 1, 2, 3, 4, 5, 6]));
        assert_eq!(frames_written_down(folder.path()), 10);
        assert_eq!(names(&checkpoint.folder).unwrap().len(), 3);
    }

    #[test]
    fn only_whole_segments_of_the_same_job_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("1.checkpoint");
        // Something else was there.
        std::fs::write(&path, "no checkpoint").unwrap();
        let checkpoint = Checkpoint::open(&path, "a").unwrap();
        checkpoint.add_observed(0, 0..2, false, &("first", 1.5f32)).unwrap();
        add_drawn(&checkpoint, 0..2);
        // Somebody dies in the middle of a segment.
        let mut segment = checkpoint.begin_drawn(2).unwrap();
        segment.add(&[packet(3)]).unwrap();
        let left = segment.file.out.get_ref().path().to_owned();
        std::mem::forget(segment);
        // Or is still at work somewhere else.
        let folder = Checkpoint::open(&path, "a").unwrap().folder;
        assert_eq!(names(&folder).unwrap().len(), 4);
        let long_ago = std::time::SystemTime::now() - 2 * OLD;
        File::options().write(true).open(left).unwrap().set_modified(long_ago).unwrap();

        assert!(Checkpoint::join(&path, "b").unwrap().is_none());
        assert!(Checkpoint::join(&path, "a").unwrap().is_some());
        let checkpoint = Checkpoint::open(&path, "a").unwrap();
        assert_eq!(names(&folder).unwrap().len(), 3);
        assert_eq!(checkpoint.observed::<(String, f32)>(0).unwrap(), [("first".to_owned(), 1.5)]);
        assert_eq!(checkpoint.drawn().unwrap(), 2);
        assert_eq!(checkpoint.stamps().unwrap(), [0, 1]);
        let mut packets = Vec::new();
        let take = |packet| {
            packets.push(packet);
            Ok::<_, CheckpointError>(())
        };
        checkpoint.each_packet(take).unwrap();
        assert_eq!(packets, [packet(0), packet(1)]);

        assert_eq!((frames_written_down(&path), frames_written_down(&root.path().join("2.checkpoint"))), (4, 0));
        let checkpoint = Checkpoint::open(&path, "b").unwrap();
        assert_eq!((checkpoint.drawn().unwrap(), checkpoint.stamps().unwrap()), (0, Vec::new()));
        checkpoint.add_observed(0, 0..2, false, &1).unwrap();
        checkpoint.forget().unwrap();
        assert!(Checkpoint::open(&path, "b").unwrap().observed::<u8>(0).unwrap().is_empty());
        // Of another description nothing is left, and who still works by it writes nothing here.
        let late = Checkpoint::open(&path, "b").unwrap();
        assert_eq!(names(&path).unwrap().len(), 1);
        drop(Checkpoint::open(&path, "c").unwrap());
        assert!(late.add_observed(0, 0..2, false, &1).is_err());
        assert_eq!(frames_written_down(&path), 0);
    }
}
