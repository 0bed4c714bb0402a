//! Arrays from Python: whatever has the buffer protocol or `__dlpack__`, looked at where it lies. The one file of the
//! binding that may be unsafe: here a foreign pointer becomes a slice, after its shape, type, device and alignment have
//! been checked.
//!
//! The layout of the structures is DLPack's (dlpack.h, versions 0.x and 1.x).
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::slice;

use half::{bf16, f16};
use logitwire_core::error::Error as CoreError;
use logitwire_core::kernels::{Row, RowMut};
use logitwire_core::limits::Limits;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::ffi::{PyCapsule_GetPointer, PyCapsule_IsValid, PyObject_CheckBuffer};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

use crate::error::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dtype {
    F32,
    F16,
    Bf16,
    I32,
}

impl Dtype {
    fn size(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float,
    Int32,
    Float32,
}

impl Kind {
    fn accepts(self, dtype: Dtype) -> bool {
        match self {
            Self::Float => dtype != Dtype::I32,
            Self::Int32 => dtype == Dtype::I32,
            Self::Float32 => dtype == Dtype::F32,
        }
    }

    fn names(self) -> &'static str {
        match self {
            Self::Float => "float32, float16 or bfloat16",
            Self::Int32 => "int32",
            Self::Float32 => "float32",
        }
    }
}

#[repr(C)]
struct DlDevice {
    device_type: i32,
    device_id: i32,
}

#[repr(C)]
struct DlDataType {
    code: u8,
    bits: u8,
    lanes: u16,
}

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device: DlDevice,
    ndim: i32,
    dtype: DlDataType,
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
}

#[repr(C)]
struct DlManagedTensorVersioned {
    version: [u32; 2],
    manager_ctx: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut DlManagedTensorVersioned)>,
    flags: u64,
    tensor: DlTensor,
}

/// The table of functions that a class of tensors offers as `__dlpack_c_exchange_api__`, as far as it is read. It lives as
/// long as the process.
#[repr(C)]
struct DlExchange {
    version: [u32; 2],
    previous: *const c_void,
    allocate: *const c_void,
    /// (an object of that class, where to write the tensor): 0, or -1 with an exception set. The tensor is the caller's.
    export: Option<unsafe extern "C" fn(*mut c_void, *mut *mut DlManagedTensorVersioned) -> i32>,
}

/// Memory the host reads: the CPU's own, and what CUDA and ROCm pin for it.
const DL_HOST: [i32; 3] = [1, 3, 11];
const DL_READ_ONLY: u64 = 1;
const DL_NAME: &CStr = c"dltensor";
const DL_NAME_VERSIONED: &CStr = c"dltensor_versioned";
const DL_NAME_EXCHANGE: &CStr = c"dlpack_exchange_api";

/// What keeps the memory alive. A capsule that nobody consumed frees its tensor when it goes.
enum Owner<'py> {
    Buffer(#[expect(dead_code, reason = "held, not read")] PyUntypedBuffer),
    Capsule(#[expect(dead_code, reason = "held, not read")] Bound<'py, PyAny>),
    Tensor(#[expect(dead_code, reason = "held, not read")] OwnedTensor),
}

/// A tensor that is ours to free.
struct OwnedTensor(NonNull<DlManagedTensorVersioned>);

impl Drop for OwnedTensor {
    fn drop(&mut self) {
        // SAFETY: whoever made this handed the tensor over, and it is freed once. The interpreter is attached: an `Array`
        // does not leave the call that took it.
        unsafe {
            if let Some(deleter) = self.0.as_ref().deleter {
                deleter(self.0.as_ptr());
            }
        }
    }
}

/// A matrix in Python's memory: rows at any stride, the elements of a row adjacent.
pub(crate) struct Array<'py> {
    name: &'static str,
    data: *mut u8,
    dtype: Dtype,
    rows: usize,
    columns: usize,
    row_stride: isize,
    writable: bool,
    one_dimensional: bool,
    _owner: Owner<'py>,
}

/// As found, and what keeps it alive.
struct Found<'py> {
    layout: Layout,
    owner: Owner<'py>,
}

/// As found, before it is known to be a matrix.
struct Layout {
    data: *mut u8,
    dtype: Dtype,
    /// One dimension, or two.
    n_dimensions: usize,
    shape: [usize; 2],
    /// In bytes.
    strides: [isize; 2],
    writable: bool,
}

