//! One request's line: `logits -> mask -> sample -> accept -> detokenize -> stop? -> frame`. Only this file knows the
//! order of the stations, and where a row's mask comes from.

use std::sync::Arc;

use crate::detokenize::{DetokenizeOptions, Detokenizer};
use crate::error::{Error, Result};
use crate::grammar::Grammar;
use crate::grammar::matcher::Matcher;
use crate::limits::{Limits, within};
use crate::mask;
use crate::sample::{Allowed, Draw, Logits, Order, Request, SamplingParams, Scratch, Status};
use crate::sse::frame::{Framer, TokenLogprob};
use crate::stop::{StopMatcher, StopText};
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
    /// Its grammar: the text is whole, and nothing may follow.
    Grammar = 6,
}

impl Finish {
    /// As `finish_reason` says it.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Running | Self::Error => None,
            Self::Eos | Self::StopToken | Self::StopString | Self::Grammar => Some("stop"),
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
    /// How many tokens it has before anything but `max_tokens` may end it: ids that would are not drawn, stop strings
    /// that end there are text.
    pub min_tokens: u64,
    /// Watches for the strings that end it. What it has seen before is forgotten.
    pub stop: StopMatcher,
    /// Ids that end it and add no text.
    pub stop_token_ids: Vec<i64>,
    /// Take the vocabulary's end tokens as any other.
    pub ignore_eos: bool,
    /// How its tokens become text.
    pub detokenize: DetokenizeOptions,
    /// Its text goes on after the prompt's, instead of beginning anew.
    pub continuation: bool,
    /// What its text is held to; what ends the request is drawn exactly where the text may end.
    pub grammar: Option<Arc<Grammar>>,
    /// Where its frames are written, if it has any.
    pub framer: Option<Framer>,
}

impl LineOptions {
    /// No stop but the vocabulary's end tokens, no frames.
    pub fn new(params: SamplingParams) -> Self {
        Self {
            params,
            max_tokens: None,
            min_tokens: 0,
            stop: StopMatcher::default(),
            stop_token_ids: Vec::new(),
            ignore_eos: false,
            detokenize: DetokenizeOptions::default(),
            continuation: false,
            grammar: None,
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
    /// What a row comes to whose line broke: a fault of ours, or of the library where a decoder is not compiled.
    pub(crate) fn fault() -> Self {
        Self::without_token(Status::Fault)
    }

    fn without_token(status: Status) -> Self {
        let draw = Draw { token: None, status, logprob: f32::NAN, rank: 0 };
        let (text, frames, top, stop_index) = (Vec::new(), Vec::new(), Vec::new(), None);
        Self { draw, finish: Finish::Error, stop_index, text, frames, top }
    }
}

/// How a token ends a request by its id alone, whatever the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    finish: Finish,
    stop_index: Option<usize>,
}

impl End {
    /// It does not; then only is the token text.
    const NONE: Self = Self { finish: Finish::Running, stop_index: None };
}

/// One request between its logits and the wire.
#[derive(Debug)]
pub struct Line {
    options: LineOptions,
    vocab: Arc<Vocab>,
    request: Request,
    /// Of the text so far, those that a stop string holds back included.
    n_characters: usize,
    detokenizer: Detokenizer,
    /// Special tokens whose text is a stop string, and which: (id, index). What is skipped no matcher sees.
    special_stops: Vec<(u32, usize)>,
    /// Ids not drawn within `min_tokens`.
    withheld: Vec<u32>,
    matcher: Option<Matcher>,
    /// What the grammar and the mask given for a row allow, if there is a grammar.
    mask: Vec<u32>,
    finish: Finish,
}

impl Line {
    /// A request whose fields are in range, and whose prompt's ids the vocabulary has.
    pub fn new(vocab: Arc<Vocab>, mut options: LineOptions, prompt_ids: &[i64]) -> Result<Self> {
        let request = Request::new(options.params.clone(), &Order::default(), prompt_ids, vocab.len())?;
        if options.max_tokens == Some(0) {
            return Err(Error::Parameter { field: "max_tokens", value: "0".into(), expected: "at least 1".into() });
        }
        if let Some(maximum) = options.max_tokens.filter(|&maximum| options.min_tokens > maximum) {
            let (value, expected) = (options.min_tokens.to_string(), format!("at most {maximum}, as max_tokens"));
            return Err(Error::Parameter { field: "min_tokens", value, expected });
        }
        within("stop_token_ids", options.stop_token_ids.len(), Limits::DEFAULT.stop_token_ids)?;
        vocab.check(options.stop_token_ids.iter().copied())?;
        options.stop.reset();
        vocab.check(prompt_ids.iter().copied())?;
        let detokenizer = match options.continuation {
            true => Detokenizer::after(&vocab, options.detokenize, prompt_ids.iter().map(|&id| id as u32))?,
            false => Detokenizer::new(&vocab, options.detokenize),
        };
        let mut line = Self {
            detokenizer,
            special_stops: special_stops(&vocab, &options.stop),
            withheld: Vec::new(),
            matcher: None,
            mask: Vec::new(),
            options,
            vocab,
            request,
            n_characters: 0,
            finish: Finish::Running,
        };
        if line.options.min_tokens > 0 {
            line.withheld = line.ending_ids();
        }
        if let Some(grammar) = line.options.grammar.clone() {
            if !Arc::ptr_eq(grammar.vocab(), &line.vocab) {
                return Err(Error::Vocab { what: "the grammar was compiled for another one".into() });
            }
            line.mask = vec![0; mask::words(line.vocab.len())];
            line.matcher = Some(Matcher::ending_with(grammar, line.ending_ids(), line.options.continuation));
        }
        Ok(line)
    }

