//! One request's line: `logits -> mask -> sample -> accept -> detokenize -> stop? -> frame`. Only this file knows the
//! order of the stations, and where a row's mask comes from.

use std::sync::Arc;

use crate::detokenize::{DetokenizeOptions, Detokenizer};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::sample::{Allowed, Draw, Logits, SamplingParams, Scratch, Status, sample};
use crate::sse::frame::{Framer, TokenLogprob};
use crate::stop::{StopMatcher, StopSet, StopText};
use crate::vocab::Vocab;

/// Why a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Finish {
    /// It did not.
    Running = 0,
    /// A token that ends a generation.
    Eos = 1,
    /// One of the request's own stop token ids.
    StopToken = 2,
    /// One of its stop strings.
    StopString = 3,
    /// It has all the tokens it may have.
    Length = 4,
    /// A row that yielded no token.
    Error = 5,
}

impl Finish {
    /// As `finish_reason` says it.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Running | Self::Error => None,
            Self::Eos | Self::StopToken | Self::StopString => Some("stop"),
            Self::Length => Some("length"),
        }
    }
}

/// What a request asks of its line.
#[derive(Debug, Clone)]
pub struct LineOptions {
    /// How it draws.
    pub params: SamplingParams,
    /// How many tokens it may have; None: as many as are stepped.
    pub max_tokens: Option<u64>,
    /// The strings that end it.
    pub stop: Arc<StopSet>,
    /// Whether the stop string that matched is part of the text.
    pub include_stop: StopText,
    /// Ids that end it and add no text.
    pub stop_token_ids: Vec<i64>,
    /// Take the vocabulary's end tokens as any other.
    pub ignore_eos: bool,
    /// Leave special tokens out of the text.
    pub skip_special_tokens: bool,
    /// Where its frames are written, if it has any.
    pub framer: Option<Framer>,
}

impl LineOptions {
    /// No stop but the vocabulary's end tokens, no frames.
    pub fn new(params: SamplingParams) -> Self {
        Self {
            params,
            max_tokens: None,
            stop: Arc::default(),
            include_stop: StopText::Exclude,
            stop_token_ids: Vec::new(),
            ignore_eos: false,
            skip_special_tokens: true,
            framer: None,
        }
    }
}

/// What one step made of a row.
#[derive(Debug)]
pub struct LineStep {
    /// The token.
    pub draw: Draw,
    /// Whether and why the request ended with it.
    pub finish: Finish,
    /// Which stop string matched.
    pub stop_index: Option<usize>,
    /// The text that became certain: whole characters, no part of a stop string.
    pub text: Vec<u8>,
    /// Server-sent events, if the request has a framer.
    pub frames: Vec<u8>,
    /// The most likely tokens, (id, log-probability), if asked for.
    pub top: Vec<(u32, f32)>,
}

impl LineStep {
    /// What a row comes to whose line broke, which is a fault of ours.
    pub(crate) fn fault() -> Self {
        let draw = Draw { token: None, status: Status::Fault, logprob: f32::NAN, rank: 0 };
        let (text, frames, top, stop_index) = (Vec::new(), Vec::new(), Vec::new(), None);
        Self { draw, finish: Finish::Error, stop_index, text, frames, top }
    }
}

/// One request between its logits and the wire.
#[derive(Debug)]
pub struct Line {
    options: LineOptions,
    vocab: Arc<Vocab>,
    n_drawn: u64,
    /// Of the text so far, those that a stop string holds back included.
    n_characters: usize,
    detokenizer: Detokenizer,
    stop: StopMatcher,
    finish: Finish,
}

