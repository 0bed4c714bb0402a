//! The one table of limits. Every bound on what a request or a file may ask for stands here and nowhere else.

use crate::error::{Error, Result};

/// An error if there is more of something than the limit of this name.
pub(crate) fn within(limit: &'static str, got: usize, maximum: usize) -> Result<()> {
    match got > maximum {
        true => Err(Error::Limit { limit, got: got as u64, maximum: maximum as u64 }),
        false => Ok(()),
    }
}

/// What a piece of work may still cost, in steps of its own: the same on every machine, as no clock is.
#[derive(Debug, Clone, Copy)]
pub struct Fuel {
    limit: &'static str,
    maximum: u64,
    left: u64,
}

impl Fuel {
    /// As much as the limit of this name allows.
    pub fn new(limit: &'static str, maximum: usize) -> Self {
        Self { limit, maximum: maximum as u64, left: maximum as u64 }
    }

    /// Do `n` steps, or the error that there is no more fuel for them.
    #[inline]
    pub fn spend(&mut self, n: u64) -> Result<()> {
        match self.left.checked_sub(n) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let got = self.maximum.saturating_sub(self.left).saturating_add(n);
                self.left = 0;
                Err(Error::Limit { limit: self.limit, got, maximum: self.maximum })
            }
        }
    }

    /// Steps done.
    pub fn spent(&self) -> u64 {
        self.maximum - self.left
    }
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $name:ident = $value:expr;)*) => {
        /// Bounds on requests and files; going over one is `Error::Limit` with its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])* pub $name: usize,)*
        }

        impl Limits {
            /// The limits in force.
            pub const DEFAULT: Self = Self { $($name: $value,)* };

            /// Name and value of each, in the order of the table.
            pub fn entries(&self) -> Vec<(&'static str, usize)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

limits! {
    /// Ids in a vocabulary.
    vocab_size = 1 << 21;
    /// Bytes of one token.
    token_bytes = 1 << 16;
    /// Bytes of all tokens of a vocabulary together.
    vocab_bytes = 256 << 20;
    /// Bytes of all added tokens of a `tokenizer.json` together.
    added_token_bytes = 1 << 20;
    /// Bytes of all pieces of a Unigram model together, each of which takes some hundred in the library.
    unigram_bytes = 8 << 20;
    /// Stages of a tokenizer's decoder.
    decoder_stages = 64;
    /// Bytes of one literal in a tokenizer's decoder.
    decoder_literal_bytes = 1024;
    /// Bytes that all replacements of a tokenizer's decoder, or of its normalizer, may together make of one.
    tokenizer_growth = 1024;
    /// Bytes of a `tokenizer.json`, or of a file of another format that is converted to one.
    tokenizer_bytes = 256 << 20;
    /// Bytes looked up to find the merges of a vocabulary that only ranks its tokens.
    merge_recovery_bytes = 1 << 30;
    /// Bytes that the normalizer of a SentencePiece model puts in the place of one character.
    charsmap_text_bytes = 256;
    /// Stop strings of one request.
    stop_strings = 16;
    /// Bytes of one stop string.
    stop_string_bytes = 1024;
    /// Stop token ids of one request.
    stop_token_ids = 128;
    /// Most likely tokens reported beside the chosen one.
    top_logprobs = 20;
    /// Tokens with a bias of one request.
    logit_bias = 1 << 16;
    /// Sequences that one request bans.
    bad_words = 1 << 12;
    /// Tokens of them together.
    bad_word_tokens = 1 << 16;
    /// Ids that no repetition goes across, of one request.
    dry_breakers = 1 << 12;
    /// Rows in one call.
    batch_rows = 1 << 16;
    /// Bytes of one line of an event stream.
    sse_line_bytes = 1 << 20;
    /// Bytes of one event's data.
    sse_event_bytes = 8 << 20;
    /// Bytes of an event id.
    sse_id_bytes = 4096;
    /// Instructions, and 64-byte pieces of data processed, of one chat template run.
    template_fuel = 5_000_000;
    /// Bytes a chat template may write.
    template_output_bytes = 4 << 20;
    /// Bytes of a chat template's source.
    template_source_bytes = 1 << 20;
    /// Bytes of a grammar's text: a JSON Schema, all choices together.
    grammar_bytes = 4 << 20;
    /// Bytes of one regular expression.
    grammar_pattern_bytes = 768 << 10;
    /// How deep a grammar's groups, or a schema's values, may be nested.
    grammar_nesting = 512;
    /// Steps to compile one grammar.
    grammar_compile_fuel = 20_000_000;
    /// Steps to make one mask or to take one token.
    grammar_step_fuel = 4_000_000;
    /// Bytes that one compiled grammar may hold, what it learns while it runs included.
    grammar_memory_bytes = 64 << 20;
    /// Digits of a number in a grammar, or zeros before or after them, were it written without an exponent.
    grammar_number_digits = 400;
    /// Bytes of text that one matcher may read.
    grammar_text_bytes = 16 << 20;
    /// Ways that one value may still be read at the same time.
    grammar_alternatives = 256;
    /// Nodes of the trie of a vocabulary that grammars are to work on.
    grammar_index_nodes = 4 << 20;
    /// Bytes of masks that the grammars of one vocabulary share.
    grammar_cache_bytes = 32 << 20;
    /// Bytes of one string in a GGUF header.
    gguf_string_bytes = 1 << 24;
    /// Key-value pairs in a GGUF header.
    gguf_metadata_entries = 1 << 16;
    /// Items of one array in a GGUF header.
    gguf_array_items = 1 << 22;
    /// Tensors in a GGUF file.
    gguf_tensors = 1 << 16;
    /// Dimensions of a tensor in a GGUF file.
    gguf_dimensions = 4;
}