    /// The ids that end the request and are no text.
    fn ending_ids(&self) -> Vec<u32> {
        let eos_ids = self.vocab.eos_ids().iter().copied();
        // Ids of the vocabulary: `new` has checked them.
        let stop_token_ids = self.options.stop_token_ids.iter().map(|&id| id as u32);
        let special_stops = self.special_stops.iter().map(|&(id, _)| id);
        let ids = eos_ids.chain(stop_token_ids).chain(special_stops);
        ids.filter(|&id| self.end_of(id) != End::NONE).collect()
    }

    /// How it draws.
    pub fn params(&self) -> &SamplingParams {
        self.request.params()
    }

    /// Whether and why it ended.
    pub fn finish(&self) -> Finish {
        self.finish
    }

    /// Take one row down the line.
    pub fn step(&mut self, logits: Logits<'_>, mask: Option<&[u32]>, scratch: &mut Scratch) -> LineStep {
        // Should a station fail or panic, the request counts as ended.
        self.finish = Finish::Error;
        let step = self.try_step(logits, mask, scratch).unwrap_or_else(|error| match error {
            Error::Limit { .. } => LineStep::without_token(Status::Limit),
            _ => LineStep::fault(),
        });
        self.finish = step.finish;
        step
    }

    /// An error is the grammar's or the detokenizer's.
    fn try_step(&mut self, logits: Logits<'_>, mask: Option<&[u32]>, scratch: &mut Scratch) -> Result<LineStep> {
        let mut top = Vec::new();
        self.fill_mask(mask)?;
        let allowed = Allowed {
            present: Some(self.vocab.present()),
            mask: if self.matcher.is_some() { Some(&self.mask) } else { mask },
            withheld: if self.request.step() < self.options.min_tokens { &self.withheld } else { &[] },
        };
        let draw = self.request.sample(logits, allowed, scratch, &mut top);
        let (text, frames, stop_index) = (Vec::new(), Vec::new(), None);
        let mut step = LineStep { draw, finish: Finish::Error, stop_index, text, frames, top };
        if let Some(token) = draw.token {
            let end = self.end_of(token);
            let is_whole = end == End::NONE && self.completes_grammar(token)?;
            let n_characters = self.accept(token, end, is_whole, &mut step)?;
            self.frame(token, end, &mut step);
            self.n_characters += n_characters;
        }
        Ok(step)
    }

