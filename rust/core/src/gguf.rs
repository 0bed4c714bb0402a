//! GGUF files, versions 2 and 3: the header read and checked, tensors to f32.
//!
//! Whatever the bytes, reading them ends in a value or an error: every offset, count and length is checked before it is
//! used, nothing is allocated that the file is too short to fill, and nothing recurses. This file opens no file, keeps no
//! reference to the bytes, and does not know what the keys and tensors mean.

use std::collections::HashMap;
use std::fmt;

use half::{bf16, f16};

use crate::error::{Error, Result};
use crate::limits::Limits;

const MAGIC: &[u8] = b"GGUF";
/// Where the first key stands: after magic, version and two counts.
const METADATA_START: usize = 24;
const ALIGNMENT_KEY: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 1 << 20;

/// One value of the metadata. Integers and floats of every width are as wide as they get.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    U64(u64),
    I64(i64),
    F64(f64),
    Bool(bool),
    String(String),
    Array(Array),
}

/// An array of the metadata, never of arrays.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Array {
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    String(Vec<String>),
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Value::U64(_) => "an unsigned integer",
            Value::I64(_) => "a signed integer",
            Value::F64(_) => "a float",
            Value::Bool(_) => "a bool",
            Value::String(_) => "a string",
            Value::Array(Array::U64(_)) => "an array of unsigned integers",
            Value::Array(Array::I64(_)) => "an array of signed integers",
            Value::Array(Array::F64(_)) => "an array of floats",
            Value::Array(Array::Bool(_)) => "an array of bools",
            Value::Array(Array::String(_)) => "an array of strings",
        }
    }
}

/// How a tensor's elements are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, non_camel_case_types)]
pub enum TensorType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    /// A type this version cannot decode, by its number in ggml.
    Other(u32),
}

const SUPPORTED: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0";
/// Elements of one block of a quantized type.
const BLOCK: usize = 32;

impl TensorType {
    fn new(number: u32) -> TensorType {
        match number {
            0 => TensorType::F32,
            1 => TensorType::F16,
            2 => TensorType::Q4_0,
            3 => TensorType::Q4_1,
            6 => TensorType::Q5_0,
            7 => TensorType::Q5_1,
            8 => TensorType::Q8_0,
            30 => TensorType::BF16,
            _ => TensorType::Other(number),
        }
    }

    /// (elements, bytes) of one block.
    fn block(self) -> Option<(usize, usize)> {
        match self {
            TensorType::F32 => Some((1, 4)),
            TensorType::F16 | TensorType::BF16 => Some((1, 2)),
            TensorType::Q4_0 => Some((BLOCK, 18)),
            TensorType::Q4_1 => Some((BLOCK, 20)),
            TensorType::Q5_0 => Some((BLOCK, 22)),
            TensorType::Q5_1 => Some((BLOCK, 24)),
            TensorType::Q8_0 => Some((BLOCK, 34)),
            TensorType::Other(_) => None,
        }
    }

    /// What ggml calls the types that people meet and this version cannot decode.
    fn ggml_name(self) -> Option<&'static str> {
        match self {
            TensorType::Other(10) => Some("Q2_K"),
            TensorType::Other(11) => Some("Q3_K"),
            TensorType::Other(12) => Some("Q4_K"),
            TensorType::Other(13) => Some("Q5_K"),
            TensorType::Other(14) => Some("Q6_K"),
            TensorType::Other(15) => Some("Q8_K"),
            TensorType::Other(20) => Some("IQ4_NL"),
            TensorType::Other(23) => Some("IQ4_XS"),
            TensorType::Other(39) => Some("MXFP4"),
            _ => None,
        }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TensorType::Other(number) => write!(f, "type {number}"),
            known => write!(f, "{known:?}"),
        }
    }
}

/// Where a tensor lies in the file and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its unique name.
    pub name: String,
    /// Outermost dimension first.
    pub shape: Vec<usize>,
    /// How its elements are stored.
    pub tensor_type: TensorType,
    /// Of its first byte, from the file's start.
    pub offset: usize,
    /// The bytes it takes; of a type that cannot be decoded, those up to the next tensor.
    pub nbytes: usize,
    elements: usize,
}

impl Tensor {
    /// The product of its shape.
    pub fn elements(&self) -> usize {
        self.elements
    }
}

/// The header of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf {
    metadata: Vec<(String, Value)>,
    /// Offset of each value in the file.
    value_offsets: Vec<usize>,
    keys: HashMap<String, usize>,
    tensors: Vec<Tensor>,
    names: HashMap<String, usize>,
}

