//! Reads Python's pickles without executing anything.
//!
//! A pickle is a program for a machine with a stack. Python's machine imports whatever name it is told and calls it. This one makes a
//! tree of what would have been called with what ([`Node`]), and refuses at once every name that is not in its list ([`Global`]); nothing is
//! ever imported or called. What the tree means is made out afterwards (`objects.rs`), of those parts only that are asked for.

use std::ops::Range;

/// Objects in a pickle at most; those of bodies have some thousands.
const MOST_OBJECTS: usize = 2_000_000;
/// Longest name or number that is written as a line, bytes.
const LONGEST_LINE: usize = 1 << 12;

/// Which of a pickle's objects.
pub type Id = usize;

/// A class or function that a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    /// NumPy's array.
    Array,
    /// What NumPy makes arrays with.
    ArrayReconstruct,
    /// What NumPy makes arrays with since pickles have buffers.
    ArrayFromBuffer,
    /// NumPy's type of numbers.
    NumberType,
    /// What NumPy makes single numbers with.
    Scalar,
    /// SciPy's matrix of columns with few numbers.
    SparseColumns,
    /// SciPy's matrix of rows with few numbers.
    SparseRows,
    /// One of chumpy's classes.
    Chumpy,
    /// `copyreg._reconstructor`.
    Reconstructor,
    /// `_codecs.encode`: how Python 3 writes bytes for Python 2.
    Encode,
    /// A container or base class whose content nobody asks for.
    Plain,
}

/// An object of a pickle.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `None`.
    None,
    /// Also `True` and `False`.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// Bytes, or text in Python 2; as they are in the file.
    Bytes(Range<usize>),
    /// Bytes that are not in the file as they are.
    Decoded(Vec<u8>),
    /// A text.
    Text(String),
    /// Also a tuple.
    List(Vec<Id>),
    /// Pairs.
    Dict(Vec<(Id, Id)>),
    /// A class or function, and its name.
    Global(Global, String),
    /// What a class or function would make of arguments.
    Object {
        /// The class or function.
        of: Id,
        /// A list.
        arguments: Id,
        /// What the object is then given.
        state: Option<Id>,
    },
}

/// A pickle that was read.
pub struct Pickle<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
    /// The outermost object.
    pub root: Id,
}

impl Pickle<'_> {
    /// One of its objects.
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    /// The bytes that an object is, if it is bytes.
    pub fn bytes(&self, id: Id) -> Option<&[u8]> {
        match self.node(id) {
            Node::Bytes(range) => Some(&self.bytes[range.clone()]),
            Node::Decoded(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text that an object is, be it written as bytes.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => std::str::from_utf8(self.bytes(id)?).ok(),
        }
    }

    /// The list that an object is.
    pub fn list(&self, id: Id) -> Option<&[Id]> {
        if let Node::List(items) = self.node(id) { Some(items) } else { None }
    }

    /// The integer that an object is.
    pub fn integer(&self, id: Id) -> Option<i64> {
        if let Node::Integer(number) = self.node(id) { Some(*number) } else { None }
    }

    /// The value of a key in an object that is a dictionary; the last one, where there are several.
    pub fn value(&self, dict: Id, key: &str) -> Option<Id> {
        let Node::Dict(pairs) = self.node(dict) else { return None };
        pairs.iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }
}

/// What a name in a pickle stands for; `None` for everything but arrays and what they are made of.
fn known(module: &str, name: &str) -> Option<Global> {
    let package = module.split('.').next()?;
    Some(match (module, name) {
        ("numpy", "ndarray") => Global::Array,
        ("numpy", "dtype") => Global::NumberType,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Global::ArrayReconstruct,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Global::Scalar,
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Global::ArrayFromBuffer,
        (_, "csc_matrix" | "csc_array") if module.starts_with("scipy.sparse.") => Global::SparseColumns,
        (_, "csr_matrix" | "csr_array") if module.starts_with("scipy.sparse.") => Global::SparseRows,
        _ if package == "chumpy" => Global::Chumpy,
        ("copyreg" | "copy_reg", "_reconstructor") => Global::Reconstructor,
        ("_codecs", "encode") => Global::Encode,
        (
            "builtins" | "__builtin__",
            "object" | "set" | "frozenset" | "list" | "dict" | "tuple" | "bytearray" | "bytes",
        ) => Global::Plain,
        ("collections", "OrderedDict" | "defaultdict") => Global::Plain,
        _ => return None,
    })
}

