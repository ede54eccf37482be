//! What the networks can be asked about a picture, and what they answer.

use super::{MaskedRegion, Observation, PersonDetection, RegionDetection, Tile, Window};
use crate::models::Network;

/// One question about one picture.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// Who is in this tile? Asks the person detector.
    DetectPersons(Tile),
    /// Who is in this window, and in which orientation? Asks the BlazePose region detector.
    DetectRegions(Window),
    /// Where are the body points of the person in this region? Asks a landmark network, and asks it again in the region that the
    /// landmarks themselves ask for where that is more than `tolerance` away ([`super::RotatedRegion::difference`]).
    Landmarks {
        /// Where to look.
        at: MaskedRegion,
        /// Which network.
        network: Network,
        /// With `f64::INFINITY` it is asked once.
        tolerance: f64,
    },
}

impl Query {
    /// Whether both are for the same landmark network, which can then be shown both regions at once.
    pub fn is_batched_with(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Landmarks { network: a, .. }, Self::Landmarks { network: b, .. }) if a == b)
    }
}

/// The answer to a [`Query`].
#[allow(clippy::large_enum_variant)] // few exist at a time, and most are observations
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To [`Query::DetectPersons`].
    PersonDetections(Vec<PersonDetection>),
    /// To [`Query::DetectRegions`].
    RegionDetections(Vec<RegionDetection>),
    /// To [`Query::Landmarks`]; `None` when nobody is there.
    Observation(Option<Observation>),
}
