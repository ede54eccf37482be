//! Settings that are numbers, and between which numbers they may be.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer};

/// Heights that people may be taken to have, metres.
pub const STATURE: RangeInclusive<f64> = 0.3..=3.0;
/// Opacity of the mesh.
pub const OPACITY: RangeInclusive<f32> = 0.0..=1.0;

/// How much darker the video is.
pub const DIM: RangeInclusive<f32> = 0.0..=1.0;

/// Whether a setting called `name` may be `value`; if not, why.
pub fn check<T: PartialOrd + Display>(value: T, range: &RangeInclusive<T>, name: &str) -> Result<T, String> {
    match range.contains(&value) {
        true => Ok(value),
        false => Err(format!("{name} is {value}; it must be from {} to {}", range.start(), range.end())),
    }
}

/// A number of the command line.
pub fn typed<T>(text: &str, range: &RangeInclusive<T>) -> Result<T, String>
where
    T: PartialOrd + Display + std::str::FromStr,
{
    let wrong = || format!("it must be a number from {} to {}", range.start(), range.end());
    text.parse().ok().filter(|value| range.contains(value)).ok_or_else(wrong)
}

/// A number of a configuration file.
pub fn read<'de, D, T>(input: D, range: &RangeInclusive<T>, name: &str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialOrd + Display,
{
    check(T::deserialize(input)?, range, name).map_err(serde::de::Error::custom)
}

/// Makes a function for each setting that reads it from a configuration file: its name, its type, the numbers it may be.
macro_rules! ranged {
    ($($name:ident: $type:ty = $range:expr;)*) => {
        $(
            pub(crate) fn $name<'de, D: serde::Deserializer<'de>>(input: D) -> Result<$type, D::Error> {
                $crate::job::range::read(input, &$range, stringify!($name))
            }
        )*
    };
}
pub(crate) use ranged;

/// Those of [`super::Overrides`], which need not be given.
pub(crate) fn opacity<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f32>, D::Error> {
    read(input, &OPACITY, "opacity").map(Some)
}

pub(crate) fn dim<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f32>, D::Error> {
    read(input, &DIM, "dim").map(Some)
}

pub(crate) fn stature<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    read(input, &STATURE, "stature").map(Some)
}
