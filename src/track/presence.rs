//! Who is there when: an index by time, so that people need to be compared only with those who are there at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

use super::link::Person;

/// First to last frame of a person; `None` of nobody.
pub(super) fn span(person: &Person) -> Option<RangeInclusive<u64>> {
    Some(*person.keys().next()?..=*person.keys().next_back()?)
}

/// For each stretch of some frames the people (by index) who are there at least in part of it.
pub(super) struct Presence {
    /// Frames of a stretch.
    frames: u64,
    people: BTreeMap<u64, BTreeSet<usize>>,
}

impl Presence {
    /// Of people who are there in these spans of frames, by stretches of `frames`.
    pub fn new(spans: impl Iterator<Item = Option<RangeInclusive<u64>>>, frames: u64) -> Self {
        let mut presence = Self { frames: frames.max(1), people: BTreeMap::new() };
        for (person, span) in spans.enumerate() {
            presence.change(person, None, span);
        }
        presence
    }

    fn stretches(&self, span: &RangeInclusive<u64>) -> RangeInclusive<u64> {
        span.start() / self.frames..=span.end() / self.frames
    }

    /// A person is there at other times than before.
    pub fn change(&mut self, person: usize, before: Option<RangeInclusive<u64>>, after: Option<RangeInclusive<u64>>) {
        for stretch in before.iter().flat_map(|span| self.stretches(span)).collect::<Vec<_>>() {
            if let Some(people) = self.people.get_mut(&stretch) {
                people.remove(&person);
            }
        }
        for stretch in after.iter().flat_map(|span| self.stretches(span)).collect::<Vec<_>>() {
            self.people.entry(stretch).or_default().insert(person);
        }
    }

    /// Those of some people who are there in the stretches of a span, in ascending order: all who are there at the same time, and some
    /// who are there shortly before or after.
    pub fn others(&self, span: RangeInclusive<u64>, people: Range<usize>) -> Vec<usize> {
        if people.is_empty() {
            return Vec::new();
        }
        let there = self.people.range(self.stretches(&span)).flat_map(|(_, there)| there.range(people.clone()));
        there.copied().collect::<BTreeSet<usize>>().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_there_at_once_are_found() {
        let spans = [0..=9, 5..=25, 26..=40, 100..=120];
        let mut presence = Presence::new(spans.into_iter().map(Some), 10);
        assert_eq!(presence.others(0..=9, 0..4), [0, 1]);
        assert_eq!(presence.others(21..=21, 0..4), [1, 2], "in the same stretch");
        assert_eq!(presence.others(0..=200, 1..3), [1, 2]);
        presence.change(3, Some(100..=120), Some(0..=3));
        assert_eq!(presence.others(0..=9, 1..4), [1, 3]);
        assert!(presence.others(60..=200, 0..4).is_empty());
        assert!(presence.others(0..=9, 0..0).is_empty());
    }
}
