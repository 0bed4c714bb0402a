//! `logitwire._core`: each station of the core for Python. Converts in, calls, converts out; no algorithm lives here.

mod array;
mod batch;
mod detokenize;
mod error;
mod gguf;
mod grammar;
mod ids;
mod limits;
mod mask;
mod params;
mod sample;
mod sse;
mod stop;
mod stop_texts;
mod template;
mod texts;
mod tokenize;
mod transformers;
mod vocab;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::batch::{Batch, StepOutput};
    #[pymodule_export]
    use crate::detokenize::Detokenizer;
    #[pymodule_export]
    use crate::gguf::{Gguf, GgufTensor};
    #[pymodule_export]
    use crate::grammar::{Grammar, GrammarNote, Matcher, fill_masks};
    #[pymodule_export]
    use crate::limits::{cpu_features, is_debug_build, limits};
    #[pymodule_export]
    use crate::mask::apply_mask;
    #[pymodule_export]
    use crate::params::SamplingParams;
    #[pymodule_export]
    use crate::sample::{SampleOutput, Sampler};
    #[pymodule_export]
    use crate::sse::frame::{Framer, Template, sse_comment, sse_error, sse_frame, sse_tgi_error, sse_tgi_token};
    #[pymodule_export]
    use crate::sse::parse::{Event, EventBytes, SseParser};
    #[pymodule_export]
    use crate::stop::StopMatcher;
    #[pymodule_export]
    use crate::template::ChatTemplate;
    #[pymodule_export]
    use crate::tokenize::Tokenizer;
    #[pymodule_export]
    use crate::vocab::Vocab;

    use pyo3::prelude::*;
    use pyo3::types::PyBytes;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("SSE_DONE", PyBytes::new(module.py(), logitwire_core::sse::frame::DONE))?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
