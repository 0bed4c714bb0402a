//! `SamplingParams` for Python: each field as it comes, as the core has it, and back.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use logitwire_core::error::Error as CoreError;
use logitwire_core::sample::{Counts, LogprobsMode, Order, SamplingParams as CoreParams, WatermarkScheme};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::error::{Error, Result};
use crate::ids::integers;

/// A number of any Python type, or an error naming the field.
pub(crate) fn field<T>(field: &'static str, value: &Bound<'_, PyAny>, expected: &str) -> Result<T>
where
    T: for<'a, 'py> FromPyObject<'a, 'py>,
{
    value.extract::<T>().map_err(|_| wrong(field, value, expected))
}

fn wrong(field: &'static str, value: &Bound<'_, PyAny>, expected: &str) -> Error {
    let value = value.repr().map_or_else(|_| "?".to_owned(), |repr| repr.to_string());
    CoreError::Parameter { field, value, expected: expected.to_owned() }.into()
}

/// A type of field.
trait Field: Sized {
    fn read(field: &'static str, value: &Bound<'_, PyAny>) -> Result<Self>;
    fn write(&self, py: Python<'_>) -> PyResult<Py<PyAny>>;
}

macro_rules! numbers {
    ($($type:ty, $expected:literal;)*) => {$(
        impl Field for $type {
            fn read(name: &'static str, value: &Bound<'_, PyAny>) -> Result<Self> {
                field(name, value, $expected)
            }
            fn write(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.into_py_any(py)
            }
        }
    )*};
}

numbers! {
    f64, "a number";
    u32, "a whole number from 0 to 4294967295";
    Option<u32>, "None or a whole number";
}

impl Field for u64 {
    fn read(name: &'static str, value: &Bound<'_, PyAny>) -> Result<Self> {
        if value.is_none() && name == "seed" {
            return Ok(RandomState::new().build_hasher().finish());
        }
        let none = if name == "seed" { "None or " } else { "" };
        field(name, value, &format!("{none}a whole number, 0 <= {name} < 2**64"))
    }

    fn write(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.into_py_any(py)
    }
}

macro_rules! named {
    ($($type:ident, $expected:literal;)*) => {$(
        impl Field for Option<$type> {
            fn read(name: &'static str, value: &Bound<'_, PyAny>) -> Result<Self> {
                if value.is_none() {
                    return Ok(None);
                }
                let found = value.extract::<String>().ok().and_then(|text| $type::from_name(&text).ok());
                found.map(Some).ok_or_else(|| wrong(name, value, $expected))
            }
            fn write(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.map(|value| value.name()).into_py_any(py)
            }
        }
    )*};
}

named! {
    Counts, "None, \"all\" or \"output\"";
    WatermarkScheme, "None, \"kgw\" or \"philox\"";
}

impl Field for LogprobsMode {
    fn read(name: &'static str, value: &Bound<'_, PyAny>) -> Result<Self> {
        let found = value.extract::<String>().ok().and_then(|text| Self::from_name(&text).ok());
        found.ok_or_else(|| wrong(name, value, "\"raw\" or \"processed\""))
    }

    fn write(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.name().into_py_any(py)
    }
}

fn ids(name: &'static str, value: &Bound<'_, PyAny>) -> Result<Vec<u32>> {
    const EXPECTED: &str = "token ids, 0 <= id < 2**32";
    let ids = integers(value).map_err(|_| wrong(name, value, EXPECTED))?;
    ids.into_iter().map(|id| u32::try_from(id).map_err(|_| wrong(name, value, EXPECTED))).collect()
}

impl Field for Arc<[u32]> {
    fn read(name: &'static str, value: &Bound<'_, PyAny>) -> Result<Self> {
        let mut ids = if value.is_none() { Vec::new() } else { ids(name, value)? };
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.into())
    }

    fn write(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.to_vec().into_py_any(py)
    }
}

impl Field for Arc<[(u32, f32)]> {
    fn read(name: &'static str, value: &Bound<'_, PyAny>) -> Result<Self> {
        const EXPECTED: &str = "a dict of token ids and numbers";
        if value.is_none() {
            return Ok(Arc::new([]));
        }
        let dict = value.cast::<PyDict>().map_err(|_| wrong(name, value, EXPECTED))?;
        let pair = |(id, bias): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            Some((id.extract::<u32>().ok()?, bias.extract::<f64>().ok()? as f32))
        };
        let pairs: Option<Vec<(u32, f32)>> = dict.iter().map(pair).collect();
        let mut pairs = pairs.ok_or_else(|| wrong(name, value, EXPECTED))?;
        pairs.sort_unstable_by_key(|pair| pair.0);
        Ok(pairs.into())
    }

    fn write(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let dict = PyDict::new(py);
        self.iter().try_for_each(|(id, bias)| dict.set_item(id, bias))?;
        dict.into_py_any(py)
    }
}

impl Field for Arc<[Box<[u32]>]> {
    fn read(name: &'static str, value: &Bound<'_, PyAny>) -> Result<Self> {
        if value.is_none() {
            return Ok(Arc::new([]));
        }
        let words = value.try_iter().map_err(|_| wrong(name, value, "sequences of token ids"))?;
        let word = |word: PyResult<Bound<'_, PyAny>>| Ok(ids(name, &word?)?.into_boxed_slice());
        Ok(words.map(word).collect::<Result<Vec<_>>>()?.into())
    }

