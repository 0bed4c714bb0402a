//! `Batch` and its columns for Python.

use logitwire_core::batch::{Batch as Core, StepColumns};
use logitwire_core::error::Error as CoreError;
use logitwire_core::line::LineOptions;
use logitwire_core::sample::Order;
use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::detokenize;
use crate::error::Result;
use crate::grammar::Grammar;
use crate::ids::integers;
use crate::params::SamplingParams;
use crate::sample::{SampleOutput, StepArguments, detach_if_worth, optional_order, workers};
use crate::sse::frame::Framer;
use crate::stop::Stops;
use crate::vocab::Vocab;

/// The columns as numpy arrays and bytes.
#[pyclass(frozen, get_all, module = "logitwire")]
pub(crate) struct StepOutput {
    tokens: Py<PyArray1<i32>>,
    status: Py<PyArray1<u8>>,
    logprobs: Py<PyArray1<f32>>,
    ranks: Py<PyArray1<i32>>,
    top_ids: Py<PyArray2<i32>>,
    top_logprobs: Py<PyArray2<f32>>,
    finish: Py<PyArray1<u8>>,
    stop_index: Py<PyArray1<i32>>,
    text: Py<PyBytes>,
    text_offsets: Py<PyArray1<i64>>,
    frames: Py<PyBytes>,
    frame_offsets: Py<PyArray1<i64>>,
}

impl StepOutput {
    fn new(py: Python<'_>, columns: StepColumns) -> PyResult<Self> {
        let sample = SampleOutput::new(py, columns.sample)?;
        Ok(Self {
            tokens: sample.tokens,
            status: sample.status,
            logprobs: sample.logprobs,
            ranks: sample.ranks,
            top_ids: sample.top_ids,
            top_logprobs: sample.top_logprobs,
            finish: PyArray1::from_vec(py, columns.finish).unbind(),
            stop_index: PyArray1::from_vec(py, columns.stop_index).unbind(),
            text: PyBytes::new(py, &columns.text).unbind(),
            text_offsets: PyArray1::from_vec(py, columns.text_offsets).unbind(),
            frames: PyBytes::new(py, &columns.frames).unbind(),
            frame_offsets: PyArray1::from_vec(py, columns.frame_offsets).unbind(),
        })
    }
}

#[pyclass(module = "logitwire")]
pub(crate) struct Batch {
    core: Core,
}

impl Batch {
    fn run(&mut self, py: Python<'_>, arguments: &StepArguments<'_>) -> Result<StepOutput> {
        let (rows, masks) = (arguments.rows()?, arguments.masks()?);
        let (core, slots) = (&mut self.core, &arguments.slots);
        let columns = detach_if_worth(py, arguments.n_logits(), move || core.step(&rows, slots, masks.as_deref()))?;
        Ok(StepOutput::new(py, columns)?)
    }
}

#[pymethods]
impl Batch {
    #[new]
    #[pyo3(signature = (vocab, *, vocab_size=None, order=None, threads=None))]
    fn new(
        vocab: &Bound<'_, Vocab>,
        vocab_size: Option<usize>,
        #[pyo3(from_py_with = optional_order)] order: Option<Order>,
        threads: Option<&Bound<'_, PyAny>>,
    ) -> Result<Self> {
        let vocab = vocab.get().core.clone();
        Ok(Self { core: Core::new(vocab, vocab_size, order.unwrap_or_default(), workers(threads)?)? })
    }

    fn __len__(&self) -> usize {
        self.core.len()
    }

    #[pyo3(signature = (
        params, prompt_ids=None, *, max_tokens=None, min_tokens=0, stop=None, include_stop=false, stop_token_ids=None,
        ignore_eos=false, skip_special_tokens=true, byte_fallback="eager", continuation=false, grammar=None, framer=None
    ))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn add(
        &mut self,
        params: &Bound<'_, SamplingParams>,
        prompt_ids: Option<&Bound<'_, PyAny>>,
        max_tokens: Option<i64>,
        min_tokens: i64,
        stop: Option<Stops<'_>>,
        include_stop: bool,
        stop_token_ids: Option<&Bound<'_, PyAny>>,
        ignore_eos: bool,
        skip_special_tokens: bool,
        byte_fallback: &str,
        continuation: bool,
        grammar: Option<&Bound<'_, Grammar>>,
        framer: Option<&Bound<'_, Framer>>,
    ) -> Result<i64> {
        let prompt_ids = prompt_ids.map(integers).transpose()?.unwrap_or_default();
        let options = LineOptions {
            max_tokens: max_tokens.map(|n| at_least("max_tokens", 1, n)).transpose()?,
            min_tokens: at_least("min_tokens", 0, min_tokens)?,
            stop: stop.map(|stop| stop.start(include_stop)).transpose()?.map(|stop| stop.core).unwrap_or_default(),
            stop_token_ids: stop_token_ids.map(integers).transpose()?.unwrap_or_default(),
            ignore_eos,
            detokenize: detokenize::options(skip_special_tokens, byte_fallback)?,
            continuation,
            grammar: grammar.map(|grammar| grammar.get().core.clone()),
            framer: framer.map(|framer| framer.get().core.clone()),
            ..LineOptions::new(params.get().core.clone())
        };
        Ok(self.core.add(options, &prompt_ids)?)
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
    ) -> Result<StepOutput> {
        self.run(py, &StepArguments::dense(logits, slots, mask)?)
    }

    fn step_candidates(
        &mut self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        logits: &Bound<'_, PyAny>,
        logsumexp: &Bound<'_, PyAny>,
        slots: &Bound<'_, PyAny>,
    ) -> Result<StepOutput> {
        self.run(py, &StepArguments::candidates(ids, logits, logsumexp, slots)?)
    }
}

fn at_least(field: &'static str, least: u64, value: i64) -> Result<u64> {
    let error = || CoreError::Parameter { field, value: value.to_string(), expected: format!("at least {least}") };
    Ok(u64::try_from(value).ok().filter(|&value| value >= least).ok_or_else(error)?)
}
