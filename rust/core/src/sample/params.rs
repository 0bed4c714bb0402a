//! How one request draws its tokens: the fields, their ranges, and nothing that happens to a row.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits::{Limits, within};

use super::plan::{Order, Processor};

/// Which of a request's tokens a penalty counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// The prompt's and those drawn.
    All,
    /// Those drawn.
    Output,
}

/// How a watermark's green tokens are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatermarkScheme {
    /// As transformers does on a CPU: the first of a random permutation of the vocabulary.
    Kgw,
    /// A random number for each token.
    Philox,
}

/// What log-probabilities are those of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogprobsMode {
    /// The row as the model made it.
    #[default]
    Raw,
    /// What the token was drawn from.
    Processed,
}

macro_rules! names {
    ($type:ident, $field:literal, $($variant:ident = $name:literal),*) => {
        impl $type {
            /// By its public name.
            pub fn from_name(name: &str) -> Result<Self> {
                match name {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(Error::Parameter {
                        field: $field,
                        value: format!("{name:?}"),
                        expected: [$(concat!("\"", $name, "\"")),*].join(" or "),
                    }),
                }
            }

            /// Its public name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

names!(Counts, "counts", All = "all", Output = "output");
names!(WatermarkScheme, "watermark", Kgw = "kgw", Philox = "philox");
names!(LogprobsMode, "logprobs_mode", Raw = "raw", Processed = "processed");

/// One request's choice. What a sampler takes has been `checked`.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// 0 is greedy.
    pub temperature: f64,
    /// How far the temperature may be from `temperature`, by how even the distribution is.
    pub dynatemp_range: f64,
    /// The power of the evenness.
    pub dynatemp_exponent: f64,
    /// 0 keeps all.
    pub top_k: u32,
    /// 1 keeps all.
    pub top_p: f64,
    /// 0 keeps all.
    pub min_p: f64,
    /// 1 keeps all.
    pub typical_p: f64,
    /// 1 keeps all.
    pub tfz: f64,
    /// 0 keeps all.
    pub top_n_sigma: f64,
    /// 0 keeps all.
    pub epsilon_cutoff: f64,
    /// 0 keeps all.
    pub eta_cutoff: f64,
    /// 0 never excludes.
    pub xtc_probability: f64,
    /// What a top choice is.
    pub xtc_threshold: f64,
    /// 0, 1 or 2; in place of all that cuts.
    pub mirostat: u32,
    /// The surprise aimed at, in bits.
    pub mirostat_tau: f64,
    /// How fast.
    pub mirostat_eta: f64,
    /// 1 changes nothing.
    pub repetition_penalty: f64,
    /// 0 changes nothing.
    pub frequency_penalty: f64,
    /// 0 changes nothing.
    pub presence_penalty: f64,
    /// None is the profile's: all.
    pub repetition_counts: Option<Counts>,
    /// Of frequency and presence; None is the profile's: output, and all for llama.cpp.
    pub frequency_counts: Option<Counts>,
    /// How many of the last tokens the three look at; None is the profile's: all, and 64 for llama.cpp.
    pub penalty_last_n: Option<u32>,
    /// 0 changes nothing.
    pub dry_multiplier: f64,
    /// By how much more each further token of a repetition counts.
    pub dry_base: f64,
    /// The longest repetition that may go on unpenalised, and one more.
    pub dry_allowed_length: u32,
    /// How many of the last tokens are looked at; None: all.
    pub dry_last_n: Option<u32>,
    /// Ids that no repetition goes across, ascending.
    pub dry_breakers: Arc<[u32]>,
    /// (id, what is added), ids ascending; -inf bans.
    pub logit_bias: Arc<[(u32, f32)]>,
    /// Sequences that are not to be.
    pub bad_words: Arc<[Box<[u32]>]>,
    /// None: no watermark.
    pub watermark: Option<WatermarkScheme>,
    /// The share of tokens that are green.
    pub watermark_gamma: f64,
    /// What is added to their logits.
    pub watermark_delta: f64,
    /// Which tokens are green after which.
    pub watermark_key: u64,
    /// None is the sampler's.
    pub order: Option<Arc<Order>>,
    /// The key of the random numbers.
    pub seed: u64,
    /// Which completion of one prompt this is.
    pub choice: u32,
    /// How many of the most likely tokens to report; None reports no log-probability at all.
    pub logprobs: Option<u32>,
    /// What they are those of.
    pub logprobs_mode: LogprobsMode,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            tfz: 1.0,
            top_n_sigma: 0.0,
            epsilon_cutoff: 0.0,
            eta_cutoff: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            mirostat: 0,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            repetition_counts: None,
            frequency_counts: None,
            penalty_last_n: None,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_last_n: None,
            dry_breakers: Arc::new([]),
            logit_bias: Arc::new([]),
            bad_words: Arc::new([]),
            watermark: None,
            watermark_gamma: 0.25,
            watermark_delta: 2.0,
            watermark_key: 15_485_863,
            order: None,
            seed: 0,
            choice: 0,
            logprobs: None,
            logprobs_mode: LogprobsMode::Raw,
        }
    }
}

