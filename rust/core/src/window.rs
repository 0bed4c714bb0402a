//! Decoders that cannot be compiled: the library decodes the last tokens again at each step. What can be compiled never
//! comes here.

use crate::decoder::Join;
use crate::error::Result;
use crate::filter::Strip;

/// The library's decoder, stage by stage, and the strings it works on.
pub(crate) struct Window {
    tokens: Box<[Option<String>]>,
    stages: Vec<WindowStage>,
}

/// What maps the strings of tokens to others.
pub(crate) enum WindowStage {
    Library(Join),
    /// The library panics on a token shorter than what is to be stripped, and does the same otherwise.
    Strip(Strip),
}

/// The last ids kept: those whose text is out, and those whose text is not.
#[derive(Debug, Clone, Default)]
pub(crate) struct WindowState {
    ids: Vec<u32>,
    n_shown: usize,
}

impl Window {
    pub(crate) fn new(tokens: &[Option<String>], stages: Vec<WindowStage>) -> Self {
        Self { tokens: tokens.into(), stages }
    }

    /// The text of ids all at once.
    pub(crate) fn text(&self, ids: &[u32]) -> Result<String> {
        let token = |&id: &u32| self.tokens.get(id as usize).cloned().flatten();
        let tokens = ids.iter().filter_map(token).collect();
        let texts = self.stages.iter().try_fold(tokens, |tokens: Vec<String>, stage| match stage {
            WindowStage::Library(join) => join(tokens),
            WindowStage::Strip(strip) => Ok(tokens.iter().map(|token| strip.apply(token)).collect()),
        })?;
        Ok(texts.concat())
    }
}

impl WindowState {
    /// Ids that may wait for their text to become whole, and shown ones kept before them.
    const MOST: usize = 8;

    /// Append the text that became certain with this id. After an error the id is forgotten.
    pub(crate) fn step(&mut self, window: &Window, id: u32, out: &mut Vec<u8>) -> Result<()> {
        self.ids.push(id);
        let texts = self.texts(window);
        if texts.is_err() {
            self.ids.pop();
        }
        let (shown, all) = texts?;
        let n_waiting = self.ids.len() - self.n_shown;
        // A character is at most four bytes: three more tokens, and what is not whole will not become so.
        let may_become_whole = n_waiting < 4 && all.ends_with('\u{FFFD}');
        let grows = all.len() > shown.len() && all.starts_with(&shown);
        if (grows && !may_become_whole) || n_waiting >= Self::MOST {
            out.extend_from_slice(rest_after(&shown, &all).as_bytes());
            let n_kept = n_waiting.min(Self::MOST);
            self.ids.drain(..self.ids.len() - n_kept);
            self.show_all();
        }
        Ok(())
    }

    /// Count what waits as shown.
    pub(crate) fn show_all(&mut self) {
        self.n_shown = self.ids.len();
    }

    /// Append what is still held.
    pub(crate) fn finish(&self, window: &Window, out: &mut Vec<u8>) -> Result<()> {
        let (shown, all) = self.texts(window)?;
        out.extend_from_slice(rest_after(&shown, &all).as_bytes());
        Ok(())
    }

    fn texts(&self, window: &Window) -> Result<(String, String)> {
        Ok((window.text(&self.ids[..self.n_shown])?, window.text(&self.ids)?))
    }
}

/// What of `all` comes after what it has in common with `shown`.
fn rest_after<'a>(shown: &str, all: &'a str) -> &'a str {
    let n_common = shown.bytes().zip(all.bytes()).take_while(|(a, b)| a == b).count();
    &all[all.floor_char_boundary(n_common)..]
}