impl Gguf {
    /// Read the header of a whole file; tensors must lie inside it. `Error::ModelFile` with the offset of what is wrong,
    /// `Error::Limit` on more than this version is ready to read.
    pub fn parse(file: &[u8]) -> Result<Gguf> {
        let mut reader = Reader { file, at: 0 };
        if reader.take(MAGIC.len() as u64, "magic")? != MAGIC {
            return Err(fault(0, "not a GGUF file: it does not begin with \"GGUF\""));
        }
        let version = reader.u32("version")?;
        if !matches!(version, 2 | 3) {
            let order = if matches!(version.swap_bytes(), 2 | 3) { " (a big-endian file)" } else { "" };
            return Err(fault(4, format!("version {version}{order} is not supported; versions 2 and 3 are")));
        }
        // The shortest tensor: name length, dimensions, type, offset. The shortest pair: key length, type, one byte.
        let tensor_count = reader.count("gguf_tensors", Limits::DEFAULT.gguf_tensors, 8 + 4 + 4 + 8)?;
        let entry_count = reader.count("gguf_metadata_entries", Limits::DEFAULT.gguf_metadata_entries, 8 + 4 + 1)?;

        let mut gguf = Gguf {
            metadata: Vec::with_capacity(entry_count),
            value_offsets: Vec::with_capacity(entry_count),
            keys: HashMap::with_capacity(entry_count),
            tensors: Vec::with_capacity(tensor_count),
            names: HashMap::with_capacity(tensor_count),
        };
        for index in 0..entry_count {
            let start = reader.at;
            let key = reader.string("a metadata key")?;
            if gguf.keys.insert(key.clone(), index).is_some() {
                return Err(fault(start, format!("the key {key:?} comes twice")));
            }
            let value_type = reader.u32("a metadata type")?;
            gguf.value_offsets.push(reader.at);
            let value = reader.value(value_type)?;
            gguf.metadata.push((key, value));
        }
        let alignment = gguf.alignment()?;
        for index in 0..tensor_count {
            let start = reader.at;
            let tensor = reader.tensor(alignment)?;
            if gguf.names.insert(tensor.name.clone(), index).is_some() {
                return Err(fault(start, format!("the tensor {:?} comes twice", tensor.name)));
            }
            gguf.tensors.push(tensor);
        }
        place(&mut gguf.tensors, reader.at.next_multiple_of(alignment), file.len())?;
        Ok(gguf)
    }

    /// Keys and values in the file's order.
    pub fn metadata(&self) -> &[(String, Value)] {
        &self.metadata
    }

    /// Tensors in the file's order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// A tensor by its name; `Error::MissingTensor` if there is none.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        let missing = || Error::MissingTensor { name: name.to_owned() };
        self.names.get(name).map(|&index| &self.tensors[index]).ok_or_else(missing)
    }

    /// A value by its key, if the file has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).map(|&index| &self.metadata[index].1)
    }

    /// A string that must be there; `Error::ModelFile` if it is missing or something else, as for all below.
    pub fn str(&self, key: &str) -> Result<&str> {
        self.expect(key, "a string", |value| match value {
            Value::String(string) => Some(string.as_str()),
            _ => None,
        })
    }

    /// An integer that is not negative, of any width.
    pub fn u64(&self, key: &str) -> Result<u64> {
        self.expect(key, "an integer >= 0", |value| match *value {
            Value::U64(number) => Some(number),
            Value::I64(number) => u64::try_from(number).ok(),
            _ => None,
        })
    }

    /// A float, rounded to 32 bits.
    pub fn f32(&self, key: &str) -> Result<f32> {
        self.expect(key, "a float", |value| match *value {
            Value::F64(number) => Some(number as f32),
            _ => None,
        })
    }

    /// A bool.
    pub fn bool(&self, key: &str) -> Result<bool> {
        self.expect(key, "a bool", |value| match *value {
            Value::Bool(flag) => Some(flag),
            _ => None,
        })
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<&[String]> {
        self.expect(key, "an array of strings", |value| match value {
            Value::Array(Array::String(strings)) => Some(strings.as_slice()),
            _ => None,
        })
    }

    /// An array of signed integers, of any width.
    pub fn i64s(&self, key: &str) -> Result<&[i64]> {
        self.expect(key, "an array of signed integers", |value| match value {
            Value::Array(Array::I64(numbers)) => Some(numbers.as_slice()),
            _ => None,
        })
    }

    fn expect<'a, T>(&'a self, key: &str, wanted: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<T> {
        let Some(&index) = self.keys.get(key) else {
            return Err(fault(METADATA_START, format!("there is no key {key:?}, which should be {wanted}")));
        };
        let value = &self.metadata[index].1;
        read(value)
            .ok_or_else(|| fault(self.value_offsets[index], format!("{key:?} is {}, not {wanted}", value.type_name())))
    }

    fn alignment(&self) -> Result<usize> {
        let alignment = match self.keys.get(ALIGNMENT_KEY) {
            Some(_) => self.u64(ALIGNMENT_KEY)?,
            None => DEFAULT_ALIGNMENT,
        };
        if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
            let at = self.value_offsets[self.keys[ALIGNMENT_KEY]];
            return Err(fault(at, format!("alignment {alignment}: expected a power of two up to {MAX_ALIGNMENT}")));
        }
        Ok(alignment as usize)
    }
}