impl SamplingParams {
    /// Temperature 0: the largest logit, the lowest id among equals.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// The same, or an error naming the field that is out of range.
    pub fn checked(self) -> Result<Self> {
        let within_range = |field, value: f64, is_in: bool, expected: &str| match is_in {
            true => Ok(()),
            false => Err(Error::Parameter { field, value: value.to_string(), expected: expected.to_owned() }),
        };
        let at_least = |field, value: f64, least: f64, expected: &str| {
            within_range(field, value, value.is_finite() && value >= least, expected)
        };
        let share =
            |field, value: f64, expected: &str| within_range(field, value, value > 0.0 && value <= 1.0, expected);
        let probability =
            |field, value: f64, expected: &str| within_range(field, value, (0.0..=1.0).contains(&value), expected);
        let penalty =
            |field, value: f64, expected: &str| within_range(field, value, (-2.0..=2.0).contains(&value), expected);
        at_least("temperature", self.temperature, 0.0, "a finite number >= 0 (0 is greedy)")?;
        at_least("dynatemp_range", self.dynatemp_range, 0.0, "a finite number >= 0 (0 is off)")?;
        at_least("dynatemp_exponent", self.dynatemp_exponent, 0.0, "a finite number >= 0")?;
        share("top_p", self.top_p, "0 < top_p <= 1 (1 keeps all)")?;
        probability("min_p", self.min_p, "0 <= min_p <= 1 (0 keeps all)")?;
        share("typical_p", self.typical_p, "0 < typical_p <= 1 (1 keeps all)")?;
        share("tfz", self.tfz, "0 < tfz <= 1 (1 keeps all)")?;
        at_least("top_n_sigma", self.top_n_sigma, 0.0, "a finite number >= 0 (0 keeps all)")?;
        let is_cutoff = |value: f64| (0.0..1.0).contains(&value);
        within_range("epsilon_cutoff", self.epsilon_cutoff, is_cutoff(self.epsilon_cutoff), "0 <= epsilon_cutoff < 1")?;
        within_range("eta_cutoff", self.eta_cutoff, is_cutoff(self.eta_cutoff), "0 <= eta_cutoff < 1")?;
        probability("xtc_probability", self.xtc_probability, "0 <= xtc_probability <= 1 (0 is off)")?;
        probability("xtc_threshold", self.xtc_threshold, "0 <= xtc_threshold <= 1")?;
        if self.mirostat > 2 {
            return Err(Error::Parameter {
                field: "mirostat",
                value: self.mirostat.to_string(),
                expected: "0 (off), 1 or 2".into(),
            });
        }
        at_least("mirostat_tau", self.mirostat_tau, 0.0, "a finite number >= 0")?;
        at_least("mirostat_eta", self.mirostat_eta, 0.0, "a finite number >= 0")?;
        let repetition = self.repetition_penalty;
        let is_positive = (repetition as f32).is_finite() && repetition as f32 > 0.0;
        within_range("repetition_penalty", repetition, is_positive, "a finite number > 0 (1 changes nothing)")?;
        penalty("frequency_penalty", self.frequency_penalty, "-2 <= frequency_penalty <= 2")?;
        penalty("presence_penalty", self.presence_penalty, "-2 <= presence_penalty <= 2")?;
        at_least("dry_multiplier", self.dry_multiplier, 0.0, "a finite number >= 0 (0 is off)")?;
        at_least("dry_base", self.dry_base, 1.0, "a finite number >= 1")?;
        let gamma = self.watermark_gamma;
        within_range("watermark_gamma", gamma, gamma > 0.0 && gamma < 1.0, "0 < watermark_gamma < 1")?;
        let delta = self.watermark_delta;
        within_range("watermark_delta", delta, delta.abs() <= 100.0, "-100 <= watermark_delta <= 100")?;
        if let Some((_, bias)) = self.logit_bias.iter().find(|(_, bias)| bias.is_nan() || *bias == f32::INFINITY) {
            within_range("logit_bias", f64::from(*bias), false, "finite numbers, or -inf (never drawn)")?;
        }
        let limits = Limits::DEFAULT;
        within("logit_bias", self.logit_bias.len(), limits.logit_bias)?;
        within("bad_words", self.bad_words.len(), limits.bad_words)?;
        within("bad_word_tokens", self.bad_words.iter().map(|word| word.len()).sum(), limits.bad_word_tokens)?;
        within("dry_breakers", self.dry_breakers.len(), limits.dry_breakers)?;
        if self.bad_words.iter().any(|word| word.is_empty()) {
            let expected = "sequences of at least one token".into();
            return Err(Error::Parameter { field: "bad_words", value: "an empty one".into(), expected });
        }
        match self.logprobs {
            Some(n) if n as usize > limits.top_logprobs => Err(Error::Parameter {
                field: "logprobs",
                value: n.to_string(),
                expected: format!("0 <= logprobs <= {}", limits.top_logprobs),
            }),
            _ => Ok(self),
        }
    }

