//! What is drawn: the words of `--style` and `--views`, and which of them go together.

use std::fmt;
use std::marker::PhantomData;

use clap::ValueEnum;
use serde::de::value::StrDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::media::Sharing;

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// A shaded body over the video.
    Overlay,
    /// A shaded body on a plain background.
    Mesh,
    /// Bones and joints, over whatever else is drawn.
    Skeleton,
    /// White silhouettes on black.
    Mask,
    /// The distance from the camera as grey, on black.
    Depth,
    /// The direction in which the surface faces as colour, on black.
    Normals,
}

impl Style {
    /// As it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Mesh => "mesh",
            Self::Skeleton => "skeleton",
            Self::Mask => "mask",
            Self::Depth => "depth",
            Self::Normals => "normals",
        }
    }
}

/// The looks of one picture: how bodies are drawn, if they are, and whether their skeletons are drawn over that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looks {
    bodies: Option<Style>,
    skeleton: bool,
}

impl Default for Looks {
    fn default() -> Self {
        Self { bodies: Some(Style::Overlay), skeleton: false }
    }
}

impl Looks {
    /// Looks that go together: at most one that draws bodies, and the skeleton.
    ///
    /// # Errors
    /// Why they do not, in a sentence.
    pub fn new(styles: &[Style]) -> Result<Self, String> {
        let mut looks = Self { bodies: None, skeleton: false };
        for &style in styles {
            match looks.bodies {
                _ if style == Style::Skeleton => looks.skeleton = true,
                Some(other) if other != style => {
                    return Err(format!(
                        "{} and {} are two pictures, and a result has one: name one of overlay, mesh, mask, depth and \
                         normals; skeleton goes with each of them",
                        other.word(),
                        style.word()
                    ));
                }
                _ => looks.bodies = Some(style),
            }
        }
        match styles.is_empty() {
            true => Err("name at least one look".to_owned()),
            false => Ok(looks),
        }
    }

    /// From the command line: words with commas between.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn typed(text: &str) -> Result<Self, String> {
        Self::new(&typed(text)?)
    }

    /// How bodies are drawn: any style but the skeleton; `None` where they are not.
    pub fn bodies(self) -> Option<Style> {
        self.bodies
    }

    /// Whether skeletons are drawn.
    pub fn skeleton(self) -> bool {
        self.skeleton
    }

    /// Whether the video is seen behind the bodies.
    pub fn shows_video(self) -> bool {
        matches!(self.bodies, None | Some(Style::Overlay))
    }

    fn styles(self) -> impl Iterator<Item = Style> {
        self.bodies.into_iter().chain(self.skeleton.then_some(Style::Skeleton))
    }
}

/// A further view of the same motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// From the right of the camera that filmed, level: what is further away from it is on the right.
    Side,
    /// From above: what is further away from the camera is at the top.
    Top,
    /// From all around, beginning where the camera was.
    Turntable,
}

impl View {
    /// As it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Side => "side",
            Self::Top => "top",
            Self::Turntable => "turntable",
        }
    }

    /// What comes after the stem and a dot in the name of its own file.
    pub fn ending(self, container: &str) -> String {
        format!("{}.{container}", self.word())
    }
}

/// Where further views are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Beside the video, in the same picture.
    #[default]
    Beside,
    /// In files of their own, as large as the video.
    Files,
}

/// What is written beside people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Labels {
    /// Nothing.
    #[default]
    None,
    /// Their id, above the head.
    Id,
    /// Their id, and the angles of elbows and knees.
    Angles,
}

/// Some words of a kind in their order, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Several<T, const N: usize>([Option<T>; N]);

/// Further views.
pub type Views = Several<View, 3>;
/// Small animated pictures beside the video.
pub type Also = Several<Sharing, 2>;

impl<T, const N: usize> Default for Several<T, N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| None))
    }
}

impl<T: Copy + PartialEq, const N: usize> Several<T, N> {
    /// Of these, the first of those that are named twice.
    pub fn new(words: &[T]) -> Self {
        let mut list = Self::default();
        for word in words {
            if let Some(place) = list.0.iter().position(|&other| other.is_none_or(|other| other == *word)) {
                list.0[place] = Some(*word);
            }
        }
        list
    }

