//! `Gguf` for Python.

use logitwire_core::gguf::{self, Array, Gguf as Core, Tensor, Value};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::array::Bytes;
use crate::error::Result;

#[pyclass(frozen, module = "logitwire")]
pub(crate) struct GgufTensor {
    core: Tensor,
}

#[pymethods]
impl GgufTensor {
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.core.shape)
    }

    #[getter]
    fn r#type(&self) -> String {
        self.core.tensor_type.to_string()
    }

    #[getter]
    fn offset(&self) -> usize {
        self.core.offset
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.core.nbytes
    }

    fn __repr__(&self) -> String {
        let Tensor { name, shape, tensor_type, .. } = &self.core;
        format!("<logitwire.GgufTensor {name} {shape:?} {tensor_type}>")
    }
}

#[pyclass(frozen, module = "logitwire")]
pub(crate) struct Gguf {
    core: Core,
    file: Bytes,
}

impl Gguf {
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }
}

fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::U64(value) => value.into_bound_py_any(py),
        Value::I64(value) => value.into_bound_py_any(py),
        Value::F64(value) => value.into_bound_py_any(py),
        Value::Bool(value) => value.into_bound_py_any(py),
        Value::String(value) => value.into_bound_py_any(py),
        Value::Array(Array::U64(values)) => values.into_bound_py_any(py),
        Value::Array(Array::I64(values)) => values.into_bound_py_any(py),
        Value::Array(Array::F64(values)) => values.into_bound_py_any(py),
        Value::Array(Array::Bool(values)) => values.into_bound_py_any(py),
        Value::Array(Array::String(values)) => values.into_bound_py_any(py),
    }
}

#[pymethods]
impl Gguf {
    #[new]
    #[pyo3(signature = (buffer, /))]
    fn new(buffer: &Bound<'_, PyAny>) -> Result<Self> {
        let file = Bytes::get(buffer)?;
        let core = buffer.py().detach(|| Core::parse(file.as_slice()))?;
        Ok(Self { core, file })
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let metadata = PyDict::new(py);
        for (key, value) in self.core.metadata() {
            metadata.set_item(key, object(py, value)?)?;
        }
        Ok(metadata)
    }

    #[getter]
    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tensors = PyDict::new(py);
        for tensor in self.core.tensors() {
            tensors.set_item(&tensor.name, Bound::new(py, GgufTensor { core: tensor.clone() })?)?;
        }
        Ok(tensors)
    }

    #[pyo3(signature = (name, /))]
    fn dequantize<'py>(&self, py: Python<'py>, name: &str) -> Result<Bound<'py, PyArrayDyn<f32>>> {
        let tensor = self.core.tensor(name)?;
        let values = py.detach(|| gguf::dequantize(self.file.as_slice(), tensor))?;
        Ok(PyArray1::from_vec(py, values).reshape(tensor.shape.clone())?)
    }
}
