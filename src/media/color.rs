//! What the numbers in a YUV picture mean.

/// Luma coefficients of the YUV matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.601 (standard definition).
    Bt601,
    /// ITU-R BT.709 (high definition).
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
}

/// Which code values are black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Black at 16, white at 235 (of 255).
    Limited,
    /// Black at 0, white at 255.
    Full,
}

/// How to turn YUV code values into R'G'B' and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color {
    /// Luma coefficients.
    pub matrix: Matrix,
    /// Code value range.
    pub range: Range,
}

impl Color {
    /// `[kr, kb]` of the matrix (ITU-R BT.601-7, BT.709-6, BT.2020-2).
    fn luma_coefficients(self) -> [f32; 2] {
        match self.matrix {
            Matrix::Bt601 => [0.299, 0.114],
            Matrix::Bt709 => [0.2126, 0.0722],
            Matrix::Bt2020 => [0.2627, 0.0593],
        }
    }

    /// `(offset, span)` of luma and of chroma in code values at a bit depth.
    fn spans(self, depth: u8) -> ([f32; 2], [f32; 2]) {
        let scale = f32::from(1u16 << (depth - 8));
        let half = 128.0 * scale;
        match self.range {
            Range::Limited => ([16.0 * scale, 219.0 * scale], [half, 224.0 * scale]),
            Range::Full => {
                let max = f32::from(((1u32 << depth) - 1) as u16);
                ([0.0, max], [half, max])
            }
        }
    }

    /// Rows of a 3x4 matrix from `[y, u, v, 1]` code values at `depth` bits to R'G'B' in 0..=1.
    pub fn yuv_to_rgb(self, depth: u8) -> [[f32; 4]; 3] {
        let [kr, kb] = self.luma_coefficients();
        let kg = 1.0 - kr - kb;
        let ([y0, ys], [c0, cs]) = self.spans(depth);
        let (y, u_b, v_r) = (1.0 / ys, 2.0 * (1.0 - kb) / cs, 2.0 * (1.0 - kr) / cs);
        let (u_g, v_g) = (-u_b * kb / kg, -v_r * kr / kg);
        let row = |u: f32, v: f32| [y, u, v, -y * y0 - (u + v) * c0];
        [row(0.0, v_r), row(u_g, v_g), row(u_b, 0.0)]
    }

    /// Rows of a 3x4 matrix from R'G'B' in 0..=1 (and 1) to `[y, u, v]` code values at `depth` bits.
    pub fn rgb_to_yuv(self, depth: u8) -> [[f32; 4]; 3] {
        let [kr, kb] = self.luma_coefficients();
        let kg = 1.0 - kr - kb;
        let ([y0, ys], [c0, cs]) = self.spans(depth);
        let (u, v) = (cs / (2.0 * (1.0 - kb)), cs / (2.0 * (1.0 - kr)));
        [
            [ys * kr, ys * kg, ys * kb, y0],
            [-u * kr, -u * kg, u * (1.0 - kb), c0],
            [v * (1.0 - kr), -v * kg, -v * kb, c0],
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(m: &[[f32; 4]; 3], v: [f32; 3]) -> [f32; 3] {
        m.map(|r| r[0] * v[0] + r[1] * v[1] + r[2] * v[2] + r[3])
    }

    #[test]
    fn known_code_values() {
        let c = Color { matrix: Matrix::Bt709, range: Range::Limited };
        let white = apply(&c.rgb_to_yuv(8), [1.0; 3]);
        assert!((white[0] - 235.0).abs() < 1e-3 && (white[1] - 128.0).abs() < 1e-3);
        // 75% red of the BT.709 colour bars is about (51, 109, 212).
        let red = apply(&c.rgb_to_yuv(8), [0.75, 0.0, 0.0]);
        assert!((red[0] - 51.0).abs() < 1.0 && (red[1] - 109.0).abs() < 1.0 && (red[2] - 212.0).abs() < 1.0);
    }

    #[test]
    fn there_and_back_at_every_depth() {
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            for range in [Range::Limited, Range::Full] {
                for depth in [8, 10, 12] {
                    let c = Color { matrix, range };
                    let rgb = [0.2, 0.7, 0.4];
                    let back = apply(&c.yuv_to_rgb(depth), apply(&c.rgb_to_yuv(depth), rgb));
                    assert!(rgb.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-4), "{c:?} {depth} {back:?}");
                }
            }
        }
    }
}
