//! `ChatTemplate` for Python. What a template sees is JSON: it has no way to a Python object.

use logitwire_core::error::Error as CoreError;
use logitwire_core::template::ChatTemplate as Core;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

#[pyclass(frozen, module = "logitwire")]
pub(crate) struct ChatTemplate {
    core: Core,
}

/// A Python value as JSON, by Python's own `json`, which knows what its types mean and bounds their depth.
fn json(name: &str, value: &Bound<'_, PyAny>) -> Result<Value> {
    let failed = |what: String| Error::Core(CoreError::Template { line: None, what: format!("{name}: {what}") });
    let options = PyDict::new(value.py());
    options.set_item("ensure_ascii", true)?;
    options.set_item("allow_nan", false)?;
    let text = value.py().import("json")?.call_method("dumps", (value,), Some(&options));
    let text: String = text.map_err(|error| failed(error.to_string()))?.extract()?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}

#[pymethods]
impl ChatTemplate {
    #[new]
    #[pyo3(signature = (source, /, *, bos_token="", eos_token=""))]
    fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Self> {
        Ok(Self { core: Core::new(source, bos_token, eos_token)? })
    }

    #[pyo3(signature = (messages, *, add_generation_prompt=true, tools=None, variables=None))]
    fn render(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        add_generation_prompt: bool,
        tools: Option<&Bound<'_, PyAny>>,
        variables: Option<&Bound<'_, PyAny>>,
    ) -> Result<String> {
        let messages = json("messages", messages)?;
        let tools = tools.map(|tools| json("tools", tools)).transpose()?;
        let variables = match variables.map(|variables| json("variables", variables)).transpose()? {
            None => Map::new(),
            Some(Value::Object(variables)) => variables,
            Some(_) => {
                let what = "variables: expected a mapping of names to values".to_owned();
                return Err(CoreError::Template { line: None, what }.into());
            }
        };
        let render = || self.core.render(&messages, add_generation_prompt, tools.as_ref(), &variables);
        Ok(py.detach(render)?)
    }
}
