//! The lifter's network: dense layers that join frames in threes. `models/train/network.py` has the same.
//!
//! Sums are in a fixed order and in single precision, so that results depend on neither threads nor how many windows are asked about at
//! once.

use half::f16;
use std::sync::LazyLock;

/// Frames of a window.
pub const FRAMES: usize = 27;
/// Key points of a frame.
pub const POINTS: usize = 15;
/// Numbers of a frame that the network sees: of each point its place times its confidence (x, y), and its confidence less a half.
pub const FRAME_INPUTS: usize = 3 * POINTS;
/// Bones whose depth it tells.
pub const BONES: usize = 14;
/// Of each bone: two depths, two logarithms of scales, and the log odds of the first.
pub const OUTPUTS: usize = 5 * BONES;

/// Outputs of every layer but the last.
const WIDTH: usize = 256;
/// What the first layer sees: three frames and the size of the window.
const FIRST_INPUTS: usize = 3 * FRAME_INPUTS + 1;
/// The layers' inputs, in order. Three of them see three steps at once.
const LAYERS: [usize; 7] = [FIRST_INPUTS, 3 * WIDTH, WIDTH, 3 * WIDTH, WIDTH, WIDTH, WIDTH];
/// Keeps the variance from being nothing.
const VARIANCE_FLOOR: f32 = 1e-5;
/// Rows that are multiplied at once, and columns.
const ROWS: usize = 4;
const COLUMNS: usize = 8;

/// Made by `make train`, see `models/lifter/README.md`: half precision, little-endian.
const WEIGHTS: &[u8] = include_bytes!("../../../models/lifter/lifter.f16");
const _: () = assert!(WEIGHTS.len() == 2 * count_weights(), "models/lifter/lifter.f16 is of another network");

const fn count_weights() -> usize {
    let (mut sum, mut i) = (0, 0);
    while i < LAYERS.len() {
        sum += (LAYERS[i] + 3) * WIDTH;
        i += 1;
    }
    sum + (WIDTH + 1) * OUTPUTS
}

/// What the network sees of one moment.
#[derive(Debug, Clone)]
pub struct Window {
    /// Of each frame, [`FRAME_INPUTS`].
    pub frames: Box<[f32; FRAMES * FRAME_INPUTS]>,
    /// Logarithm of the person's size.
    pub size: f32,
}

/// A matrix whose columns lie together eight by eight, and what is added to the products.
struct Dense {
    inputs: usize,
    outputs: usize,
    panels: Vec<[f32; COLUMNS]>,
    bias: Vec<f32>,
}

/// A dense layer with normalisation and activation.
struct Layer {
    dense: Dense,
    gain: Vec<f32>,
    shift: Vec<f32>,
}

/// The whole network.
pub struct Network {
    layers: Vec<Layer>,
    last: Dense,
}

/// The network that is part of the program.
pub static NETWORK: LazyLock<Network> = LazyLock::new(|| {
    let mut weights = WEIGHTS.as_chunks().0.iter().map(|&two| f16::from_le_bytes(two).to_f32());
    Network::read(&mut weights)
});

impl Dense {
    fn read(inputs: usize, outputs: usize, weights: &mut impl Iterator<Item = f32>) -> Self {
        let rows: Vec<f32> = weights.take(inputs * outputs).collect();
        let mut panels = Vec::with_capacity(inputs * outputs.div_ceil(COLUMNS));
        for first in (0..outputs).step_by(COLUMNS) {
            for row in rows.chunks_exact(outputs) {
                panels.push(std::array::from_fn(|c| row.get(first + c).copied().unwrap_or_default()));
            }
        }
        Self { inputs, outputs, panels, bias: weights.take(outputs).collect() }
    }

    /// Of rows of inputs those of outputs.
    fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let count = rows.len() / self.inputs;
        let mut out = vec![0.0; count * self.outputs];
        let mut transposed = vec![[0.0; ROWS]; self.inputs];
        for first in (0..count).step_by(ROWS) {
            let used = ROWS.min(count - first);
            for r in 0..used {
                let row = &rows[(first + r) * self.inputs..][..self.inputs];
                transposed.iter_mut().zip(row).for_each(|(column, &x)| column[r] = x);
            }
            for (panel, columns) in self.panels.chunks_exact(self.inputs).enumerate() {
                let mut sums = [[0.0_f32; COLUMNS]; ROWS];
                for (x, w) in transposed.iter().zip(columns) {
                    for r in 0..ROWS {
                        for c in 0..COLUMNS {
                            sums[r][c] += x[r] * w[c];
                        }
                    }
                }
                let at = panel * COLUMNS;
                let width = COLUMNS.min(self.outputs - at);
                for (r, sums) in sums.iter().enumerate().take(used) {
                    let target = &mut out[(first + r) * self.outputs + at..][..width];
                    for ((value, sum), bias) in target.iter_mut().zip(sums).zip(&self.bias[at..]) {
                        *value = sum + bias;
                    }
                }
            }
        }
        out
    }
}

impl Layer {
    fn read(inputs: usize, weights: &mut impl Iterator<Item = f32>) -> Self {
        let dense = Dense::read(inputs, WIDTH, weights);
        let mut next = || weights.take(WIDTH).collect();
        Self { dense, gain: next(), shift: next() }
    }

    fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = self.dense.apply(rows);
        for row in out.chunks_exact_mut(WIDTH) {
            let mean = row.iter().sum::<f32>() / WIDTH as f32;
            let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / WIDTH as f32;
            let scale = 1.0 / (variance + VARIANCE_FLOOR).sqrt();
            for ((x, gain), shift) in row.iter_mut().zip(&self.gain).zip(&self.shift) {
                let normal = (*x - mean) * scale * gain + shift;
                *x = normal * (normal + 3.0).clamp(0.0, 6.0) / 6.0;
            }
        }
        out
    }
}

impl Network {
    fn read(weights: &mut impl Iterator<Item = f32>) -> Self {
        let layers = LAYERS.iter().map(|&inputs| Layer::read(inputs, weights)).collect();
        Self { layers, last: Dense::read(WIDTH, OUTPUTS, weights) }
    }

    /// Its answers about some windows.
    pub fn answer(&self, windows: &[Window]) -> Vec<[f32; OUTPUTS]> {
        let [first, join1, deep1, join2, deep2, top1, top2] = &self.layers[..] else { return Vec::new() };
        let mut inputs = Vec::with_capacity(windows.len() * FRAMES / 3 * FIRST_INPUTS);
        for window in windows {
            for three in window.frames.chunks_exact(3 * FRAME_INPUTS) {
                inputs.extend_from_slice(three);
                inputs.push(window.size);
            }
        }
        let mut rows = first.apply(&inputs);
        for (join, deep) in [(join1, deep1), (join2, deep2)] {
            let mut joined = join.apply(&rows);
            for (row, three) in joined.chunks_exact_mut(WIDTH).zip(rows.chunks_exact(3 * WIDTH)) {
                add(row, &three[WIDTH..2 * WIDTH]);
            }
            let mut deeper = deep.apply(&joined);
            add(&mut deeper, &joined);
            rows = deeper;
        }
        for top in [top1, top2] {
            let mut higher = top.apply(&rows);
            add(&mut higher, &rows);
            rows = higher;
        }
        self.last.apply(&rows).as_chunks().0.to_vec()
    }
}

fn add(to: &mut [f32], what: &[f32]) {
    to.iter_mut().zip(what).for_each(|(a, b)| *a += b);
}
