//! `Sampler` and its columns for Python.

use logitwire_core::error::Error as CoreError;
use logitwire_core::kernels::Kernels;
use logitwire_core::mask;
use logitwire_core::sample::{Logits, Order, SampleColumns, Sampler as Core, Scratch};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

use crate::array::Array;
use crate::error::Result;
use crate::ids::integers;
use crate::params::{SamplingParams, field, order};
use crate::vocab::Vocab;

/// Logits to read before it pays to let other Python threads run: about 100 us.
const DETACH_LOGITS: usize = 1 << 16;

/// Run without the GIL if there is enough to do.
pub(crate) fn detach_if_worth<T: Send>(py: Python<'_>, n_logits: usize, call: impl FnOnce() -> T + Send) -> T {
    if n_logits < DETACH_LOGITS { call() } else { py.detach(call) }
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

/// As many as `threads`, or `LOGITWIRE_THREADS`, or as many as the machine runs at once; each on the fastest loops it has,
/// or those that `LOGITWIRE_KERNELS` names.
pub(crate) fn workers(threads: Option<&Bound<'_, PyAny>>) -> Result<Vec<Scratch>> {
    let kernels = match std::env::var("LOGITWIRE_KERNELS") {
        Err(_) => Kernels::fastest(),
        Ok(name) => Kernels::named(&name).ok_or_else(|| CoreError::Parameter {
            field: "LOGITWIRE_KERNELS",
            value: format!("{name:?}"),
            expected: Kernels::available().iter().map(|kernels| kernels.name).collect::<Vec<_>>().join(" or "),
        })?,
    };
    let expected = format!("a whole number, 1 <= threads <= {MAX_THREADS}");
    let (name, value, threads) = match (threads, std::env::var("LOGITWIRE_THREADS")) {
        (Some(threads), _) => ("threads", threads.to_string(), threads.extract::<usize>().ok()),
        (None, Ok(text)) => ("LOGITWIRE_THREADS", text.clone(), text.parse().ok()),
        (None, Err(_)) => {
            let most = std::thread::available_parallelism().map_or(1, usize::from);
            ("threads", String::new(), Some(most.min(MAX_THREADS)))
        }
    };
    match threads.filter(|threads| (1..=MAX_THREADS).contains(threads)) {
        Some(threads) => Ok((0..threads).map(|_| Scratch::new(kernels)).collect()),
        None => Err(CoreError::Parameter { field: name, value, expected }.into()),
    }
}

/// More than any machine has use for.
const MAX_THREADS: usize = 256;

pub(crate) fn optional_order(value: &Bound<'_, PyAny>) -> PyResult<Option<Order>> {
    if value.is_none() { Ok(None) } else { Ok(Some(order(value)?)) }
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
    #[pyo3(signature = (vocab_size, *, order=None, vocab=None, threads=None))]
    fn new(
        vocab_size: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = optional_order)] order: Option<Order>,
        vocab: Option<&Bound<'_, Vocab>>,
        threads: Option<&Bound<'_, PyAny>>,
    ) -> Result<Self> {
        let vocab_size = field::<usize>("vocab_size", vocab_size, "a whole number of at least 1")?;
        let vocab = vocab.map(|vocab| vocab.get().core.clone());
        Ok(Self { core: Core::new(vocab_size, order.unwrap_or_default(), vocab, workers(threads)?)? })
    }

    #[pyo3(signature = (params, prompt_ids=None))]
    fn add(&mut self, params: &Bound<'_, SamplingParams>, prompt_ids: Option<&Bound<'_, PyAny>>) -> Result<i64> {
        let prompt_ids = prompt_ids.map(integers).transpose()?.unwrap_or_default();
        Ok(self.core.add(params.get().core.clone(), &prompt_ids)?)
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