/// Turn offsets within the data into offsets within the file, and see that each tensor ends inside it.
fn place(tensors: &mut [Tensor], data_start: usize, file_len: usize) -> Result<()> {
    for tensor in tensors.iter_mut() {
        let end = data_start.checked_add(tensor.offset).and_then(|start| {
            tensor.offset = start;
            start.checked_add(tensor.nbytes)
        });
        if end.is_none_or(|end| end > file_len) {
            let Tensor { name, nbytes, offset, .. } = tensor;
            return Err(fault(*offset, format!("tensor {name:?} of {nbytes} bytes ends beyond the file's {file_len}")));
        }
    }
    let mut starts: Vec<usize> = tensors.iter().map(|tensor| tensor.offset).collect();
    starts.push(file_len);
    starts.sort_unstable();
    for tensor in tensors.iter_mut().filter(|tensor| tensor.tensor_type.block().is_none()) {
        let next = starts[starts.partition_point(|&start| start <= tensor.offset).min(starts.len() - 1)];
        tensor.nbytes = next - tensor.offset;
    }
    Ok(())
}

fn fault(offset: usize, what: impl Into<String>) -> Error {
    Error::ModelFile { offset: offset as u64, what: what.into() }
}

/// Little-endian reads that stop at the end of the file. `what` names the thing in the error.
struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn left(&self) -> u64 {
        (self.file.len() - self.at) as u64
    }

    fn take(&mut self, len: u64, what: &str) -> Result<&'a [u8]> {
        if len > self.left() {
            let left = self.left();
            return Err(fault(self.at, format!("{what} takes {len} bytes, the file ends after {left}")));
        }
        let start = self.at;
        self.at += len as usize;
        Ok(&self.file[start..self.at])
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64, what)?);
        Ok(bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A number of things that take at least `least` bytes each.
    fn count(&mut self, limit: &'static str, maximum: usize, least: u64) -> Result<usize> {
        let start = self.at;
        let got = self.u64(limit)?;
        if got > maximum as u64 {
            return Err(Error::Limit { limit, got, maximum: maximum as u64 });
        }
        if got.saturating_mul(least) > self.left() {
            return Err(fault(start, format!("{got} items do not fit the {} bytes that follow", self.left())));
        }
        Ok(got as usize)
    }

    fn string(&mut self, what: &str) -> Result<String> {
        let start = self.at;
        let len = self.count("gguf_string_bytes", Limits::DEFAULT.gguf_string_bytes, 1)?;
        match std::str::from_utf8(self.take(len as u64, what)?) {
            Ok(string) => Ok(string.to_owned()),
            Err(error) => Err(fault(start + 8 + error.valid_up_to(), format!("{what} is not UTF-8"))),
        }
    }

    fn value(&mut self, value_type: u32) -> Result<Value> {
        const WHAT: &str = "a metadata value";
        Ok(match value_type {
            0 => Value::U64(u8::from_le_bytes(self.array(WHAT)?).into()),
            1 => Value::I64(i8::from_le_bytes(self.array(WHAT)?).into()),
            2 => Value::U64(u16::from_le_bytes(self.array(WHAT)?).into()),
            3 => Value::I64(i16::from_le_bytes(self.array(WHAT)?).into()),
            4 => Value::U64(u32::from_le_bytes(self.array(WHAT)?).into()),
            5 => Value::I64(i32::from_le_bytes(self.array(WHAT)?).into()),
            6 => Value::F64(f32::from_le_bytes(self.array(WHAT)?).into()),
            7 => Value::Bool(self.bool()?),
            8 => Value::String(self.string("a metadata string")?),
            9 => Value::Array(self.items()?),
            10 => Value::U64(u64::from_le_bytes(self.array(WHAT)?)),
            11 => Value::I64(i64::from_le_bytes(self.array(WHAT)?)),
            12 => Value::F64(f64::from_le_bytes(self.array(WHAT)?)),
            _ => {
                return Err(fault(self.at - 4, format!("a metadata value of the unknown type {value_type}")));
            }
        })
    }

    /// "1-byte value where 0 is false and 1 is true. Anything else is invalid".
    fn bool(&mut self) -> Result<bool> {
        match self.array("a bool")? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(fault(self.at - 1, format!("a bool is {byte}, neither 0 nor 1"))),
        }
    }

    fn items(&mut self) -> Result<Array> {
        let start = self.at;
        let item_type = self.u32("an array's type")?;
        let least = match item_type {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => return Err(fault(start, "an array of arrays is not supported")),
            _ => return Err(fault(start, format!("an array of the unknown type {item_type}"))),
        };
        let len = self.count("gguf_array_items", Limits::DEFAULT.gguf_array_items, least)?;
        Ok(match item_type {
            0 => Array::U64(self.numbers(len, |bytes| u8::from_le_bytes(bytes).into())?),
            1 => Array::I64(self.numbers(len, |bytes| i8::from_le_bytes(bytes).into())?),
            2 => Array::U64(self.numbers(len, |bytes| u16::from_le_bytes(bytes).into())?),
            3 => Array::I64(self.numbers(len, |bytes| i16::from_le_bytes(bytes).into())?),
            4 => Array::U64(self.numbers(len, |bytes| u32::from_le_bytes(bytes).into())?),
            5 => Array::I64(self.numbers(len, |bytes| i32::from_le_bytes(bytes).into())?),
            6 => Array::F64(self.numbers(len, |bytes| f32::from_le_bytes(bytes).into())?),
            7 => Array::Bool((0..len).map(|_| self.bool()).collect::<Result<_>>()?),
            8 => Array::String((0..len).map(|_| self.string("a string of an array")).collect::<Result<_>>()?),
            10 => Array::U64(self.numbers(len, u64::from_le_bytes)?),
            11 => Array::I64(self.numbers(len, i64::from_le_bytes)?),
            _ => Array::F64(self.numbers(len, f64::from_le_bytes)?),
        })
    }

    fn numbers<const N: usize, T>(&mut self, len: usize, read: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
        let (items, _) = self.take((len * N) as u64, "an array")?.as_chunks::<N>();
        Ok(items.iter().map(|&item| read(item)).collect())
    }

    /// A tensor whose offset still counts from the start of the data.
    fn tensor(&mut self, alignment: usize) -> Result<Tensor> {
        let start = self.at;
        let name = self.string("a tensor's name")?;
        let dimensions = self.u32("a tensor's number of dimensions")?;
        let maximum = Limits::DEFAULT.gguf_dimensions;
        if dimensions as usize > maximum {
            let (got, maximum) = (dimensions.into(), maximum as u64);
            return Err(Error::Limit { limit: "gguf_dimensions", got, maximum });
        }
        let too_large = || fault(start, format!("tensor {name:?} is too large to count its elements"));
        let mut shape = Vec::with_capacity(dimensions as usize);
        let mut elements = 1usize;
        for _ in 0..dimensions {
            let size = usize::try_from(self.u64("a tensor's dimension")?).map_err(|_| too_large())?;
            elements = elements.checked_mul(size).ok_or_else(too_large)?;
            shape.push(size);
        }
        let tensor_type = TensorType::new(self.u32("a tensor's type")?);
        let offset_at = self.at;
        let offset = self.u64("a tensor's offset")?;
        if !offset.is_multiple_of(alignment as u64) {
            return Err(fault(offset_at, format!("tensor {name:?} at {offset} is not aligned to {alignment}")));
        }
        let offset = usize::try_from(offset).map_err(|_| fault(offset_at, format!("tensor {name:?} at {offset}")))?;
        let nbytes = match tensor_type.block() {
            // Blocks lie along the innermost dimension, the first in the file.
            Some((block, bytes)) => {
                let row = *shape.first().unwrap_or(&1);
                if !row.is_multiple_of(block) {
                    let what = format!("tensor {name:?} of type {tensor_type}: rows of {row} in blocks of {block}");
                    return Err(fault(start, what));
                }
                (elements / block).checked_mul(bytes).ok_or_else(too_large)?
            }
            None => 0,
        };
        shape.reverse();
        Ok(Tensor { name, shape, tensor_type, offset, nbytes, elements })
    }
}