fn array_error<T>(what: String, hint: Option<&'static str>) -> Result<T> {
    Err(Error::Array { what, hint })
}

impl<'py> Array<'py> {
    /// Logits: (batch, vocab_size) or (vocab_size,).
    pub(crate) fn logits(object: &Bound<'py, PyAny>) -> Result<Self> {
        Self::get(object, "logits", Kind::Float)
    }

    /// A mask: (batch, words) or (words,).
    pub(crate) fn mask(object: &Bound<'py, PyAny>) -> Result<Self> {
        Self::get(object, "mask", Kind::Int32)
    }

    /// Candidate ids: (batch, k).
    pub(crate) fn ids(object: &Bound<'py, PyAny>) -> Result<Self> {
        Self::get(object, "ids", Kind::Int32)
    }

    /// A float32 for each row: (batch,).
    pub(crate) fn logsumexp(object: &Bound<'py, PyAny>) -> Result<Vec<f32>> {
        let array = Self::get(object, "logsumexp", Kind::Float32)?;
        if !array.one_dimensional {
            return array_error("logsumexp: expected shape (batch,)".into(), None);
        }
        match array.read().first() {
            Some(Row::F32(values)) => Ok(values.to_vec()),
            _ => Ok(Vec::new()),
        }
    }

    fn get(object: &Bound<'py, PyAny>, name: &'static str, kind: Kind) -> Result<Self> {
        // SAFETY: any object may be asked whether it has the protocol. A refusal would cost an exception.
        let has_buffer = unsafe { PyObject_CheckBuffer(object.as_ptr()) } != 0;
        let buffer = has_buffer.then(|| PyUntypedBuffer::get(object).ok()).flatten();
        let found = match buffer {
            Some(buffer) => from_buffer(buffer, name, kind)?,
            None => match from_exchange(object, name, kind)? {
                Some(found) => found,
                None => from_dlpack(object, name, kind)?,
            },
        };
        let Found { layout: Layout { data, dtype, n_dimensions, shape, strides, writable }, owner } = found;
        if !kind.accepts(dtype) {
            return wrong_dtype(name, kind, &format!("{dtype:?}").to_lowercase());
        }
        let one_dimensional = n_dimensions == 1;
        let (rows, columns, row_stride, column_stride) = match one_dimensional {
            true => (1, shape[0], 0, strides[0]),
            false => (shape[0], shape[1], strides[0], strides[1]),
        };
        let maximum = Limits::DEFAULT.batch_rows;
        if rows > maximum {
            return Err(CoreError::Limit { limit: "batch_rows", got: rows as u64, maximum: maximum as u64 }.into());
        }
        let size = dtype.size();
        if columns > 1 && column_stride != size as isize {
            let hint = Some("pass a contiguous copy (numpy.ascontiguousarray, tensor.contiguous())");
            return array_error(format!("{name}: the elements of a row are not adjacent"), hint);
        }
        if data.align_offset(size) != 0 || (rows > 1 && row_stride % size as isize != 0) {
            return array_error(format!("{name}: not aligned to its {size}-byte elements"), None);
        }
        Ok(Self { name, data, dtype, rows, columns, row_stride, writable, one_dimensional, _owner: owner })
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.saturating_mul(self.columns)
    }

    /// # Safety
    /// `T` has the array's dtype.
    unsafe fn row<T>(&self, row: usize) -> &[T] {
        if self.columns == 0 {
            return &[];
        }
        // SAFETY: `get` checked alignment, adjacency and shape as the producer states them; the owner keeps the memory.
        unsafe {
            let start = self.data.offset(self.row_stride * row as isize).cast::<T>();
            slice::from_raw_parts(start, self.columns)
        }
    }