/// Reads a pickle.
///
/// # Errors
/// When it is damaged, or names anything but arrays and what they are made of.
pub fn read(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    let machine = Machine { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: Vec::new() };
    machine.run()
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    /// What later parts of the pickle refer to, by number.
    memo: Vec<Option<Id>>,
}

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Pickle<'a>, String> {
        loop {
            let start = self.at;
            let operation = self.byte()?;
            if operation == b'.' {
                let root = self.pop()?;
                return Ok(Pickle { bytes: self.bytes, nodes: self.nodes, root });
            }
            self.step(operation).map_err(|reason| format!("{reason} (at byte {start} of the pickle)"))?;
            if self.nodes.len() > MOST_OBJECTS || self.stack.len() > MOST_OBJECTS {
                return Err(format!("it has more than {MOST_OBJECTS} objects"));
            }
        }
    }

    fn step(&mut self, operation: u8) -> Result<(), String> {
        match operation {
            // The version of the format, and the length of the part that follows.
            0x80 => drop(self.byte()?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Integer(1)),
            0x89 => self.push(Node::Integer(0)),
            b'I' | b'L' | b'F' => self.written_number(operation)?,
            b'J' => {
                let number = self.number(4)? as i32;
                self.push(Node::Integer(number.into()));
            }
            b'K' => self.unsigned(1)?,
            b'M' => self.unsigned(2)?,
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'G' => {
                let bits = self.take(8)?.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
                self.push(Node::Float(f64::from_bits(bits)));
            }
            b'S' => {
                let line = self.line(self.bytes.len())?;
                let bytes = unquoted(line).ok_or("a text has no quotes round it")?;
                self.push(Node::Decoded(bytes));
            }
            b'U' | b'C' => self.plain_bytes(1)?,
            b'T' | b'B' => self.plain_bytes(4)?,
            0x8e | 0x96 => self.plain_bytes(8)?,
            b'V' => {
                let line = self.line(self.bytes.len())?;
                let text = String::from_utf8_lossy(line).into_owned();
                self.push(Node::Text(text));
            }
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b']' | b')' => self.push(Node::List(Vec::new())),
            b'l' | b't' => {
                let items = self.since_mark()?;
                self.push(Node::List(items));
            }
            0x85..=0x87 => {
                let from =
                    self.stack.len().checked_sub(usize::from(operation - 0x84)).filter(|&from| from >= self.floor());
                let items = self.stack.split_off(from.ok_or("its stack is empty")?);
                self.push(Node::List(items));
            }
            b'}' | 0x8f => self.push(Node::Dict(Vec::new())),
            b'd' => {
                let pairs = pairs(&self.since_mark()?)?;
                self.push(Node::Dict(pairs));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let pairs = pairs(&self.since_mark()?)?;
                self.set(pairs)?;
            }
            // Items of a set: nobody asks for them.
            0x90 => drop(self.since_mark()?),
            0x91 => {
                let items = self.since_mark()?;
                self.push(Node::List(items));
            }
            b'c' => {
                let module = self.short_line()?;
                let name = self.short_line()?;
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.nodes.get(module), self.nodes.get(name)) {
                    (Some(Node::Text(module)), Some(Node::Text(name))) => {
                        let (module, name) = (module.clone(), name.clone());
                        self.global(&module, &name)?;
                    }
                    _ => return Err("a name is no text".into()),
                }
            }
            b'R' | 0x81 => {
                let (arguments, of) = (self.pop()?, self.pop()?);
                self.push(Node::Object { of, arguments, state: None });
            }
            b'b' => {
                let given = self.pop()?;
                let object = self.top()?;
                match &mut self.nodes[object] {
                    Node::Object { state, .. } => *state = Some(given),
                    _ => return Err("something that is no object is given a state".into()),
                }
            }
            b'p' => {
                let number = self.short_line()?;
                self.put(number.parse().map_err(|_| "a number is none")?)?;
            }
            b'q' => {
                let number = self.number(1)?;
                self.put(number)?;
            }
            b'r' => {
                let number = self.number(4)?;
                self.put(number)?;
            }
            0x94 => self.put(self.memo.len() as u64)?,
            b'g' => {
                let number = self.short_line()?;
                self.get(number.parse().map_err(|_| "a number is none")?)?;
            }
            b'h' => {
                let number = self.number(1)?;
                self.get(number)?;
            }
            b'j' => {
                let number = self.number(4)?;
                self.get(number)?;
            }
            // Classes by a path of their own: old-style instances, persistent objects, extensions, buffers elsewhere.
            b'i' => {
                let (module, name) = (self.short_line()?, self.short_line()?);
                return Err(refused(&module, &name));
            }
            _ => return Err(format!("it has the operation {operation:#04x}, which files of bodies have no use for")),
        }
        Ok(())
    }

    fn push(&mut self, node: Node) {
        self.nodes.push(node);
        self.stack.push(self.nodes.len() - 1);
    }

    /// Height of the stack at the last mark: what is below is not to be touched.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top(&self) -> Result<Id, String> {
        let is_there = self.stack.len() > self.floor();
        self.stack.last().copied().filter(|_| is_there).ok_or_else(|| "its stack is empty".into())
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("it goes back to a mark that is not there")?;
        Ok(self.stack.split_off(mark))
    }

    /// Adds items to the list on top; those of other objects (sets, for one) are not kept.
    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let list = self.top()?;
        if let Node::List(list) = &mut self.nodes[list] {
            list.extend(items);
        }
        Ok(())
    }

    /// Adds pairs to the dictionary on top; those of other objects are not kept.
    fn set(&mut self, pairs: Vec<(Id, Id)>) -> Result<(), String> {
        let dict = self.top()?;
        if let Node::Dict(dict) = &mut self.nodes[dict] {
            dict.extend(pairs);
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let global = known(module, name).ok_or_else(|| refused(module, name))?;
        self.push(Node::Global(global, format!("{module}.{name}")));
        Ok(())
    }

    fn put(&mut self, number: u64) -> Result<(), String> {
        let top = self.top()?;
        let number = usize::try_from(number).ok().filter(|&number| number <= MOST_OBJECTS);
        let number = number.ok_or_else(|| format!("it has more than {MOST_OBJECTS} objects"))?;
        if number >= self.memo.len() {
            self.memo.resize(number + 1, None);
        }
        self.memo[number] = Some(top);
        Ok(())
    }

    fn get(&mut self, number: u64) -> Result<(), String> {
        let id = usize::try_from(number).ok().and_then(|number| *self.memo.get(number)?);
        self.stack.push(id.ok_or_else(|| format!("it refers to object {number}, which is not there"))?);
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let range = self.range(count)?;
        Ok(&self.bytes[range])
    }

    fn range(&mut self, count: usize) -> Result<Range<usize>, String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len()).ok_or("it ends too early")?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    /// A number without sign in so many bytes, the lowest first.
    fn number(&mut self, size: usize) -> Result<u64, String> {
        Ok(self.take(size)?.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    fn length(&mut self, size: usize) -> Result<usize, String> {
        usize::try_from(self.number(size)?).map_err(|_| "it ends too early".into())
    }

    fn unsigned(&mut self, size: usize) -> Result<(), String> {
        let number = self.number(size)?;
        self.push(Node::Integer(number as i64));
        Ok(())
    }

    /// A number of any length, in two's complement. Those beyond 64 bits are nobody's.
    fn long(&mut self, size: usize) -> Result<(), String> {
        let length = self.length(size)?;
        let bytes = self.take(length)?;
        if length > 8 {
            self.push(Node::None);
            return Ok(());
        }
        let mut wide = [if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 }; 8];
        wide[..length].copy_from_slice(bytes);
        self.push(Node::Integer(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn plain_bytes(&mut self, size: usize) -> Result<(), String> {
        let length = self.length(size)?;
        let range = self.range(length)?;
        self.push(Node::Bytes(range));
        Ok(())
    }

    fn text(&mut self, size: usize) -> Result<(), String> {
        let length = self.length(size)?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "a text is not in UTF-8")?;
        self.push(Node::Text(text.to_owned()));
        Ok(())
    }

    /// A number in decimal digits: `I` and `L` are integers, `F` is not.
    fn written_number(&mut self, operation: u8) -> Result<(), String> {
        let line = self.short_line()?;
        let node = match operation {
            b'F' => line.parse().ok().map(Node::Float),
            _ => line.strip_suffix('L').unwrap_or(&line).parse().ok().map(Node::Integer),
        };
        self.push(node.ok_or_else(|| format!("`{line}` is no number"))?);
        Ok(())
    }

    /// The bytes up to the end of the line.
    fn line(&mut self, longest: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().take(longest).position(|&byte| byte == b'\n').ok_or("a line does not end")?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn short_line(&mut self) -> Result<String, String> {
        let line = self.line(LONGEST_LINE)?;
        Ok(String::from_utf8_lossy(line).trim_end_matches('\r').to_owned())
    }
}

fn refused(module: &str, name: &str) -> String {
    let shown = |text: &str| crate::text::printable(&text.chars().take(80).collect::<String>());
    format!(
        "it would have Python call `{}.{}`, which no body needs; nothing of it was executed. If you trust the file, read it in Python and \
         write its arrays with numpy.savez",
        shown(module),
        shown(name)
    )
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    match rest {
        [] => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err("a key has no value".into()),
    }
}

/// The bytes that Python's `repr` of a string stands for.
fn unquoted(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (&quote, rest) = line.split_first().filter(|(quote, _)| [b'\'', b'"'].contains(quote))?;
    let inner = rest.strip_suffix(&[quote])?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut input = inner.iter().copied();
    while let Some(byte) = input.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match input.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = [input.next()?, input.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other @ (b'\\' | b'\'' | b'"') => other,
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_objects_of_old_and_new_pickles_are_read() {
        // pickle.dumps({'a': [1, -2, 3.5], 'b': None}, 0) and the like.
        let old = b"(dp0\nS'a'\np1\n(lp2\nI1\naL-2L\naF3.5\nasS'b\\x01'\nNs.";
        let pickle = read(old).unwrap();
        let list = pickle.list(pickle.value(pickle.root, "a").unwrap()).unwrap();
        let nodes: Vec<&Node> = list.iter().map(|&id| pickle.node(id)).collect();
        assert_eq!(nodes, [&Node::Integer(1), &Node::Integer(-2), &Node::Float(3.5)]);
        assert!(pickle.value(pickle.root, "b\u{1}").is_some() && pickle.value(pickle.root, "c").is_none());
        let new = b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94J\xfe\xff\xff\xffM\x01\x01C\x02hiu.";
        let pickle = read(new).unwrap();
        assert_eq!(pickle.integer(pickle.value(pickle.root, "a").unwrap()), Some(-2));
        let Node::Dict(pairs) = pickle.node(pickle.root) else { panic!("a dictionary") };
        assert_eq!((pickle.integer(pairs[1].0), pickle.bytes(pairs[1].1)), (Some(257), Some(&b"hi"[..])));
    }

    #[test]
    fn whatever_is_no_array_is_refused_by_name() {
        let cases: [(&[u8], &str); 7] = [
            (b"cos\nsystem\n(S'echo'\ntR.", "`os.system`"),
            (b"cposix\nsystem\nS'echo'\n\x85R.", "`posix.system`"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "`builtins.eval`"),
            (b"c__builtin__\ngetattr\n.", "`__builtin__.getattr`"),
            (b"(S'echo'\nisubprocess\nPopen\n.", "`subprocess.Popen`"),
            (b"cnumpy\nload\n.", "`numpy.load`"),
            (b"cnumpy.testing._private.utils\nrunstring\n.", "`numpy.testing._private.utils.runstring`"),
        ];
        for (bytes, expected) in cases {
            let message = read(bytes).err().unwrap();
            assert!(message.contains(expected) && message.contains("nothing of it was executed"), "{message}");
        }
        // Objects elsewhere, extensions and buffers are no part of the file.
        for bytes in [&b"S'a'\nQ."[..], b"Pa\n.", b"\x82\x01.", b"\x97."] {
            assert!(read(bytes).err().unwrap().contains("have no use for"));
        }
    }

    #[test]
    fn no_bytes_whatsoever_make_it_panic_or_take_all_memory() {
        let seed = b"\x80\x02}q\x00(U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04U\x01b\x87Rq\x05(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x10aaaaaaaabbbbbbbbtbu.";
        assert!(read(seed).is_ok());
        let mut random = 1_u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        for _ in 0..100_000 {
            let mut bytes = seed.to_vec();
            bytes.truncate(next(bytes.len()) + 1);
            for _ in 0..next(6) {
                let at = next(bytes.len());
                bytes[at] = next(256) as u8;
            }
            if let Ok(pickle) = read(&bytes) {
                assert!(pickle.nodes.len() <= bytes.len());
            }
        }
        // A number for the memo, and a length, that are far beyond the file.
        assert!(read(b"Nr\xff\xff\xff\xff.").is_err());
        assert!(read(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.").is_err());
        assert!(read(&vec![b'N'; MOST_OBJECTS + 2]).err().unwrap().contains("objects"));
        assert!(read(&vec![b'('; 10_000]).is_err());
    }
}
