//! Names of bodies and networks, as settings and files have them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name, bytes.
const LONGEST: usize = 40;
/// The one that comes with the program.
const BUILT_IN: &str = "default";

/// What a body or network is called: letters, digits, `-`, `_` and dots, so that it is part of a file's name as it is. Kept in place, so that settings
/// can be copied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName {
    bytes: [u8; LONGEST],
    length: u8,
}

impl ModelName {
    /// The name.
    pub fn as_str(&self) -> &str {
        // It was made of a text without other letters than ASCII's.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or(BUILT_IN)
    }

    /// Whether it is the one that comes with the program.
    pub fn is_built_in(&self) -> bool {
        self.as_str() == BUILT_IN
    }
}

impl Default for ModelName {
    /// The one that comes with the program.
    fn default() -> Self {
        let mut bytes = [0; LONGEST];
        bytes[..BUILT_IN.len()].copy_from_slice(BUILT_IN.as_bytes());
        Self { bytes, length: BUILT_IN.len() as u8 }
    }
}

impl FromStr for ModelName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !starts_well || text.len() > LONGEST || !text.bytes().all(is_fine) {
            return Err(format!(
                "names have 1 to {LONGEST} letters, digits, '-', '_' or '.', and begin with a letter or digit"
            ));
        }
        let mut bytes = [0; LONGEST];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes, length: text.len() as u8 })
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for ModelName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ModelName {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(|rule| serde::de::Error::custom(format!("\"{text}\" is no name: {rule}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_part_of_a_file_name() {
        let name: ModelName = "smpl-x_neutral.2020".parse().unwrap();
        assert_eq!((name.to_string(), name.is_built_in()), ("smpl-x_neutral.2020".into(), false));
        assert!(ModelName::default().is_built_in());
        for text in ["", ".", "..", "../body", "a/b", "a b", "-o", "ä", &"a".repeat(41)] {
            assert!(text.parse::<ModelName>().is_err(), "{text}");
        }
        let read: ModelName = serde_json::from_str("\"smpl\"").unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"smpl\"");
    }
}