impl Line {
    /// A request whose fields are in range.
    pub fn new(vocab: Arc<Vocab>, mut options: LineOptions) -> Result<Self> {
        options.params = options.params.checked()?;
        if options.max_tokens == Some(0) {
            return Err(Error::Parameter { field: "max_tokens", value: "0".into(), expected: "at least 1".into() });
        }
        let (got, maximum) = (options.stop_token_ids.len() as u64, Limits::DEFAULT.stop_token_ids as u64);
        if got > maximum {
            return Err(Error::Limit { limit: "stop_token_ids", got, maximum });
        }
        vocab.check(options.stop_token_ids.iter().copied())?;
        let detokenize =
            DetokenizeOptions { skip_special_tokens: options.skip_special_tokens, ..DetokenizeOptions::default() };
        Ok(Self {
            detokenizer: Detokenizer::new(&vocab, detokenize),
            stop: StopMatcher::new(options.stop.clone(), options.include_stop),
            options,
            vocab,
            n_drawn: 0,
            n_characters: 0,
            finish: Finish::Running,
        })
    }

    /// How it draws.
    pub fn params(&self) -> SamplingParams {
        self.options.params
    }

    /// Whether and why it ended.
    pub fn finish(&self) -> Finish {
        self.finish
    }

    /// The masks its next row is under: the ids the vocabulary has, and the mask it is given.
    fn allowed<'a>(&'a self, given: Option<&'a [u32]>) -> Allowed<'a> {
        Allowed { present: Some(self.vocab.present()), mask: given }
    }

    /// Take one row down the line.
    pub fn step(&mut self, logits: Logits<'_>, mask: Option<&[u32]>, scratch: &mut Scratch) -> LineStep {
        // Should a station panic, the request counts as ended.
        self.finish = Finish::Error;
        let mut top = Vec::new();
        let allowed = self.allowed(mask);
        let draw = sample(logits, allowed, &self.options.params, self.n_drawn, scratch, &mut top);
        let (text, frames, stop_index) = (Vec::new(), Vec::new(), None);
        let mut step = LineStep { draw, finish: Finish::Error, stop_index, text, frames, top };
        if let Some(token) = draw.token {
            self.n_drawn += 1;
            let end = self.end_of(token);
            let n_characters = self.accept(token, end, &mut step);
            self.frame(token, end, &mut step);
            self.n_characters += n_characters;
        }
        self.finish = step.finish;
        step
    }

    /// What a token that adds no text ends the request with, Running for one that does.
    fn end_of(&self, token: u32) -> Finish {
        match token {
            _ if !self.options.ignore_eos && self.vocab.eos_ids().contains(&token) => Finish::Eos,
            _ if self.options.stop_token_ids.contains(&token.into()) => Finish::StopToken,
            _ => Finish::Running,
        }
    }

    /// The token's text, and whether the request ends with it: a stop string wins over an end token, both over length.
    /// Returns how many characters the token completed, those of stop strings included.
    fn accept(&mut self, token: u32, end: Finish, step: &mut LineStep) -> usize {
        let mut characters = Vec::new();
        step.finish = end;
        if end == Finish::Running {
            self.detokenizer.step(&self.vocab, token, &mut characters);
            if self.options.max_tokens.is_some_and(|maximum| self.n_drawn >= maximum) {
                step.finish = Finish::Length;
            }
        }
        if step.finish != Finish::Running {
            self.detokenizer.finish(&self.vocab, &mut characters);
        }
        step.stop_index = self.stop.feed(&characters, &mut step.text);
        if step.stop_index.is_some() {
            step.finish = Finish::StopString;
        } else if step.finish != Finish::Running {
            self.stop.finish(&mut step.text);
        }
        characters.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
    }

    fn frame(&self, token: u32, end: Finish, step: &mut LineStep) {
        let Some(framer) = &self.options.framer else { return };
        // As OpenAI has it: a token that ends the request is not in the text, and not among the log-probabilities.
        if self.options.params.logprobs.is_some() && end == Finish::Running {
            let bytes = |id| self.vocab.token_bytes(id).unwrap_or_default();
            let logprob = TokenLogprob {
                token: bytes(token),
                logprob: step.draw.logprob,
                top: step.top.iter().map(|&(id, logprob)| (bytes(id), logprob)).collect(),
                text_offset: self.n_characters,
            };
            framer.text_with_logprobs(&step.text, &[logprob], &mut step.frames);
        } else {
            framer.text(&step.text, &mut step.frames);
        }
        if let Some(reason) = step.finish.reason() {
            framer.finish(reason, &mut step.frames);
        }
    }
}
