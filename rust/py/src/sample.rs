//! `SamplingParams`, `Sampler` and its columns for Python.

use std::hash::{BuildHasher, Hasher, RandomState};

use logitwire_core::error::Error as CoreError;
use logitwire_core::mask;
use logitwire_core::sample::{Logits, Order, SampleColumns, Sampler as Core, SamplingParams as CoreParams};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::array::Array;
use crate::error::{Error, Result};
use crate::ids::integers;
use crate::vocab::Vocab;

/// Logits to read before it pays to let other Python threads run: about 100 us.
const DETACH_LOGITS: usize = 1 << 16;

/// Run without the GIL if there is enough to do.
pub(crate) fn detach_if_worth<T: Send>(py: Python<'_>, n_logits: usize, call: impl FnOnce() -> T + Send) -> T {
    if n_logits < DETACH_LOGITS { call() } else { py.detach(call) }
}

#[pyclass(frozen, eq, module = "logitwire")]
#[derive(PartialEq)]
pub(crate) struct SamplingParams {
    pub(crate) core: CoreParams,
}

/// A number of any Python type, or an error naming the field.
fn field<T>(field: &'static str, value: &Bound<'_, PyAny>, expected: &str) -> PyResult<T>
where
    T: for<'a, 'py> FromPyObject<'a, 'py>,
{
    value.extract::<T>().map_err(|_| {
        let value = value.repr().map_or_else(|_| "?".to_owned(), |repr| repr.to_string());
        Error::Core(CoreError::Parameter { field, value, expected: expected.to_owned() }).into()
    })
}

const WHOLE: &str = "a whole number from 0 to 4294967295";

fn temperature(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    field("temperature", value, "a number")
}

fn top_k(value: &Bound<'_, PyAny>) -> PyResult<u32> {
    field("top_k", value, WHOLE)
}

fn top_p(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    field("top_p", value, "a number")
}

fn seed(value: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    field("seed", value, "None or a whole number, 0 <= seed < 2**64")
}

fn choice(value: &Bound<'_, PyAny>) -> PyResult<u32> {
    field("choice", value, WHOLE)
}

fn logprobs(value: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
    field("logprobs", value, "None or a whole number")
}

#[pymethods]
impl SamplingParams {
    #[new]
    #[pyo3(signature = (*, temperature=1.0, top_k=0, top_p=1.0, seed=None, choice=0, logprobs=None))]
    fn new(
        #[pyo3(from_py_with = temperature)] temperature: f64,
        #[pyo3(from_py_with = top_k)] top_k: u32,
        #[pyo3(from_py_with = top_p)] top_p: f64,
        #[pyo3(from_py_with = seed)] seed: Option<u64>,
        #[pyo3(from_py_with = choice)] choice: u32,
        #[pyo3(from_py_with = logprobs)] logprobs: Option<u32>,
    ) -> Result<Self> {
        let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        Ok(Self { core: CoreParams { temperature, top_k, top_p, seed, choice, logprobs }.checked()? })
    }

    #[getter]
    fn temperature(&self) -> f64 {
        self.core.temperature
    }

    #[getter]
    fn top_k(&self) -> u32 {
        self.core.top_k
    }

    #[getter]
    fn top_p(&self) -> f64 {
        self.core.top_p
    }

    #[getter]
    fn seed(&self) -> u64 {
        self.core.seed
    }

    #[getter]
    fn choice(&self) -> u32 {
        self.core.choice
    }

    #[getter]
    fn logprobs(&self) -> Option<u32> {
        self.core.logprobs
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let fields = PyDict::new(py);
        fields.set_item("temperature", self.core.temperature)?;
        fields.set_item("top_k", self.core.top_k)?;
        fields.set_item("top_p", self.core.top_p)?;
        fields.set_item("seed", self.core.seed)?;
        fields.set_item("choice", self.core.choice)?;
        fields.set_item("logprobs", self.core.logprobs)?;
        Ok((PyTuple::empty(py), fields))
    }