    /// What the grammar allows of a row's own mask.
    fn fill_mask(&mut self, given: Option<&[u32]>) -> Result<()> {
        let Some(matcher) = &mut self.matcher else { return Ok(()) };
        matcher.fill(&mut self.mask)?;
        if let Some(given) = given {
            // Of what the row's mask is too narrow for, nothing is allowed.
            let given = given.iter().chain(std::iter::repeat(&0));
            self.mask.iter_mut().zip(given).for_each(|(word, given)| *word &= given);
        }
        Ok(())
    }

    /// Whether the text is whole with this token, and nothing may follow it.
    fn completes_grammar(&mut self, token: u32) -> Result<bool> {
        let Some(matcher) = &mut self.matcher else { return Ok(false) };
        if !matcher.accept(token)? {
            let what = format!("token {token} was drawn from its mask, and is refused: a fault of logitwire");
            return Err(Error::Grammar { position: None, what });
        }
        Ok(self.request.step() >= self.options.min_tokens && matcher.is_complete()?)
    }

    /// How a token ends the request by its id alone.
    fn end_of(&self, token: u32) -> End {
        let finish = match token {
            _ if !self.options.ignore_eos && self.vocab.eos_ids().contains(&token) => Finish::Eos,
            _ if self.options.stop_token_ids.contains(&token.into()) => Finish::StopToken,
            _ if self.options.detokenize.skip_special_tokens => Finish::Running,
            // It is text, and its stop string found there.
            _ => return End::NONE,
        };
        match self.special_stops.iter().find(|special| special.0 == token) {
            Some(&(_, index)) => End { finish: Finish::StopString, stop_index: Some(index) },
            None => End { finish, stop_index: None },
        }
    }

    /// The token's text, and whether the request ends with it: a stop string wins over an end token or a whole text,
    /// all over length. Returns how many characters the token completed, those of stop strings included.
    fn accept(&mut self, token: u32, end: End, is_whole: bool, step: &mut LineStep) -> Result<usize> {
        step.finish = end.finish;
        if end == End::NONE {
            self.detokenizer.step(&self.vocab, token, &mut step.text)?;
            if is_whole {
                step.finish = Finish::Grammar;
            } else if self.options.max_tokens.is_some_and(|maximum| self.request.step() >= maximum) {
                step.finish = Finish::Length;
            }
        }
        if step.finish != Finish::Running {
            self.detokenizer.finish(&self.vocab, &mut step.text)?;
        }
        let n_characters = step.text.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        let stop = &mut self.options.stop;
        step.stop_index = stop.feed_in_place(&mut step.text, self.request.step() > self.options.min_tokens);
        if step.stop_index.is_some() {
            step.finish = Finish::StopString;
        } else if step.finish != Finish::Running {
            step.text.extend_from_slice(stop.finish());
            step.stop_index = end.stop_index;
            if let (Some(index), StopText::Include) = (end.stop_index, stop.text()) {
                step.text.extend_from_slice(&stop.stops()[index]);
            }
        }
        Ok(n_characters)
    }

    fn frame(&self, token: u32, end: End, step: &mut LineStep) {
        let Some(framer) = &self.options.framer else { return };
        // As OpenAI has it: a token that ends the request is not in the text, and not among the log-probabilities.
        if self.options.params.logprobs.is_some() && end == End::NONE {
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

fn special_stops(vocab: &Vocab, stop: &StopMatcher) -> Vec<(u32, usize)> {
    if stop.stops().is_empty() {
        return Vec::new();
    }
    vocab.special_tokens().iter().filter_map(|(id, written)| Some((*id, stop.index_of(written)?))).collect()
}
