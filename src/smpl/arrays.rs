//! Arrays of numbers as NumPy's files hold them.

/// Numbers in an array at most: three times as many as the largest of SMPL-X.
pub const MOST_NUMBERS: usize = 50_000_000;

/// An array of any numbers, the last index running fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its lengths.
    pub shape: Vec<usize>,
    /// As many numbers as these multiply to.
    pub numbers: Vec<f64>,
}

/// How numbers are written down, such as NumPy's `<f8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberType {
    kind: Kind,
    size: usize,
    is_big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float,
    Signed,
    Unsigned,
}

impl NumberType {
    /// From NumPy's text for it, such as `<f8` or `u4`.
    pub fn parse(text: &str) -> Option<Self> {
        let (is_big_endian, text) = match text.split_at_checked(1)? {
            (">", rest) => (true, rest),
            ("<" | "=" | "|", rest) => (false, rest),
            _ => (false, text),
        };
        let (letter, size) = text.split_at_checked(1)?;
        let size: usize = size.parse().ok()?;
        let kind = match (letter, size) {
            ("f", 4 | 8) => Kind::Float,
            ("i", 1 | 2 | 4 | 8) => Kind::Signed,
            ("u", 1 | 2 | 4 | 8) | ("b", 1) => Kind::Unsigned,
            _ => return None,
        };
        Some(Self { kind, size, is_big_endian })
    }

    /// With the order of bytes that NumPy writes as one of `<>|=`.
    pub fn with_order(self, order: &str) -> Self {
        Self { is_big_endian: order == ">", ..self }
    }

    /// Bytes that so many numbers take; `None` where that is more than any body has.
    pub fn bytes(self, shape: &[usize]) -> Option<usize> {
        let count = shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length))?;
        (count <= MOST_NUMBERS).then_some(count * self.size)
    }

    fn number(self, bytes: &[u8]) -> f64 {
        let mut wide = [0; 8];
        wide[..self.size].copy_from_slice(bytes);
        if self.is_big_endian {
            wide[..self.size].reverse();
        }
        let bits = u64::from_le_bytes(wide);
        match (self.kind, self.size) {
            (Kind::Float, 4) => f32::from_bits(bits as u32).into(),
            (Kind::Float, _) => f64::from_bits(bits),
            (Kind::Unsigned, _) => bits as f64,
            (Kind::Signed, size) => {
                let unused = 64 - 8 * size as u32;
                (((bits << unused) as i64) >> unused) as f64
            }
        }
    }
}

impl Array {
    /// From the bytes of its numbers; `is_fortran`: the first index runs fastest in them.
    ///
    /// # Errors
    /// When these are not as many as the shape says.
    pub fn new(shape: Vec<usize>, number: NumberType, is_fortran: bool, bytes: &[u8]) -> Result<Self, String> {
        if number.bytes(&shape) != Some(bytes.len()) {
            return Err(format!("an array of the shape {shape:?} has {} bytes, which does not fit", bytes.len()));
        }
        let numbers: Vec<f64> = bytes.chunks_exact(number.size).map(|bytes| number.number(bytes)).collect();
        if !is_fortran || shape.len() < 2 {
            return Ok(Self { shape, numbers });
        }
        let turned = Self { shape: shape.iter().rev().copied().collect(), numbers };
        Ok(turned.transposed())
    }

    /// With its indices in reverse order.
    fn transposed(&self) -> Self {
        let shape: Vec<usize> = self.shape.iter().rev().copied().collect();
        let mut index = vec![0; shape.len()];
        // How far apart in these numbers are those whose index differs by one.
        let mut strides = vec![1; shape.len()];
        for i in 1..shape.len() {
            strides[i] = strides[i - 1] * shape[i - 1];
        }
        let mut numbers = Vec::with_capacity(self.numbers.len());
        for _ in 0..self.numbers.len() {
            let at: usize = index.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
            numbers.push(self.numbers[at]);
            for i in (0..shape.len()).rev() {
                index[i] += 1;
                if index[i] < shape[i] {
                    break;
                }
                index[i] = 0;
            }
        }
        Self { shape, numbers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_kinds_are_read() {
        let read = |text: &str, bytes: &[u8]| {
            let number = NumberType::parse(text).unwrap();
            Array::new(vec![1], number, false, bytes).unwrap().numbers[0]
        };
        assert_eq!(read("<f8", &1.5_f64.to_le_bytes()), 1.5);
        assert_eq!(read(">f4", &(-2.25_f32).to_be_bytes()), -2.25);
        assert_eq!(read("<i2", &(-3_i16).to_le_bytes()), -3.0);
        assert_eq!(read("u4", &u32::MAX.to_le_bytes()), 4_294_967_295.0);
        assert_eq!(read("|b1", &[1]), 1.0);
        for text in ["", "<", "<f", "O8", "<U3", "<f2", "V8", "é8"] {
            assert_eq!(NumberType::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_array_whose_first_index_runs_fastest_is_turned() {
        let number = NumberType::parse("|u1").unwrap();
        let rows = Array::new(vec![2, 3], number, true, &[1, 4, 2, 5, 3, 6]).unwrap();
        assert_eq!((rows.shape, rows.numbers), (vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        // index (i, j, k) has the number 100 i + 10 j + k
        let bytes: Vec<u8> =
            (0..2).flat_map(|k| (0..3).flat_map(move |j| (0..2).map(move |i| 100 * i + 10 * j + k))).collect();
        let cube = Array::new(vec![2, 3, 2], number, true, &bytes).unwrap();
        assert_eq!(cube.numbers, [0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121].map(f64::from));
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let number = NumberType::parse("<f8").unwrap();
        for shape in [vec![3], vec![usize::MAX, 2], vec![1 << 40], vec![1 << 32, 1 << 32]] {
            assert!(Array::new(shape, number, false, &[0; 16]).is_err());
        }
    }
}