    fn __hash__(&self) -> u64 {
        // One field is enough for equal objects to hash alike.
        self.core.seed
    }

    fn __repr__(&self) -> String {
        let CoreParams { temperature, top_k, top_p, seed, choice, logprobs } = self.core;
        let logprobs = logprobs.map_or("None".to_owned(), |n| n.to_string());
        format!(
            "SamplingParams(temperature={temperature}, top_k={top_k}, top_p={top_p}, seed={seed}, choice={choice}, \
             logprobs={logprobs})"
        )
    }
}

/// The columns as numpy arrays.
#[pyclass(frozen, get_all, module = "logitwire")]
pub(crate) struct SampleOutput {
    pub(crate) tokens: Py<PyArray1<i32>>,
    pub(crate) status: Py<PyArray1<u8>>,
    pub(crate) logprobs: Py<PyArray1<f32>>,
    pub(crate) ranks: Py<PyArray1<i32>>,
    pub(crate) top_ids: Py<PyArray2<i32>>,
    pub(crate) top_logprobs: Py<PyArray2<f32>>,
}

impl SampleOutput {
    pub(crate) fn new(py: Python<'_>, columns: SampleColumns) -> PyResult<Self> {
        let shape = [columns.tokens.len(), columns.n_top];
        Ok(Self {
            tokens: PyArray1::from_vec(py, columns.tokens).unbind(),
            status: PyArray1::from_vec(py, columns.status).unbind(),
            logprobs: PyArray1::from_vec(py, columns.logprobs).unbind(),
            ranks: PyArray1::from_vec(py, columns.ranks).unbind(),
            top_ids: PyArray1::from_vec(py, columns.top_ids).reshape(shape)?.unbind(),
            top_logprobs: PyArray1::from_vec(py, columns.top_logprobs).reshape(shape)?.unbind(),
        })
    }
}

/// The words of each row's mask, or an error if the mask does not fit rows of `vocab_size`.
pub(crate) fn mask_rows<'a>(mask: &'a Array<'_>, vocab_size: usize) -> Result<Vec<&'a [u32]>> {
    let rows = mask.words();
    let want = mask::words(vocab_size);
    match rows.iter().find(|row| row.len() != want) {
        None => Ok(rows),
        Some(row) => {
            let what = format!("mask: {} words a row, but {want} hold the bits of {vocab_size} logits", row.len());
            Err(CoreError::Shape { what }.into())
        }
    }
}

/// A step's arguments as they came from Python, with what they borrow held.
pub(crate) struct StepArguments<'py> {
    logits: Array<'py>,
    mask: Option<Array<'py>>,
    candidates: Option<(Array<'py>, Vec<f32>)>,
    pub(crate) slots: Vec<i64>,
}

impl<'py> StepArguments<'py> {
    pub(crate) fn dense(
        logits: &Bound<'py, PyAny>,
        slots: &Bound<'py, PyAny>,
        mask: Option<&Bound<'py, PyAny>>,
    ) -> Result<Self> {
        let mask = mask.map(Array::mask).transpose()?;
        Ok(Self { logits: Array::logits(logits)?, mask, candidates: None, slots: integers(slots)? })
    }

    pub(crate) fn candidates(
        ids: &Bound<'py, PyAny>,
        logits: &Bound<'py, PyAny>,
        logsumexp: &Bound<'py, PyAny>,
        slots: &Bound<'py, PyAny>,
    ) -> Result<Self> {
        let candidates = Some((Array::ids(ids)?, Array::logsumexp(logsumexp)?));
        Ok(Self { logits: Array::logits(logits)?, mask: None, candidates, slots: integers(slots)? })
    }

    pub(crate) fn n_logits(&self) -> usize {
        self.logits.len()
    }