    /// Its rows.
    pub(crate) fn read(&self) -> Vec<Row<'_>> {
        // SAFETY: each arm names the type that the dtype stands for.
        let row = |row| unsafe {
            match self.dtype {
                Dtype::F32 => Row::F32(self.row::<f32>(row)),
                Dtype::F16 => Row::F16(self.row::<f16>(row)),
                Dtype::Bf16 => Row::Bf16(self.row::<bf16>(row)),
                Dtype::I32 => Row::F32(&[]),
            }
        };
        (0..self.rows).map(row).collect()
    }

    /// Its rows, as the words of masks.
    pub(crate) fn words(&self) -> Vec<&[u32]> {
        debug_assert_eq!(self.dtype, Dtype::I32);
        // SAFETY: `mask` admits int32 alone, whose bits u32 reads.
        (0..self.rows).map(|row| unsafe { self.row::<u32>(row) }).collect()
    }

    /// Its rows, as token ids.
    pub(crate) fn int_rows(&self) -> Vec<&[i32]> {
        debug_assert_eq!(self.dtype, Dtype::I32);
        // SAFETY: `ids` admits int32 alone.
        (0..self.rows).map(|row| unsafe { self.row::<i32>(row) }).collect()
    }

    /// An error unless its rows may be changed in place.
    fn check_writable(&self) -> Result<()> {
        if !self.writable {
            let hint = Some("pass a writable array, or a copy");
            return array_error(format!("{}: it is read-only, and would be changed in place", self.name), hint);
        }
        let width = (self.columns * self.dtype.size()) as isize;
        if self.rows > 1 && self.columns > 0 && self.row_stride.abs() < width {
            return array_error(format!("{}: its rows overlap, and would be changed in place", self.name), None);
        }
        Ok(())
    }

    /// # Safety
    /// `T` has the array's dtype, `check_writable` found nothing, `row` is below `rows` and no other slice of it lives.
    unsafe fn row_mut<'a, T>(&self, row: usize) -> &'a mut [T] {
        if self.columns == 0 {
            return &mut [];
        }
        // SAFETY: as `row`; rows do not overlap.
        unsafe {
            let start = self.data.offset(self.row_stride * row as isize).cast::<T>();
            slice::from_raw_parts_mut(start, self.columns)
        }
    }

    /// Its rows, to be changed in place.
    pub(crate) fn write(&mut self) -> Result<Vec<RowMut<'_>>> {
        self.check_writable()?;
        // SAFETY: each arm names the type that the dtype stands for; each row is handed out once, and `&mut self` bars
        // others of ours.
        let row = |row: usize| unsafe {
            match self.dtype {
                Dtype::F32 => RowMut::F32(self.row_mut(row)),
                Dtype::F16 => RowMut::F16(self.row_mut(row)),
                Dtype::Bf16 => RowMut::Bf16(self.row_mut(row)),
                Dtype::I32 => RowMut::F32(&mut []),
            }
        };
        Ok((0..self.rows).map(row).collect())
    }

    /// Its rows, as the words of masks, to be changed in place.
    pub(crate) fn write_words(&mut self) -> Result<Vec<&mut [u32]>> {
        debug_assert_eq!(self.dtype, Dtype::I32);
        self.check_writable()?;
        // SAFETY: `mask` admits int32 alone, whose bits u32 reads; as `write`.
        Ok((0..self.rows).map(|row| unsafe { self.row_mut(row) }).collect())
    }

    /// One of its rows, as the words of a mask, to be changed in place.
    pub(crate) fn write_row(&mut self, row: isize) -> Result<&mut [u32]> {
        debug_assert_eq!(self.dtype, Dtype::I32);
        self.check_writable()?;
        match usize::try_from(row).ok().filter(|row| *row < self.rows) {
            // SAFETY: as `write_words`.
            Some(row) => Ok(unsafe { self.row_mut(row) }),
            None => {
                let expected = format!("0 <= row < {}, the rows of the {}", self.rows, self.name);
                Err(CoreError::Parameter { field: "row", value: row.to_string(), expected }.into())
            }
        }
    }
}

fn wrong_dtype<T>(name: &str, kind: Kind, got: &str) -> Result<T> {
    array_error(format!("{name}: expected dtype {}, got {got}", kind.names()), None)
}

fn from_buffer<'py>(buffer: PyUntypedBuffer, name: &str, kind: Kind) -> Result<Found<'py>> {
    if buffer.suboffsets().is_some_and(|suboffsets| suboffsets.iter().any(|&suboffset| suboffset >= 0)) {
        return array_error(format!("{name}: indirect buffers are not supported"), None);
    }
    let native = if cfg!(target_endian = "little") { b'<' } else { b'>' };
    let format = buffer.format();
    let code = format.to_bytes();
    let code = match code.split_first() {
        Some((&order, code)) if [b'@', b'=', native].contains(&order) => code,
        _ => code,
    };
    let dtype = match (code, buffer.item_size()) {
        (b"f", 4) => Dtype::F32,
        (b"e", 2) => Dtype::F16,
        (b"i" | b"I" | b"l" | b"L", 4) => Dtype::I32,
        _ => return wrong_dtype(name, kind, &format!("{:?} (buffer format)", format.to_string_lossy())),
    };
    let (shape, strides) = (padded(buffer.shape(), name)?, padded(buffer.strides(), name)?);
    let layout = Layout {
        data: buffer.buf_ptr().cast(),
        dtype,
        n_dimensions: buffer.shape().len(),
        shape,
        strides,
        writable: !buffer.readonly(),
    };
    Ok(Found { layout, owner: Owner::Buffer(buffer) })
}

