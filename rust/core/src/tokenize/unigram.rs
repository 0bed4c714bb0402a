//! A Unigram model read in two steps: its pieces, by which the added tokens get their ids, and the model, which is built
//! once it is known which pieces nobody may type.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokenizers::models::TrainerWrapper;
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::{Model, ModelWrapper, Result, Token};

/// Stands for the model until it is built; shared with the tokenizer that it is read with.
#[derive(Clone, serde::Deserialize)]
#[serde(from = "File")]
pub(super) struct Pieces(Arc<(File, HashMap<String, u32>)>);

#[derive(serde::Deserialize)]
struct File {
    vocab: Vec<(String, f64)>,
    #[serde(default)]
    unk_id: Option<usize>,
    #[serde(default)]
    byte_fallback: bool,
}

impl From<File> for Pieces {
    fn from(file: File) -> Self {
        let ids = file.vocab.iter().zip(0..).map(|((piece, _), id)| (piece.clone(), id)).collect();
        Self(Arc::new((file, ids)))
    }
}

impl Pieces {
    /// The model with some of its pieces renamed.
    pub(super) fn build(self, rename: impl Fn(String) -> String) -> Result<Unigram> {
        let (file, _) = Arc::into_inner(self.0).ok_or("the pieces are still in use")?;
        let vocab = file.vocab.into_iter().map(|(piece, score)| (rename(piece), score)).collect();
        Unigram::from(vocab, file.unk_id, file.byte_fallback)
    }
}

impl From<Pieces> for ModelWrapper {
    /// What holds the place of the model in the tokenizer.
    fn from(_: Pieces) -> Self {
        WordLevel::default().into()
    }
}

impl Model for Pieces {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, _: &str) -> Result<Vec<Token>> {
        Err("not built yet".into())
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.0.1.get(token).copied()
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        self.0.0.vocab.get(id as usize).map(|(piece, _)| piece.clone())
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        self.0.1.clone()
    }

    fn get_vocab_size(&self) -> usize {
        self.0.0.vocab.len()
    }

    fn save(&self, _: &Path, _: Option<&str>) -> Result<Vec<PathBuf>> {
        Err("not built yet".into())
    }

    fn get_trainer(&self) -> TrainerWrapper {
        UnigramTrainer::default().into()
    }
}