/// A tensor of `file` as f32, `tensor.elements()` of them.
///
/// The values are those of ggml's reference: each is computed in f32, product and sum rounded one after the other.
pub fn dequantize(file: &[u8], tensor: &Tensor) -> Result<Vec<f32>> {
    let end = tensor.offset.checked_add(tensor.nbytes);
    let Some(bytes) = end.and_then(|end| file.get(tensor.offset..end)) else {
        let what = format!("tensor {:?} lies outside the file", tensor.name);
        return Err(fault(tensor.offset, what));
    };
    match tensor.tensor_type {
        TensorType::F32 => Ok(blocks(bytes, |bytes, [value]| *value = f32::from_le_bytes(*bytes))),
        TensorType::F16 => Ok(blocks(bytes, |bytes, [value]| *value = f16::from_le_bytes(*bytes).to_f32())),
        TensorType::BF16 => Ok(blocks(bytes, |bytes, [value]| *value = bf16::from_le_bytes(*bytes).to_f32())),
        TensorType::Q4_0 => Ok(blocks(bytes, q4_0)),
        TensorType::Q4_1 => Ok(blocks(bytes, q4_1)),
        TensorType::Q5_0 => Ok(blocks(bytes, q5_0)),
        TensorType::Q5_1 => Ok(blocks(bytes, q5_1)),
        TensorType::Q8_0 => Ok(blocks(bytes, q8_0)),
        TensorType::Other(_) => {
            let name = tensor.tensor_type.ggml_name().map(|name| format!(" ({name})")).unwrap_or_default();
            let (tensor_name, tensor_type) = (&tensor.name, tensor.tensor_type);
            let what = format!("tensor {tensor_name:?} is of ggml {tensor_type}{name}; supported: {SUPPORTED}");
            Err(fault(tensor.offset, what))
        }
    }
}

