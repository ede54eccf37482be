//! What the objects of a pickle mean: NumPy's arrays, SciPy's sparse matrices and chumpy's arrays, as [`Array`]s.

use super::arrays::{Array, MOST_NUMBERS, NumberType};
use super::pickle::{Global, Id, Node, Pickle};

/// Objects within objects at most: an array in a number of chumpy.
const DEEPEST: usize = 6;

/// The array that an object of a pickle is.
///
/// # Errors
/// When it is none.
pub fn array(pickle: &Pickle<'_>, id: Id) -> Result<Array, String> {
    any(pickle, id, DEEPEST)
}

fn any(pickle: &Pickle<'_>, id: Id, deepest: usize) -> Result<Array, String> {
    let deepest = deepest.checked_sub(1).ok_or("its objects are within each other too deeply")?;
    match pickle.node(id) {
        Node::Object { of, arguments, state } => object(pickle, *of, *arguments, *state, deepest),
        Node::List(items) => list(pickle, items),
        Node::Integer(_) | Node::Float(_) => list(pickle, &[id]),
        _ => Err("it is no array".into()),
    }
}

/// An array of one index, from numbers.
fn list(pickle: &Pickle<'_>, items: &[Id]) -> Result<Array, String> {
    let number = |&id: &Id| match pickle.node(id) {
        Node::Integer(number) => Some(*number as f64),
        Node::Float(number) => Some(*number),
        _ => None,
    };
    let numbers: Vec<f64> =
        items.iter().map(number).collect::<Option<_>>().ok_or("it is a list of other things than numbers")?;
    Ok(Array { shape: vec![numbers.len()], numbers })
}

fn object(pickle: &Pickle<'_>, of: Id, arguments: Id, state: Option<Id>, deepest: usize) -> Result<Array, String> {
    let Node::Global(global, name) = pickle.node(of) else { return Err("it is no array".into()) };
    let arguments = pickle.list(arguments).unwrap_or_default();
    let state = || state.ok_or_else(|| format!("its `{name}` is empty"));
    match global {
        Global::ArrayReconstruct => numpy(pickle, state()?),
        Global::ArrayFromBuffer => {
            let [buffer, number, shape, order] = arguments else { return Err("an array lacks its parts".into()) };
            let is_fortran = pickle.text(*order) == Some("F");
            Array::new(lengths(pickle, *shape)?, number_type(pickle, *number)?, is_fortran, &content(pickle, *buffer)?)
        }
        Global::Scalar => {
            let [number, bytes] = arguments else { return Err("a number lacks its parts".into()) };
            Array::new(vec![1], number_type(pickle, *number)?, false, &content(pickle, *bytes)?)
        }
        Global::SparseColumns => sparse(pickle, state()?, true, deepest),
        Global::SparseRows => sparse(pickle, state()?, false, deepest),
        Global::Chumpy => chumpy(pickle, name, state()?, deepest),
        Global::Reconstructor => {
            let class = arguments.first().copied().ok_or("an object lacks its class")?;
            match pickle.node(class) {
                Node::Global(Global::SparseColumns, _) => sparse(pickle, state()?, true, deepest),
                Node::Global(Global::SparseRows, _) => sparse(pickle, state()?, false, deepest),
                Node::Global(Global::Chumpy, name) => chumpy(pickle, name, state()?, deepest),
                _ => Err("it is no array".into()),
            }
        }
        Global::Array | Global::NumberType | Global::Encode | Global::Plain => Err(format!("it is `{name}`, no array")),
    }
}

/// An array of NumPy: version, shape, type of numbers, order of indices, bytes.
fn numpy(pickle: &Pickle<'_>, state: Id) -> Result<Array, String> {
    let [.., shape, number, order, bytes] = pickle.list(state).unwrap_or_default() else {
        return Err("an array lacks its parts".into());
    };
    let is_fortran = pickle.integer(*order).is_some_and(|order| order != 0);
    Array::new(lengths(pickle, *shape)?, number_type(pickle, *number)?, is_fortran, &content(pickle, *bytes)?)
}

/// A number of chumpy is its value `x`. What chumpy would compute from others is not computed here.
fn chumpy(pickle: &Pickle<'_>, name: &str, state: Id, deepest: usize) -> Result<Array, String> {
    let value = if name == "chumpy.ch.Ch" { pickle.value(state, "x") } else { None };
    let value = value.ok_or_else(|| {
        format!("it is computed by `{name}` of chumpy; read the file in Python and write its arrays with numpy.savez")
    })?;
    any(pickle, value, deepest)
}