/// One number for each of two dimensions, where there may be one dimension alone.
fn padded<T: Copy + Default>(numbers: &[T], name: &str) -> Result<[T; 2]> {
    match *numbers {
        [only] => Ok([only, T::default()]),
        [first, second] => Ok([first, second]),
        _ => array_error(format!("{name}: expected 1 or 2 dimensions, got {}", numbers.len()), None),
    }
}

/// By the table of functions of its class, which spares a tensor the way through Python. For integers: what else
/// `__dlpack__` would refuse, a tensor that requires grad, is of floats.
fn from_exchange<'py>(object: &Bound<'py, PyAny>, name: &str, kind: Kind) -> Result<Option<Found<'py>>> {
    let py = object.py();
    if kind != Kind::Int32 {
        return Ok(None);
    }
    let Ok(capsule) = object.get_type().getattr(pyo3::intern!(py, "__dlpack_c_exchange_api__")) else {
        return Ok(None);
    };
    // SAFETY: a capsule of this name points to such a table, of the version it says; `export` is given an object of the
    // class that the table was found in, and on success hands over a tensor.
    let tensor = unsafe {
        if PyCapsule_IsValid(capsule.as_ptr(), DL_NAME_EXCHANGE.as_ptr()) == 0 {
            return Ok(None);
        }
        let table = PyCapsule_GetPointer(capsule.as_ptr(), DL_NAME_EXCHANGE.as_ptr()).cast::<DlExchange>().as_ref();
        let Some(&DlExchange { version: [1, _], export: Some(export), .. }) = table else { return Ok(None) };
        let mut tensor = std::ptr::null_mut();
        match (export(object.as_ptr().cast(), &raw mut tensor), NonNull::new(tensor)) {
            (0, Some(tensor)) => OwnedTensor(tensor),
            _ => {
                // `__dlpack__` says it better.
                drop(PyErr::take(py));
                return Ok(None);
            }
        }
    };
    // SAFETY: it is ours, and lives as long as `tensor`.
    let managed = unsafe { tensor.0.as_ref() };
    if managed.version[0] != 1 {
        return Ok(None);
    }
    // SAFETY: as above.
    let layout = unsafe { from_tensor(&managed.tensor, managed.flags, name, kind)? };
    Ok((layout.dtype == Dtype::I32).then_some(Found { layout, owner: Owner::Tensor(tensor) }))
}