    /// Whether a processor would change anything.
    pub(super) fn asks_for(&self, processor: Processor) -> bool {
        use Processor as P;
        match processor {
            P::LogitBias => !self.logit_bias.is_empty(),
            P::BadWords => !self.bad_words.is_empty(),
            P::RepetitionPenalty => self.repetition_penalty != 1.0,
            P::FrequencyPenalty => self.frequency_penalty != 0.0,
            P::PresencePenalty => self.presence_penalty != 0.0,
            P::Dry => self.dry_multiplier > 0.0,
            P::Watermark => self.watermark.is_some(),
            P::TopNSigma => self.top_n_sigma > 0.0,
            P::Temperature => self.temperature != 1.0 && self.temperature != 0.0 || self.dynatemp_range > 0.0,
            P::TopK => self.top_k > 0,
            P::TopP => self.top_p < 1.0,
            P::MinP => self.min_p > 0.0,
            P::TypicalP => self.typical_p < 1.0,
            P::Tfz => self.tfz < 1.0,
            P::EpsilonCutoff => self.epsilon_cutoff > 0.0,
            P::EtaCutoff => self.eta_cutoff > 0.0,
            P::Xtc => self.xtc_probability > 0.0,
        }
    }

    /// Every token id it names.
    pub(super) fn token_ids(&self) -> impl Iterator<Item = u32> {
        let biased = self.logit_bias.iter().map(|pair| pair.0);
        biased
            .chain(self.bad_words.iter().flat_map(|word| word.iter().copied()))
            .chain(self.dry_breakers.iter().copied())
    }
}