    pub(crate) fn rows(&self) -> Result<Vec<Logits<'_>>> {
        let rows = self.logits.read();
        let Some((ids, logsumexp)) = &self.candidates else {
            return Ok(rows.into_iter().map(Logits::Dense).collect());
        };
        if ids.rows() != rows.len() || logsumexp.len() != rows.len() {
            let (ids, logits, logsumexp) = (ids.rows(), rows.len(), logsumexp.len());
            let what = format!("rows differ: {ids} of ids, {logits} of logits, {logsumexp} of logsumexp");
            return Err(CoreError::Shape { what }.into());
        }
        let candidates = ids.int_rows().into_iter().zip(rows).zip(logsumexp);
        Ok(candidates.map(|((ids, logits), &logsumexp)| Logits::Candidates { ids, logits, logsumexp }).collect())
    }

    pub(crate) fn masks(&self) -> Result<Option<Vec<&[u32]>>> {
        let width = if self.logits.rows() == 0 { 0 } else { self.logits.len() / self.logits.rows() };
        self.mask.as_ref().map(|mask| mask_rows(mask, width)).transpose()
    }
}

#[pyclass(module = "logitwire")]
pub(crate) struct Sampler {
    core: Core,
}

impl Sampler {
    fn run(&mut self, py: Python<'_>, arguments: &StepArguments<'_>) -> Result<SampleOutput> {
        let (rows, masks) = (arguments.rows()?, arguments.masks()?);
        let (core, slots) = (&mut self.core, &arguments.slots);
        let columns = detach_if_worth(py, arguments.n_logits(), move || core.step(&rows, slots, masks.as_deref()))?;
        Ok(SampleOutput::new(py, columns)?)
    }
}

#[pymethods]
impl Sampler {
    #[new]
    #[pyo3(signature = (vocab_size, *, order="default", vocab=None))]
    fn new(vocab_size: &Bound<'_, PyAny>, order: &str, vocab: Option<&Bound<'_, Vocab>>) -> Result<Self> {
        let vocab_size = field::<usize>("vocab_size", vocab_size, "a whole number of at least 1")?;
        let vocab = vocab.map(|vocab| vocab.get().core.clone());
        Ok(Self { core: Core::new(vocab_size, Order::from_name(order)?, vocab)? })
    }

    #[pyo3(signature = (params, prompt_ids=None))]
    fn add(&mut self, params: &Bound<'_, SamplingParams>, prompt_ids: Option<&Bound<'_, PyAny>>) -> Result<i64> {
        let prompt_ids = prompt_ids.map(integers).transpose()?.unwrap_or_default();
        Ok(self.core.add(params.get().core, &prompt_ids)?)
    }

    #[pyo3(signature = (slot, /))]
    fn remove(&mut self, slot: i64) -> Result<()> {
        Ok(self.core.remove(slot)?)
    }

    #[pyo3(signature = (logits, slots, *, mask=None))]
    fn step(
        &mut self,
        py: Python<'_>,
        logits: &Bound<'_, PyAny>,
        slots: &Bound<'_, PyAny>,
        mask: Option<&Bound<'_, PyAny>>,
    ) -> Result<SampleOutput> {
        self.run(py, &StepArguments::dense(logits, slots, mask)?)
    }

    fn step_candidates(
        &mut self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        logits: &Bound<'_, PyAny>,
        logsumexp: &Bound<'_, PyAny>,
        slots: &Bound<'_, PyAny>,
    ) -> Result<SampleOutput> {
        self.run(py, &StepArguments::candidates(ids, logits, logsumexp, slots)?)
    }

    fn apply(&mut self, py: Python<'_>, logits: &Bound<'_, PyAny>, slots: &Bound<'_, PyAny>) -> Result<()> {
        let slots = integers(slots)?;
        let mut logits = Array::logits(logits)?;
        let n_logits = logits.len();
        let rows = logits.write()?;
        let core = &mut self.core;
        detach_if_worth(py, n_logits, move || core.apply(rows, &slots))?;
        Ok(())
    }
}
