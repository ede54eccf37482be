//! What a file says of itself beside its pictures, and what a result does not say that its source said: languages, titles, tags, chapters,
//! when sound begins.
//!
//! Containers drop what they have no place for, and muxers do not tell of it. So the finished file is read and compared.

use std::collections::{BTreeMap, BTreeSet};

use ffmpeg::ffi;
use ffmpeg::format::context::Input;
use ffmpeg::media::Type;
use ffmpeg_next as ffmpeg;

use super::av::each_entry;

/// Seconds by which sound may begin otherwise than it was written: what encoders put before it is counted differently.
const EARLY: f64 = 0.05;
/// Seconds by which it may end otherwise.
const ENDS: f64 = 0.25;
/// Tags that are named in one sentence.
const NAMED: usize = 8;
/// Tags that say something of the file they are in, or that are looked at on their own.
const OF_THE_FILE: [&str; 6] = ["encoder", "major_brand", "minor_version", "compatible_brands", "duration", "timecode"];

/// What streams are for, by the flags that a container may have for it.
const PURPOSES: [(i32, &str); 7] = [
    (ffi::AV_DISPOSITION_ATTACHED_PIC, "cover"),
    (ffi::AV_DISPOSITION_FORCED, "forced"),
    (ffi::AV_DISPOSITION_HEARING_IMPAIRED, "for the hearing impaired"),
    (ffi::AV_DISPOSITION_VISUAL_IMPAIRED, "for the visually impaired"),
    (ffi::AV_DISPOSITION_COMMENT, "commentary"),
    (ffi::AV_DISPOSITION_DUB, "dubbed"),
    (ffi::AV_DISPOSITION_ORIGINAL, "original"),
];

/// What a file says of itself beside its pictures.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Description {
    /// The video.
    video: StreamDescription,
    /// All of them at first; those beside the video that were kept, later.
    pub streams: Vec<StreamDescription>,
    /// Names in small letters.
    tags: BTreeMap<String, String>,
    /// Of the first picture.
    time_code: Option<String>,
    chapters: usize,
}

/// What a file says of one of its streams beside the video.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct StreamDescription {
    /// For messages.
    pub name: String,
    kind: i32,
    language: Option<String>,
    title: Option<String>,
    disposition: i32,
    /// When it begins and ends, in seconds of the file's clock, if it has packets.
    pub span: Option<[f64; 2]>,
}

impl StreamDescription {
    /// Takes in that something of it lasts from `begin` to `end`, seconds.
    pub fn extend(&mut self, begin: f64, end: f64) {
        let [first, last] = self.span.unwrap_or([begin, end]);
        self.span = Some([first.min(begin), last.max(end)]);
    }
}

impl Description {
    /// Counts times of streams from `start` on, seconds.
    pub fn count_from(&mut self, start: f64) {
        for span in self.streams.iter_mut().filter_map(|stream| stream.span.as_mut()) {
            *span = span.map(|time| time - start);
        }
    }

    /// Of an open file whose video is the stream of this index.
    pub fn of(input: &Input, video: usize) -> Self {
        let all = |dictionary: *const ffi::AVDictionary| {
            let mut all = BTreeMap::new();
            // SAFETY: the metadata of the open file; texts are copied.
            unsafe {
                each_entry(dictionary, |key, value| {
                    all.insert(key.to_string_lossy().to_lowercase(), value.to_string_lossy().into_owned());
                });
            }
            all
        };
        // SAFETY: fields of live structures.
        let of_streams: Vec<_> = input.streams().map(|s| all(unsafe { (*s.as_ptr()).metadata })).collect();
        // SAFETY: as above.
        let tags = all(unsafe { (*input.as_ptr()).metadata });
        let time_code = of_streams.get(video).into_iter().chain([&tags]).find_map(|tags| tags.get("timecode").cloned());
        let streams = input
            .streams()
            .zip(&of_streams)
            .map(|(stream, tags)| StreamDescription {
                name: String::new(),
                kind: ffi::AVMediaType::from(stream.parameters().medium()) as i32,
                language: tags.get("language").filter(|language| *language != "und").cloned(),
                title: tags.get("title").cloned(),
                // SAFETY: a number of a live stream.
                disposition: unsafe { (*stream.as_ptr()).disposition },
                span: None,
            })
            .collect::<Vec<StreamDescription>>();
        let video = streams.get(video).cloned().unwrap_or_default();
        Self {
            video: StreamDescription { name: "the video".to_owned(), ..video },
            streams,
            tags,
            time_code,
            chapters: input.nb_chapters() as usize,
        }
    }

