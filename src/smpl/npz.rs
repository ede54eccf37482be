//! NumPy's archives: a zip file with an array, in NumPy's own format, for each name.

use std::io::{Read, Seek};

use zip::ZipArchive;

use super::arrays::{Array, NumberType};

/// What the file of an array begins with.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest description of an array, bytes.
const LONGEST_HEADER: usize = 64 << 10;

/// The array of this name; `None` where there is none.
///
/// # Errors
/// When it cannot be read.
pub fn array<R: Read + Seek>(archive: &mut ZipArchive<R>, name: &str) -> Result<Option<Array>, String> {
    let file = format!("{name}.npy");
    if archive.index_for_name(&file).is_none() {
        return Ok(None);
    }
    let mut entry = archive.by_name(&file).map_err(|error| format!("`{file}` in it cannot be read ({error})"))?;
    read(&mut entry).map(Some).map_err(|reason| format!("`{file}` in it cannot be read: {reason}"))
}

/// Reads an array in NumPy's format. No more memory is taken than its description asks for and there are bytes.
fn read(input: &mut impl Read) -> Result<Array, String> {
    let mut exactly = |count: usize| -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let found = input.by_ref().take(count as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if found == count { Ok(bytes) } else { Err(format!("it ends after {found} of {count} bytes")) }
    };
    let start = exactly(8)?;
    if !start.starts_with(MAGIC) {
        return Err("it is no array of NumPy".into());
    }
    let length = match start[6] {
        1 => exactly(2)?.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte)),
        2 | 3 => exactly(4)?.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte)),
        version => return Err(format!("its format has the version {version}")),
    };
    if length > LONGEST_HEADER {
        return Err(format!("its description has {length} bytes"));
    }
    let header = String::from_utf8(exactly(length)?).map_err(|_| "its description is no text")?;
    let value = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let quoted = value("descr").and_then(|rest| rest.strip_prefix('\'')?.split('\'').next());
    let number = quoted.and_then(NumberType::parse).ok_or_else(|| match value("descr") {
        Some(rest) => {
            format!("its numbers are of a kind that bodies do not have ({})", rest.chars().take(20).collect::<String>())
        }
        None => "its description lacks `descr`".into(),
    })?;
    let is_fortran = value("fortran_order").ok_or("its description lacks `fortran_order`")?.starts_with("True");
    let shape = value("shape").and_then(|rest| rest.strip_prefix('(')?.split(')').next());
    let shape = shape.ok_or("its description lacks `shape`")?.split(',').map(str::trim).filter(|text| !text.is_empty());
    let shape: Vec<usize> =
        shape.map(|text| text.parse().ok()).collect::<Option<_>>().ok_or("its shape is no list of numbers")?;
    let bytes = number.bytes(&shape).ok_or_else(|| format!("its shape {shape:?} is larger than any body's"))?;
    let bytes = exactly(bytes)?;
    Array::new(shape, number, is_fortran, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
    }

    #[test]
    fn an_array_is_read() {
        let bytes =
            file("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 1), }  \n", &[1, 0, 0, 0, 255, 255, 255, 255]);
        let array = read(&mut &bytes[..]).unwrap();
        assert_eq!((array.shape, array.numbers), (vec![2, 1], vec![1.0, -1.0]));
        for length in 0..bytes.len() {
            assert!(read(&mut &bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_is_no_array_of_numbers_is_refused() {
        let cases = [
            ("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "'|O'"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }", "larger than any body's"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (a,), }", "no list of numbers"),
            ("{'descr': '<f8', 'shape': (1,), }", "fortran_order"),
            ("", "descr"),
        ];
        for (header, expected) in cases {
            let message = read(&mut &file(header, &[0; 16])[..]).unwrap_err();
            assert!(message.contains(expected), "`{message}` should contain `{expected}`");
        }
    }
}