fn from_dlpack<'py>(object: &Bound<'py, PyAny>, name: &str, kind: Kind) -> Result<Found<'py>> {
    let py = object.py();
    if !object.hasattr("__dlpack__")? {
        let class = object.get_type().qualname()?;
        let hint = Some("pass a numpy array, a torch tensor, or anything with __dlpack__ or the buffer protocol");
        return array_error(format!("{name}: expected an array, got {class}"), hint);
    }
    let refused = |error: PyErr| {
        if !error.is_instance_of::<PyException>(py) {
            return Error::Py(error);
        }
        let hint = Some("it must have data on the CPU; one that requires grad is exported by tensor.detach()");
        Error::Array { what: format!("{name}: it refuses to be exported: {error}"), hint }
    };
    if object.hasattr("__dlpack_device__")? {
        let device = object.call_method0("__dlpack_device__").map_err(refused)?;
        let (device, _): (i64, i64) = device.extract()?;
        if !DL_HOST.iter().any(|&host| device == i64::from(host)) {
            let hint = Some("move it with .cpu(), or reduce it on its device and call step_candidates");
            return array_error(format!("{name}: it lies on another device (DLPack device type {device})"), hint);
        }
    }
    let versioned = PyDict::new(py);
    versioned.set_item("max_version", (1, 0))?;
    let capsule = match object.call_method("__dlpack__", (), Some(&versioned)) {
        Ok(capsule) => capsule,
        Err(error) if error.is_instance_of::<PyTypeError>(py) => object.call_method0("__dlpack__").map_err(refused)?,
        Err(error) => return Err(refused(error)),
    };
    if !capsule.is_instance_of::<PyCapsule>() {
        return array_error(format!("{name}: its __dlpack__ gives no capsule"), None);
    }
    // SAFETY: a valid capsule of either name points to the structure of that name, alive as long as the capsule, which
    // the owner holds; shape and strides point to ndim numbers, strides may be null.
    let (tensor, flags) = unsafe {
        let pointer = |name: &CStr| match PyCapsule_IsValid(capsule.as_ptr(), name.as_ptr()) {
            0 => std::ptr::null_mut(),
            _ => PyCapsule_GetPointer(capsule.as_ptr(), name.as_ptr()),
        };
        let managed = pointer(DL_NAME_VERSIONED).cast::<DlManagedTensorVersioned>().as_ref();
        match (managed, pointer(DL_NAME).cast::<DlTensor>().as_ref()) {
            (Some(managed), _) if managed.version[0] == 1 => (&managed.tensor, managed.flags),
            (None, Some(tensor)) => (tensor, 0),
            _ => return array_error(format!("{name}: a DLPack capsule of an unknown version"), None),
        }
    };
    // SAFETY: as above.
    let layout = unsafe { from_tensor(tensor, flags, name, kind)? };
    Ok(Found { layout, owner: Owner::Capsule(capsule) })
}

/// Where a tensor lies and what it is like.
///
/// # Safety
/// `shape` points to `ndim` numbers, and so does `strides` unless it is null.
unsafe fn from_tensor(tensor: &DlTensor, flags: u64, name: &str, kind: Kind) -> Result<Layout> {
    if !DL_HOST.contains(&tensor.device.device_type) {
        return array_error(format!("{name}: it lies on another device"), Some("move it with .cpu()"));
    }
    let dtype = match (tensor.dtype.code, tensor.dtype.bits, tensor.dtype.lanes) {
        (2, 32, 1) => Dtype::F32,
        (2, 16, 1) => Dtype::F16,
        (4, 16, 1) => Dtype::Bf16,
        (0 | 1, 32, 1) => Dtype::I32,
        (code, bits, _) => return wrong_dtype(name, kind, &format!("{bits} bits of DLPack type {code}")),
    };
    let ndim = usize::try_from(tensor.ndim).unwrap_or(0);
    if ndim > 2 || ndim == 0 {
        return array_error(format!("{name}: expected 1 or 2 dimensions, got {ndim}"), None);
    }
    // SAFETY: as the caller says.
    let (shape, strides) = unsafe {
        let shape = slice::from_raw_parts(tensor.shape, ndim);
        let strides = (!tensor.strides.is_null()).then(|| slice::from_raw_parts(tensor.strides, ndim));
        (shape, strides)
    };
    let shape = padded(shape, name)?.map(|n| usize::try_from(n).unwrap_or(0));
    let size = dtype.size() as isize;
    let strides = match strides {
        Some(strides) => padded(strides, name)?.map(|stride| stride as isize * size),
        None if ndim == 1 => [size, 0],
        None => [shape[1] as isize * size, size],
    };
    // SAFETY: the offset leads to the first element of the same allocation.
    let data = unsafe { tensor.data.cast::<u8>().add(tensor.byte_offset as usize) };
    Ok(Layout { data, dtype, n_dimensions: ndim, shape, strides, writable: flags & DL_READ_ONLY == 0 })
}

/// Bytes from anything with the buffer protocol, held while this lives.
pub(crate) struct Bytes(PyUntypedBuffer);

impl Bytes {
    pub(crate) fn get(object: &Bound<'_, PyAny>) -> Result<Self> {
        let buffer = PyUntypedBuffer::get(object)?;
        if !buffer.is_c_contiguous() {
            return array_error("expected contiguous bytes".into(), None);
        }
        Ok(Self(buffer))
    }

    /// What lies there. Whoever passes memory that others write to at the same time gets what they deserve: any bytes,
    /// but still bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self.0.len_bytes() {
            0 => &[],
            // SAFETY: the buffer is contiguous, so many bytes long, and held by `self`.
            n => unsafe { slice::from_raw_parts(self.0.buf_ptr().cast::<u8>(), n) },
        }
    }
}