fn blocks<const BYTES: usize, const N: usize>(bytes: &[u8], decode: impl Fn(&[u8; BYTES], &mut [f32; N])) -> Vec<f32> {
    let blocks = bytes.as_chunks().0;
    let mut out = vec![0.0; blocks.len() * N];
    for (block, values) in blocks.iter().zip(out.as_chunks_mut().0) {
        decode(block, values);
    }
    out
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Element j is the low half of byte j, element j + 16 its high half.
fn nibble(block: &[u8], j: usize) -> u8 {
    if j < BLOCK / 2 { block[j] & 15 } else { block[j - BLOCK / 2] >> 4 }
}

/// f16 scale; 16 bytes of two 4-bit integers, offset by 8.
fn q4_0(block: &[u8; 18], out: &mut [f32; BLOCK]) {
    let scale = half_at(block, 0);
    for (j, value) in out.iter_mut().enumerate() {
        *value = f32::from(nibble(&block[2..], j) as i8 - 8) * scale;
    }
}

/// f16 scale, f16 minimum; 16 bytes of two 4-bit integers.
fn q4_1(block: &[u8; 20], out: &mut [f32; BLOCK]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    for (j, value) in out.iter_mut().enumerate() {
        *value = f32::from(nibble(&block[4..], j)) * scale + minimum;
    }
}

/// The 5-bit integers of four bytes of fifth bits, lowest first, and 16 bytes of two times four.
fn five_bits(block: &[u8], j: usize) -> u8 {
    nibble(&block[4..], j) | (block[j / 8] >> (j % 8) & 1) << 4
}

/// f16 scale; 5-bit integers, offset by 16.
fn q5_0(block: &[u8; 22], out: &mut [f32; BLOCK]) {
    let scale = half_at(block, 0);
    for (j, value) in out.iter_mut().enumerate() {
        *value = f32::from(five_bits(&block[2..], j) as i8 - 16) * scale;
    }
}

/// f16 scale, f16 minimum; 5-bit integers.
fn q5_1(block: &[u8; 24], out: &mut [f32; BLOCK]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    for (j, value) in out.iter_mut().enumerate() {
        *value = f32::from(five_bits(&block[4..], j)) * scale + minimum;
    }
}

/// f16 scale; 32 signed bytes.
fn q8_0(block: &[u8; 34], out: &mut [f32; BLOCK]) {
    let scale = half_at(block, 0);
    for (j, value) in out.iter_mut().enumerate() {
        *value = f32::from(block[2 + j] as i8) * scale;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use proptest::prelude::*;

    /// Name, dimensions, type, offset, data.
    type Written = (String, Vec<u64>, u32, u64, Vec<u8>);

    /// Writes files, also wrong ones.
    #[derive(Default)]
    struct Writer {
        entries: Vec<Vec<u8>>,
        tensors: Vec<Written>,
    }

    fn string(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    impl Writer {
        fn entry(mut self, key: &str, value_type: u32, value: &[u8]) -> Writer {
            self.entries.push([&string(key)[..], &value_type.to_le_bytes(), value].concat());
            self
        }

        fn array(self, key: &str, item_type: u32, len: u64, items: &[u8]) -> Writer {
            let value = [&item_type.to_le_bytes()[..], &len.to_le_bytes(), items].concat();
            self.entry(key, 9, &value)
        }

        fn tensor(mut self, name: &str, dimensions: &[u64], tensor_type: u32, data: &[u8]) -> Writer {
            let offset = match self.tensors.last() {
                Some((.., offset, data)) => (offset + data.len() as u64).next_multiple_of(32),
                None => 0,
            };
            self.tensors.push((name.into(), dimensions.into(), tensor_type, offset, data.into()));
            self
        }

        /// The file, and the length of its header.
        fn finish(&self) -> (Vec<u8>, usize) {
            let mut file = b"GGUF\x03\0\0\0".to_vec();
            file.extend((self.tensors.len() as u64).to_le_bytes());
            file.extend((self.entries.len() as u64).to_le_bytes());
            file.extend(self.entries.concat());
            for (name, dimensions, tensor_type, offset, _) in &self.tensors {
                file.extend(string(name));
                file.extend((dimensions.len() as u32).to_le_bytes());
                dimensions.iter().for_each(|size| file.extend(size.to_le_bytes()));
                file.extend(tensor_type.to_le_bytes());
                file.extend(offset.to_le_bytes());
            }
            let header = file.len();
            let data_start = header.next_multiple_of(32);
            for (.., offset, data) in &self.tensors {
                file.resize(data_start + *offset as usize, 0);
                file.extend(data);
            }
            (file, header)
        }

        fn parse(&self) -> Result<Gguf> {
            Gguf::parse(&self.finish().0)
        }
    }

    /// One of everything.
    fn sample() -> Writer {
        let strings = [string("a"), string("é"), string("")].concat();
        let mut writer = Writer::default()
            .entry("u8", 0, &[200])
            .entry("i8", 1, &[200])
            .entry("u16", 2, &40_000u16.to_le_bytes())
            .entry("i16", 3, &(-2i16).to_le_bytes())
            .entry("u32", 4, &u32::MAX.to_le_bytes())
            .entry("i32", 5, &i32::MIN.to_le_bytes())
            .entry("f32", 6, &1.5f32.to_le_bytes())
            .entry("bool", 7, &[1])
            .entry("string", 8, &string("llama"))
            .entry("u64", 10, &u64::MAX.to_le_bytes())
            .entry("i64", 11, &i64::MIN.to_le_bytes())
            .entry("f64", 12, &0.1f64.to_le_bytes())
            .entry(ALIGNMENT_KEY, 4, &32u32.to_le_bytes())
            .array("strings", 8, 3, &strings)
            .array("bools", 7, 2, &[0, 1])
            .array("i32s", 5, 2, &[1, 0, 0, 0, 255, 255, 255, 255])
            .array("f32s", 6, 1, &2.5f32.to_le_bytes())
            .array("u8s", 0, 3, &[1, 2, 3])
            .array("f64s", 12, 0, &[]);
        let floats: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        writer = writer.tensor("matrix", &[3, 2], 0, &floats);
        writer = writer.tensor("scalar", &[], 0, &floats[..4]).tensor("future", &[256], 12, &[7; 144]);
        for (number, bytes) in [(1, 64), (2, 18), (3, 20), (6, 22), (7, 24), (8, 34), (30, 64)] {
            writer = writer.tensor(&format!("type {number}"), &[32], number, &vec![0x3c; bytes]);
        }
        writer
    }

    /// Whatever can be read must be decodable without a panic.
    fn read_all(file: &[u8]) -> Result<()> {
        let gguf = Gguf::parse(file)?;
        for tensor in gguf.tensors() {
            if let Ok(values) = dequantize(file, tensor) {
                assert_eq!(values.len(), tensor.elements());
            }
        }
        Ok(())
    }

    #[test]
    fn one_of_everything() {
        let (file, header) = sample().finish();
        let gguf = Gguf::parse(&file).unwrap();
        assert_eq!(gguf.metadata().len(), 19);
        assert_eq!(gguf.get("i8"), Some(&Value::I64(-56)));
        assert_eq!((gguf.u64("u8").unwrap(), gguf.u64("u16").unwrap()), (200, 40_000));
        assert_eq!((gguf.u64("u32").unwrap(), gguf.u64("u64").unwrap()), (u64::from(u32::MAX), u64::MAX));
        assert_eq!((gguf.get("i16"), gguf.get("i32")), (Some(&Value::I64(-2)), Some(&Value::I64(i32::MIN.into()))));
        assert_eq!((gguf.get("i64"), gguf.get("f64")), (Some(&Value::I64(i64::MIN)), Some(&Value::F64(0.1))));
        assert_eq!((gguf.f32("f32").unwrap(), gguf.bool("bool").unwrap()), (1.5, true));
        assert_eq!(
            (gguf.str("string").unwrap(), gguf.strings("strings").unwrap()),
            ("llama", &["a", "é", ""].map(String::from)[..])
        );
        assert_eq!(gguf.i64s("i32s").unwrap(), [1, -1]);
        assert_eq!(gguf.get("bools"), Some(&Value::Array(Array::Bool(vec![false, true]))));
        assert_eq!(gguf.get("f32s"), Some(&Value::Array(Array::F64(vec![2.5]))));
        assert_eq!(gguf.get("u8s"), Some(&Value::Array(Array::U64(vec![1, 2, 3]))));
        assert_eq!(gguf.get("f64s"), Some(&Value::Array(Array::F64(vec![]))));
        assert_eq!(gguf.get("none"), None);

        let matrix = gguf.tensor("matrix").unwrap();
        assert_eq!((&matrix.shape[..], matrix.tensor_type, matrix.nbytes), (&[2, 3][..], TensorType::F32, 24));
        assert_eq!(matrix.offset, header.next_multiple_of(32));
        assert_eq!(dequantize(&file, matrix).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!((gguf.tensor("scalar").unwrap().elements(), gguf.tensor("scalar").unwrap().shape.len()), (1, 0));
        assert_eq!(gguf.tensor("none").unwrap_err(), Error::MissingTensor { name: "none".into() });

        let future = gguf.tensor("future").unwrap();
        assert_eq!((future.tensor_type.to_string(), future.nbytes), ("type 12".into(), 160));
        let error = dequantize(&file, future).unwrap_err();
        assert!(error.to_string().contains("\"future\" is of ggml type 12 (Q4_K); supported: F32"), "{error}");
    }

    fn fault_of<T: fmt::Debug>(result: Result<T>) -> (u64, String) {
        match result.unwrap_err() {
            Error::ModelFile { offset, what } => (offset, what),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn getters_say_what_is_missing_or_of_which_type() {
        let gguf = sample().parse().unwrap();
        assert!(fault_of(gguf.str("absent")).1.contains("no key \"absent\", which should be a string"));
        let (offset, what) = fault_of(gguf.str("u8"));
        assert_eq!((offset, what.as_str()), (24 + 8 + 2 + 4, "\"u8\" is an unsigned integer, not a string"));
        assert!(fault_of(gguf.u64("i16")).1.contains("a signed integer, not an integer >= 0"));
        assert!(fault_of(gguf.strings("i32s")).1.contains("an array of signed integers, not an array of strings"));
        assert!(gguf.f32("u8").is_err() && gguf.bool("u8").is_err() && gguf.i64s("u8s").is_err());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let (file, _) = sample().finish();
        assert!(read_all(&file).is_ok());
        for len in 0..file.len() {
            assert!(matches!(read_all(&file[..len]), Err(Error::ModelFile { .. })), "cut to {len}");
        }
    }

    #[test]
    fn no_change_of_one_byte_panics() {
        let (mut file, header) = sample().finish();
        for at in 0..header {
            let was = file[at];
            for byte in 0..=255 {
                file[at] = byte;
                let _ = read_all(&file);
            }
            file[at] = was;
        }
    }

    #[test]
    fn no_hostile_count_panics_or_allocates() {
        let (file, header) = sample().finish();
        for at in 0..header - 8 {
            for count in [u64::MAX, u64::MAX / 2, 1 << 62, u64::MAX - 31, 1 << 32, (1 << 22) - 1] {
                let mut file = file.clone();
                file[at..at + 8].copy_from_slice(&count.to_le_bytes());
                let _ = read_all(&file);
            }
        }
        let mut many = b"GGUF\x02\0\0\0".to_vec();
        many.extend([0; 8]);
        many.extend((1u64 << 16).to_le_bytes());
        assert!(fault_of(Gguf::parse(&many)).1.contains("65536 items do not fit"));
        many[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        let error = Error::Limit { limit: "gguf_metadata_entries", got: u64::MAX, maximum: 1 << 16 };
        assert_eq!(Gguf::parse(&many).unwrap_err(), error);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let of = |writer: Writer| fault_of(writer.parse()).1;
        assert!(fault_of(Gguf::parse(b"")).1.contains("the file ends"));
        assert!(fault_of(Gguf::parse(b"GGML\x03\0\0\0")).1.contains("not a GGUF file"));
        assert!(fault_of(Gguf::parse(b"GGUF\x01\0\0\0")).1.contains("version 1 is not supported"));
        assert!(fault_of(Gguf::parse(b"GGUF\0\0\0\x03")).1.contains("big-endian"));
        let one = || Writer::default().entry("one", 0, &[1]);
        assert!(of(one().entry("one", 0, &[1])).contains("\"one\" comes twice"));
        assert!(of(one().entry("k", 7, &[2])).contains("neither 0 nor 1"));
        assert!(of(one().entry("k", 13, &[0; 8])).contains("unknown type 13"));
        assert!(of(one().entry("k", 8, &[2, 0, 0, 0, 0, 0, 0, 0, b'a', 0xff])).contains("not UTF-8"));
        assert!(of(one().array("k", 9, 0, &[])).contains("array of arrays"));
        assert!(of(one().array("k", 13, 0, &[])).contains("unknown type 13"));
        for alignment in [0u32, 3, 1 << 21] {
            assert!(of(one().entry(ALIGNMENT_KEY, 4, &alignment.to_le_bytes())).contains("power of two"));
        }
        assert!(of(one().entry(ALIGNMENT_KEY, 8, &string("32"))).contains("is a string"));
        assert!(of(one().tensor("t", &[1], 0, &[0; 4]).tensor("t", &[1], 0, &[0; 4])).contains("\"t\" comes twice"));
        assert!(of(one().tensor("t", &[2], 0, &[0; 4])).contains("ends beyond the file"));
        assert!(of(one().tensor("t", &[31], 8, &[0; 34])).contains("rows of 31 in blocks of 32"));
        assert!(of(one().tensor("t", &[1 << 32, 1 << 32], 0, &[])).contains("too large"));
        assert!(of(one().tensor("t", &[1 << 61, 4], 0, &[])).contains("too large"));
        let mut crooked = one().tensor("t", &[1], 0, &[0; 4]);
        crooked.tensors[0].3 = 4;
        assert!(of(crooked).contains("not aligned to 32"));
        let deep = one().tensor("t", &[1, 1, 1, 1, 1], 0, &[0; 4]).parse().unwrap_err();
        assert_eq!(deep, Error::Limit { limit: "gguf_dimensions", got: 5, maximum: 4 });
    }

    /// A block by hand for each type; scale 2, minimum -1.
    #[test]
    fn blocks_decode_as_in_ggml() {
        let two = f16::from_f32(2.0).to_le_bytes();
        let minus_one = f16::from_f32(-1.0).to_le_bytes();
        let nibbles: Vec<u8> = (0..16).map(|j| j | (15 - j) << 4).collect();
        let number = |j: usize| (if j < 16 { j } else { 31 - j }) as f32;
        // Every third element has its fifth bit set.
        let fifth = |j: usize| if j.is_multiple_of(3) { 16.0 } else { 0.0 };
        let fifth_bits = (0..32).filter(|j| j % 3 == 0).fold(0u32, |bits, j| bits | 1 << j).to_le_bytes();
        let bytes: Vec<u8> = (0..32).map(|j| (j * 8) as u8).collect();
        type Expected<'a> = &'a dyn Fn(usize) -> f32;
        let cases: [(u32, Vec<u8>, Expected<'_>); 5] = [
            (2, [&two[..], &nibbles].concat(), &|j| (number(j) - 8.0) * 2.0),
            (3, [&two[..], &minus_one, &nibbles].concat(), &|j| number(j) * 2.0 - 1.0),
            (6, [&two[..], &fifth_bits, &nibbles].concat(), &|j| (number(j) + fifth(j) - 16.0) * 2.0),
            (7, [&two[..], &minus_one, &fifth_bits, &nibbles].concat(), &|j| (number(j) + fifth(j)) * 2.0 - 1.0),
            (8, [&two[..], &bytes].concat(), &|j| f32::from((j * 8) as u8 as i8) * 2.0),
        ];
        for (number, block, expected) in cases {
            // Two blocks, so that the step from one to the next is seen too.
            let (file, _) = Writer::default().tensor("t", &[32, 2], number, &[&block[..], &block].concat()).finish();
            let gguf = Gguf::parse(&file).unwrap();
            let expected: Vec<f32> = (0..64).map(|j| expected(j % 32)).collect();
            assert_eq!(dequantize(&file, &gguf.tensors()[0]).unwrap(), expected, "{}", gguf.tensors()[0].tensor_type);
        }
        let halves = [f16::from_f32(0.5).to_le_bytes(), f16::from_f32(-65504.0).to_le_bytes()].concat();
        let brains = [bf16::from_f32(0.5).to_le_bytes(), bf16::from_f32(-1e38).to_le_bytes()].concat();
        let (file, _) = Writer::default().tensor("h", &[2], 1, &halves).tensor("b", &[2], 30, &brains).finish();
        let gguf = Gguf::parse(&file).unwrap();
        assert_eq!(dequantize(&file, &gguf.tensors()[0]).unwrap(), [0.5, -65504.0]);
        assert_eq!(dequantize(&file, &gguf.tensors()[1]).unwrap(), [0.5, bf16::from_f32(-1e38).to_f32()]);
    }

    #[test]
    fn dequantize_reads_no_file_but_the_tensors_own() {
        let (file, _) = sample().finish();
        let gguf = Gguf::parse(&file).unwrap();
        let matrix = gguf.tensor("matrix").unwrap();
        assert!(fault_of(dequantize(&file[..40], matrix)).1.contains("outside the file"));
    }

    proptest! {
        #[test]
        fn any_bytes_after_the_magic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&[&b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"[..], &bytes].concat());
        }

        #[test]
        fn metadata_comes_back(keys in prop::collection::btree_set("\\PC{0,8}", 0..8), text in "\\PC{0,20}", number in any::<i64>()) {
            let mut writer = Writer::default();
            for key in &keys {
                writer = writer.entry(&format!("s{key}"), 8, &string(&text)).entry(&format!("n{key}"), 11, &number.to_le_bytes());
            }
            let gguf = writer.parse().unwrap();
            prop_assert_eq!(gguf.metadata().len(), 2 * keys.len());
            for key in &keys {
                prop_assert_eq!(gguf.str(&format!("s{key}")).unwrap(), &text);
                prop_assert_eq!(gguf.get(&format!("n{key}")), Some(&Value::I64(number)));
            }
        }
    }
}
