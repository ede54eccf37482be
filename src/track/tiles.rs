//! Which parts of the picture the person detector is shown on each keyframe, and which way up.
//!
//! The detector's input has about 416 x 256 pixels. People who are small there are found only when it is shown a part of the picture, a
//! tile; people who lie or hang head down only when the tile is turned. The whole picture and all tiles in all orientations would be 84
//! inputs a keyframe, so they take turns.

use serde::{Deserialize, Serialize};

use super::detections::DetectedPersons;
use crate::pose::{PersonDetection, Tile};

/// Rows and columns of the larger tiles that are shown beside the whole picture.
const LARGE_TILES: u32 = 2;
/// Rows and columns of the smaller ones.
const SMALL_TILES: u32 = 4;
/// Keyframes from one tile to the next where nobody small is tracked: every second one, about 0.4 s.
const TILE_EVERY: u64 = 2;
/// Keyframes from one turned picture to the next where somebody is tracked: every tenth, about 2 s.
const TURNED_EVERY: u64 = 10;
/// From so many small people on they are a crowd, in which somebody new comes at any time.
const CROWD: usize = 4;
/// The orientations other than upright, in quarter turns clockwise and in the order in which they are tried: lying on either side,
/// head down.
const TURNED: [u8; 3] = [1, 3, 2];

/// The orientations that tracked people have.
pub(super) struct Orientations {
    /// Quarter turns clockwise, that of most people first; 0 is always among them.
    pub usual: Vec<u8>,
    /// Whether nobody is tracked who is a person for sure.
    pub are_guessed: bool,
}

/// Which tile and which orientation is next.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct TileSchedule {
    /// Keyframes so far.
    keyframes: u64,
}

/// The whole picture, for people with this orientation.
fn turned(display: [u32; 2], quarter_turns: u8) -> Tile {
    Tile { quarter_turns, ..Tile::whole(display) }
}

impl TileSchedule {
    /// For a keyframe before which nothing is known: the whole picture in every orientation, and the larger tiles.
    pub fn first(display: [u32; 2]) -> Vec<Tile> {
        let whole = [Tile::whole(display)].into_iter().chain(TURNED.map(|turn| turned(display, turn)));
        whole.chain(Tile::grid(display, LARGE_TILES)).collect()
    }

    /// The smaller tiles as well, if among those detected in the first ones somebody is small: others may be smaller still.
    pub fn closer(detected: &DetectedPersons) -> Vec<Tile> {
        let display = detected.display();
        let is_small = |d: &PersonDetection| !turned(display, d.quarter_turns).shows(d.bounds);
        let is_needed = detected.persons().iter().any(is_small);
        if is_needed { Tile::grid(display, SMALL_TILES).collect() } else { Vec::new() }
    }

    /// For every later keyframe.
    ///
    /// The whole picture is shown in the usual orientations, in the resolution that the people tracked (`people`: their bounds) need.
    /// One tile is shown beside it: on every keyframe while small people are tracked, else on every [`TILE_EVERY`]th; in a crowd of
    /// small people all larger tiles and one of the smaller. Other orientations come on every [`TURNED_EVERY`]th keyframe, more
    /// often while the orientations are guessed. Where all people are seen well (`is_calm`), the tile is shown in place of the whole
    /// picture.
    pub fn next(
        &mut self,
        display: [u32; 2],
        people: &[[f32; 4]],
        orientations: &Orientations,
        is_calm: bool,
    ) -> Vec<Tile> {
        let Orientations { usual, are_guessed } = orientations;
        let most_usual = usual.first().copied().unwrap_or(0);
        let shows = |is_coarse| {
            move |&b: &[f32; 4]| usual.iter().any(|&turn| Tile { is_coarse, ..turned(display, turn) }.shows(b))
        };
        let is_coarse = people.iter().all(shows(true));
        let mut tiles: Vec<Tile> = usual.iter().map(|&turn| Tile { is_coarse, ..turned(display, turn) }).collect();
        let grid = |n| Tile::grid(display, n).map(move |tile| Tile { quarter_turns: most_usual, ..tile });
        let (large, small) = (grid(LARGE_TILES), grid(SMALL_TILES));
        self.keyframes += 1;
        let turned_every = if *are_guessed { TILE_EVERY } else { TURNED_EVERY };
        // Shifted by one, so that it is never a keyframe on which a tile has its turn.
        let shifted = self.keyframes + 1;
        if shifted.is_multiple_of(turned_every) {
            let turn = TURNED[(shifted / turned_every) as usize % TURNED.len()];
            tiles.extend((!usual.contains(&turn)).then(|| Tile { is_coarse: true, ..turned(display, turn) }));
        }
        let (round, taking_turns): (u64, Vec<Tile>) = match people.iter().filter(|&b| !shows(false)(b)).count() {
            CROWD.. => {
                tiles.extend(large);
                (self.keyframes, small.collect())
            }
            0 if !self.keyframes.is_multiple_of(TILE_EVERY) => return tiles,
            0 => {
                if is_calm {
                    tiles.clear();
                }
                (self.keyframes / TILE_EVERY, large.chain(small).collect())
            }
            _ => (self.keyframes, large.chain(small).collect()),
        };
        tiles.extend(taking_turns.get(round as usize % taking_turns.len().max(1)));
        tiles
    }
}