    /// What `result`, a file of the kind `container`, does not have of this, in sentences. `source` and `result` have the streams
    /// beside the video that were written and read, with their spans counted from the first frame.
    pub fn lost_in(&self, result: &Self, container: &str) -> Vec<String> {
        let mut lost = Vec::new();
        let counterparts = self.counterparts(result);
        let found = || counterparts.iter().filter_map(|(from, to)| Some((*from, (*to)?)));
        let pairs = || [(&self.video, &result.video)].into_iter().chain(found());
        let mut tell = |what: &str, names: Vec<String>| {
            if !names.is_empty() {
                lost.push(format!("'{container}' files do not hold {what}; that is lost: {}", listed(&names)));
            }
        };
        let missing = counterparts.iter().filter(|(_, to)| to.is_none()).map(|(from, _)| from.name.clone());
        tell("all streams of the source", missing.collect());
        let language = |(from, to): (&StreamDescription, &StreamDescription)| {
            let is_lost = from.language.is_some() && from.language != to.language;
            is_lost.then(|| from.name.clone())
        };
        tell("every language", pairs().filter_map(language).collect());
        let title = |(from, to): (&StreamDescription, &StreamDescription)| {
            let title = from.title.as_ref().filter(|_| from.title != to.title)?;
            Some(format!("“{title}” of {}", from.name))
        };
        tell("titles of streams", pairs().filter_map(title).collect());
        let purposes = pairs().flat_map(|(from, to)| {
            let is_lost = move |&&(flag, _): &&(i32, &str)| from.disposition & flag != 0 && to.disposition & flag == 0;
            PURPOSES.iter().filter(is_lost).map(|(_, purpose)| format!("“{purpose}” of {}", from.name))
        });
        tell("what streams are for", purposes.collect());
        if self.chapters > result.chapters {
            tell("chapters", vec![format!("{} of {}", self.chapters - result.chapters, self.chapters)]);
        }
        tell("time codes", self.time_code.clone().filter(|_| self.time_code != result.time_code).into_iter().collect());
        // Names of tags are the container's own; what they say is compared.
        let said: BTreeSet<&str> = result.tags.values().map(String::as_str).collect();
        let is_said = |key: &str, value: &str| match key {
            // To the second.
            "creation_time" => said.iter().any(|text| text.get(..19) == value.get(..19)),
            _ => said.contains(value),
        };
        let is_lost = |(key, value): &(&String, &String)| !OF_THE_FILE.contains(&key.as_str()) && !is_said(key, value);
        tell("all tags", self.tags.iter().filter(is_lost).map(|(key, _)| key.clone()).collect());
        lost.extend(pairs().filter_map(|(from, to)| out_of_step(from, to, container)));
        lost
    }

    /// Each stream with that of the result which has the same kind and, among those of the kind, the same place.
    fn counterparts<'a>(&'a self, result: &'a Self) -> Vec<(&'a StreamDescription, Option<&'a StreamDescription>)> {
        let place = |at: usize| self.streams[..at].iter().filter(|s| s.kind == self.streams[at].kind).count();
        let counterpart = |at: usize| result.streams.iter().filter(|s| s.kind == self.streams[at].kind).nth(place(at));
        (0..self.streams.len()).map(|at| (&self.streams[at], counterpart(at))).collect()
    }
}

/// What is to be said where sound does not begin and end as it was written.
fn out_of_step(written: &StreamDescription, read: &StreamDescription, container: &str) -> Option<String> {
    let ([begin, end], [begins, ends]) = (written.span?, read.span?);
    let is_sound = written.kind == ffi::AVMediaType::from(Type::Audio) as i32;
    if !is_sound || ((begin - begins).abs() <= EARLY && (end - ends).abs() <= ENDS) {
        return None;
    }
    Some(format!(
        "{} is not in step in '{container}' files: it is heard from {begins:.2} s to {ends:.2} s instead of from {begin:.2} s \
         to {end:.2} s, counted from the first frame",
        written.name
    ))
}

/// Names in a row, of many only the first.
fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let first = names[..names.len() - more].join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}