    fn write(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.iter().map(|word| word.to_vec()).collect::<Vec<_>>().into_py_any(py)
    }
}

/// An order by name, or as a list of processors.
pub(crate) fn order(value: &Bound<'_, PyAny>) -> Result<Order> {
    if let Ok(name) = value.cast::<PyString>() {
        return Ok(Order::from_name(&name.to_cow()?)?);
    }
    let names = value.extract::<Vec<String>>();
    Ok(Order::from_names(&names.map_err(|_| wrong("order", value, "a name, or a list of names of processors"))?)?)
}

impl Field for Option<Arc<Order>> {
    fn read(_: &'static str, value: &Bound<'_, PyAny>) -> Result<Self> {
        (!value.is_none()).then(|| order(value).map(Arc::new)).transpose()
    }

    fn write(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.as_deref() {
            None => Ok(py.None()),
            Some(Order::Profile(profile)) => profile.name().into_py_any(py),
            Some(Order::List(list)) => {
                list.iter().map(|processor| processor.name()).collect::<Vec<_>>().into_py_any(py)
            }
        }
    }
}

#[pyclass(frozen, eq, module = "logitwire")]
#[derive(PartialEq)]
pub(crate) struct SamplingParams {
    pub(crate) core: CoreParams,
}

macro_rules! sampling_params {
    ($($name:ident)*) => {
        fn set(core: &mut CoreParams, name: &str, value: &Bound<'_, PyAny>) -> Result<()> {
            match name {
                $(stringify!($name) => core.$name = Field::read(stringify!($name), value)?,)*
                _ => {
                    let what = format!("SamplingParams() got an unexpected keyword argument {name:?}");
                    return Err(PyTypeError::new_err(what).into());
                }
            }
            Ok(())
        }

        fn fields<'py>(core: &CoreParams, py: Python<'py>) -> PyResult<Vec<(&'static str, Bound<'py, PyAny>)>> {
            Ok(vec![$((stringify!($name), core.$name.write(py)?.into_bound(py))),*])
        }

        #[pymethods]
        impl SamplingParams {
            #[new]
            #[pyo3(signature = (**fields), text_signature = "(*, temperature=1.0, dynatemp_range=0.0, \
                dynatemp_exponent=1.0, top_k=0, top_p=1.0, min_p=0.0, typical_p=1.0, tfz=1.0, top_n_sigma=0.0, \
                epsilon_cutoff=0.0, eta_cutoff=0.0, xtc_probability=0.0, xtc_threshold=0.1, mirostat=0, \
                mirostat_tau=5.0, mirostat_eta=0.1, repetition_penalty=1.0, frequency_penalty=0.0, \
                presence_penalty=0.0, repetition_counts=None, frequency_counts=None, penalty_last_n=None, \
                dry_multiplier=0.0, dry_base=1.75, dry_allowed_length=2, dry_last_n=None, dry_breakers=None, \
                logit_bias=None, bad_words=None, watermark=None, watermark_gamma=0.25, watermark_delta=2.0, \
                watermark_key=15485863, order=None, seed=None, choice=0, logprobs=None, logprobs_mode=\"raw\")")]
            fn new(fields: Option<&Bound<'_, PyDict>>) -> Result<Self> {
                let mut core = CoreParams { seed: RandomState::new().build_hasher().finish(), ..CoreParams::default() };
                for (name, value) in fields.into_iter().flatten() {
                    set(&mut core, &name.extract::<String>()?, &value)?;
                }
                Ok(Self { core: core.checked()? })
            }

            $(
                #[getter]
                fn $name(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                    self.core.$name.write(py)
                }
            )*

            fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
                let dict = PyDict::new(py);
                fields(&self.core, py)?.into_iter().try_for_each(|(name, value)| dict.set_item(name, value))?;
                Ok((PyTuple::empty(py), dict))
            }

            fn __hash__(&self) -> u64 {
                // One field is enough for equal objects to hash alike.
                self.core.seed
            }

            /// The fields that are not as by default, and the seed.
            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                let plain = fields(&CoreParams::default(), py)?;
                let mut shown = Vec::new();
                for ((name, value), (_, plain)) in fields(&self.core, py)?.into_iter().zip(plain) {
                    if matches!(name, "temperature" | "seed") || !value.eq(plain)? {
                        shown.push(format!("{name}={}", value.repr()?));
                    }
                }
                Ok(format!("SamplingParams({})", shown.join(", ")))
            }
        }
    };
}

sampling_params! {
    temperature dynatemp_range dynatemp_exponent top_k top_p min_p typical_p tfz top_n_sigma epsilon_cutoff eta_cutoff
    xtc_probability xtc_threshold mirostat mirostat_tau mirostat_eta repetition_penalty frequency_penalty
    presence_penalty repetition_counts frequency_counts penalty_last_n dry_multiplier dry_base dry_allowed_length
    dry_last_n dry_breakers logit_bias bad_words watermark watermark_gamma watermark_delta watermark_key order seed
    choice logprobs logprobs_mode
}