    /// From the command line: words with commas between.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn typed(text: &str) -> Result<Self, String>
    where
        T: ValueEnum,
    {
        Ok(Self::new(&typed(text)?))
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = T> + Clone {
        self.0.into_iter().flatten()
    }

    /// How many.
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl<T: Copy + PartialEq + Serialize, const N: usize> Serialize for Several<T, N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        write_words(self.iter().collect(), to)
    }
}

impl<'de, T: Copy + PartialEq + Deserialize<'de>, const N: usize> Deserialize<'de> for Several<T, N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::new(&read_words(from)?))
    }
}

/// As it is typed.
impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.styles().map(Style::word).collect::<Vec<_>>().join(","))
    }
}

impl Serialize for Looks {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        write_words(self.styles().collect(), to)
    }
}

impl<'de> Deserialize<'de> for Looks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&read_words(from)?).map_err(Error::custom)
    }
}

/// Words with commas between them, of the command line.
///
/// # Errors
/// Which word is none of those there are.
pub(super) fn typed<T: ValueEnum>(text: &str) -> Result<Vec<T>, String> {
    let word = |text: &str| {
        let name = |value: &T| value.to_possible_value().map(|value| value.get_name().to_owned());
        let valid = || T::value_variants().iter().filter_map(name).collect::<Vec<_>>().join(", ");
        T::from_str(text.trim(), false).map_err(|_| format!("`{text}` is none of {}", valid()))
    };
    text.split(',').filter(|word| !word.trim().is_empty()).map(word).collect()
}

/// Writes one word as it is and several as a list.
pub(super) fn write_words<T: Serialize, S: Serializer>(words: Vec<T>, to: S) -> Result<S::Ok, S::Error> {
    match &words[..] {
        [word] => word.serialize(to),
        words => words.serialize(to),
    }
}

/// Reads a word or a list of them, of a configuration file.
pub(super) fn read_words<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    struct Words<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Words<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a word or a list of words")
        }

        fn visit_str<E: Error>(self, word: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(StrDeserializer::new(word))?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut words = Vec::new();
            while let Some(word) = list.next_element()? {
                words.push(word);
            }
            Ok(words)
        }
    }
    from.deserialize_any(Words(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_view_is_there_once_in_its_place() {
        let views = Views::typed("top,side,top").unwrap();
        assert_eq!(views.iter().collect::<Vec<_>>(), [View::Top, View::Side]);
        assert_eq!(serde_json::to_string(&views).unwrap(), r#"["top","side"]"#);
        assert_eq!(serde_json::from_str::<Views>("[]").unwrap(), Views::default());
        assert!(Views::typed("").unwrap().is_empty());
        assert!(Views::typed("front").is_err());
    }

    #[test]
    fn a_word_or_a_list_of_those_that_go_together() {
        let both = Looks::new(&[Style::Skeleton, Style::Overlay]).unwrap();
        assert_eq!(Looks::typed("overlay,skeleton"), Ok(both));
        assert_eq!(Looks::typed("mask").unwrap().to_string(), "mask");
        assert_eq!(serde_json::from_str::<Looks>(r#""overlay""#).unwrap(), Looks::default());
        for text in [r#""depth""#, r#"["overlay","skeleton"]"#, r#""skeleton""#] {
            assert_eq!(serde_json::to_string(&serde_json::from_str::<Looks>(text).unwrap()).unwrap(), text);
        }
        assert!(Looks::typed("mask,depth").unwrap_err().contains("mask and depth are two pictures"));
        assert!(Looks::typed("").is_err());
        assert!(Looks::typed("mash").unwrap_err().contains("overlay, mesh"));
        let error = serde_json::from_str::<Looks>(r#""mash""#).unwrap_err().to_string();
        assert!(error.starts_with("unknown variant `mash`, expected one of `overlay`"), "{error}");
    }
}