/// A matrix of SciPy with the numbers of each column, or each row, one after another.
fn sparse(pickle: &Pickle<'_>, state: Id, is_by_columns: bool, deepest: usize) -> Result<Array, String> {
    let part = |name: &str| {
        let id = pickle.value(state, name).ok_or_else(|| format!("a sparse matrix lacks `{name}`"))?;
        any(pickle, id, deepest)
    };
    let shape = pickle.value(state, "_shape").ok_or("a sparse matrix lacks `_shape`")?;
    let shape = lengths(pickle, shape)?;
    let [rows, columns] = shape[..] else { return Err("a sparse matrix has not two indices".into()) };
    let size = rows.checked_mul(columns).filter(|&size| size <= MOST_NUMBERS);
    let mut numbers =
        vec![0.0; size.ok_or_else(|| format!("a matrix of the shape {shape:?} is larger than any body's"))?];
    let (data, inner, starts) = (part("data")?.numbers, part("indices")?.numbers, part("indptr")?.numbers);
    let damaged = || "a sparse matrix is damaged".to_owned();
    let (lines, length) = if is_by_columns { (columns, rows) } else { (rows, columns) };
    if data.len() != inner.len() || starts.len() != lines + 1 {
        return Err(damaged());
    }
    for (line, bounds) in starts.windows(2).enumerate() {
        let (from, to) = (index(bounds[0]).ok_or_else(damaged)?, index(bounds[1]).ok_or_else(damaged)?);
        let range = (from <= to && to <= data.len()).then_some(from..to).ok_or_else(damaged)?;
        for i in range {
            let at = index(inner[i]).filter(|&at| at < length).ok_or_else(damaged)?;
            numbers[if is_by_columns { at * columns + line } else { line * columns + at }] += data[i];
        }
    }
    Ok(Array { shape, numbers })
}

/// A whole number that is none below zero.
fn index(number: f64) -> Option<usize> {
    (number >= 0.0 && number < MOST_NUMBERS as f64 + 1.0 && number.fract() == 0.0).then_some(number as usize)
}

fn lengths(pickle: &Pickle<'_>, id: Id) -> Result<Vec<usize>, String> {
    let length = |&id: &Id| usize::try_from(pickle.integer(id)?).ok();
    let lengths = pickle.list(id).and_then(|list| list.iter().map(length).collect());
    lengths.ok_or_else(|| "a shape is no list of numbers".into())
}

/// How an array's numbers are written: `dtype('f8', ...)`, whose state says in which order their bytes are.
fn number_type(pickle: &Pickle<'_>, id: Id) -> Result<NumberType, String> {
    let Node::Object { of, arguments, state } = pickle.node(id) else { return Err("a type of numbers is none".into()) };
    let is_type = matches!(pickle.node(*of), Node::Global(Global::NumberType, _));
    let text = pickle.list(*arguments).and_then(|list| pickle.text(*list.first()?)).filter(|_| is_type);
    let text = text.ok_or("a type of numbers is none")?;
    let number =
        NumberType::parse(text).ok_or_else(|| format!("its numbers are of a kind that bodies do not have ({text})"))?;
    let order = state.and_then(|state| pickle.text(*pickle.list(state)?.get(1)?));
    Ok(order.map_or(number, |order| number.with_order(order)))
}

/// The bytes of an array: as they are, or as text of which each character is a byte.
fn content<'p>(pickle: &'p Pickle<'_>, id: Id) -> Result<std::borrow::Cow<'p, [u8]>, String> {
    if let Some(bytes) = pickle.bytes(id) {
        return Ok(bytes.into());
    }
    if let Node::Object { of, arguments, .. } = pickle.node(id) {
        let arguments = pickle.list(*arguments).unwrap_or_default();
        match (pickle.node(*of), arguments) {
            (Node::Global(Global::Encode, _), [text, codec]) if pickle.text(*codec) == Some("latin1") => {
                let byte = |letter: char| u8::try_from(u32::from(letter)).ok();
                let bytes = pickle.text(*text).and_then(|text| text.chars().map(byte).collect::<Option<Vec<u8>>>());
                return bytes.map(Into::into).ok_or_else(|| "the bytes of an array are none".into());
            }
            (Node::Global(Global::Plain, _), [bytes]) if pickle.bytes(*bytes).is_some() => {
                return Ok(pickle.bytes(*bytes).unwrap_or_default().into());
            }
            _ => {}
        }
    }
    Err("the bytes of an array are none".into())
}
