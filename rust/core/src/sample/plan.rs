//! In which order a row is processed: the profiles, lists of the caller's own, and what both compile to. What a processor
//! does is `edit` and `kept`.

use crate::error::{Error, Result};

use super::params::SamplingParams;

macro_rules! processors {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// One step from a row to what may be drawn. The mask comes before all of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Processor {
            $($(#[doc = $doc])* $name,)*
        }

        impl Processor {
            /// Each there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its public name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

processors! {
    /// Adds to the logits of some tokens, or bans them.
    LogitBias = "logit_bias",
    /// Bans the last token of each sequence that would be whole.
    BadWords = "bad_words",
    /// Keskar et al., 1909.05858.
    RepetitionPenalty = "repetition_penalty",
    /// As OpenAI has it.
    FrequencyPenalty = "frequency_penalty",
    /// As OpenAI has it.
    PresencePenalty = "presence_penalty",
    /// Penalises what goes on with a repetition.
    Dry = "dry",
    /// Kirchenbauer et al., 2301.10226.
    Watermark = "watermark",
    /// 2411.07641.
    TopNSigma = "top_n_sigma",
    /// Static, or by how even the distribution is.
    Temperature = "temperature",
    /// The k most likely.
    TopK = "top_k",
    /// The nucleus: Holtzman et al., 1904.09751.
    TopP = "top_p",
    /// What is likely beside the most likely.
    MinP = "min_p",
    /// Locally typical: Meister et al., 2202.00666.
    TypicalP = "typical_p",
    /// Tail-free: cuts where the curve of probabilities flattens.
    Tfz = "tfz",
    /// Hewitt et al., 2210.15191.
    EpsilonCutoff = "epsilon_cutoff",
    /// Hewitt et al., 2210.15191.
    EtaCutoff = "eta_cutoff",
    /// Excludes the top choices.
    Xtc = "xtc",
}

use Processor as P;

impl Processor {
    /// By its public name.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|processor| processor.name() == name).ok_or_else(|| Error::Parameter {
            field: "order",
            value: format!("{name:?}"),
            expected: format!("one of {}", Self::ALL.iter().map(|p| p.name()).collect::<Vec<_>>().join(", ")),
        })
    }

    /// Whether it changes logits; all others drop tokens or scale.
    pub fn is_edit(self) -> bool {
        matches!(
            self,
            P::LogitBias
                | P::BadWords
                | P::RepetitionPenalty
                | P::FrequencyPenalty
                | P::PresencePenalty
                | P::Dry
                | P::Watermark
        )
    }
}

/// An order with a name: what an engine does, its ties included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Ours: every processor there is, ties by lowest id.
    #[default]
    Default,
    /// vLLM: min_p before top_k, which keeps all that tie.
    Vllm,
    /// text-generation-inference: watermark first; top_k and typical_p keep all that tie.
    Tgi,
    /// transformers: watermark last; top_k and typical_p keep all that tie.
    Hf,
    /// llama.cpp: temperature last; penalties look at the last 64 tokens, the prompt's included.
    LlamaCpp,
}

impl Profile {
    /// Each there is.
    pub const ALL: [Self; 5] = [Self::Default, Self::Vllm, Self::Tgi, Self::Hf, Self::LlamaCpp];

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Vllm => "vllm",
            Self::Tgi => "tgi",
            Self::Hf => "hf",
            Self::LlamaCpp => "llama.cpp",
        }
    }

    fn processors(self) -> &'static [Processor] {
        match self {
            Self::Default => Processor::ALL,
            Self::Vllm => &[
                P::BadWords,
                P::LogitBias,
                P::RepetitionPenalty,
                P::FrequencyPenalty,
                P::PresencePenalty,
                P::Temperature,
                P::MinP,
                P::TopK,
                P::TopP,
            ],
            Self::Tgi => &[
                P::Watermark,
                P::RepetitionPenalty,
                P::FrequencyPenalty,
                P::Temperature,
                P::TopK,
                P::TopP,
                P::TypicalP,
            ],
            Self::Hf => &[
                P::LogitBias,
                P::RepetitionPenalty,
                P::BadWords,
                P::Temperature,
                P::TopK,
                P::TopP,
                P::MinP,
                P::TypicalP,
                P::EpsilonCutoff,
                P::EtaCutoff,
                P::Watermark,
            ],
            Self::LlamaCpp => &[
                P::LogitBias,
                P::RepetitionPenalty,
                P::FrequencyPenalty,
                P::PresencePenalty,
                P::Dry,
                P::TopNSigma,
                P::TopK,
                P::TypicalP,
                P::TopP,
                P::MinP,
                P::Xtc,
                P::Temperature,
            ],
        }
    }
}

/// In which order processors run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// As an engine does.
    Profile(Profile),
    /// As the caller says, ties by lowest id; made by `from_names`.
    List(Box<[Processor]>),
}

impl Default for Order {
    fn default() -> Self {
        Self::Profile(Profile::Default)
    }
}

impl Order {
    /// A profile by its public name.
    pub fn from_name(name: &str) -> Result<Self> {
        let profile = Profile::ALL.into_iter().find(|profile| profile.name() == name);
        profile.map(Self::Profile).ok_or_else(|| Error::Parameter {
            field: "order",
            value: format!("{name:?}"),
            expected: "\"default\", \"vllm\", \"tgi\", \"hf\", \"llama.cpp\", or a list of processors".into(),
        })
    }

    /// A list by the public names of its processors: each once, those that change logits first.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Result<Self> {
        let error = |value: &str, expected: &str| {
            Err(Error::Parameter { field: "order", value: format!("{value:?}"), expected: expected.into() })
        };
        let mut list: Vec<Processor> = Vec::new();
        for name in names {
            let processor = Processor::from_name(name.as_ref())?;
            if list.contains(&processor) {
                return error(name.as_ref(), "each processor once");
            }
            let is_late = list.iter().any(|earlier| !earlier.is_edit());
            if processor.is_edit() && processor != P::Watermark && is_late {
                return error(name.as_ref(), "what changes logits (but for the watermark) before what cuts or scales");
            }
            list.push(processor);
        }
        Ok(Self::List(list.into_boxed_slice()))
    }

    /// Its processors.
    pub fn processors(&self) -> &[Processor] {
        match self {
            Self::Profile(profile) => profile.processors(),
            Self::List(list) => list,
        }
    }
}

/// What a request's rows go through: only what its parameters ask for.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Before the row's status is known.
    pub(super) edits: Vec<Processor>,
    /// After it, the watermark of `hf` and of lists among them.
    pub(super) cuts: Vec<Processor>,
    /// top_k and typical_p keep all that tie with the last one kept.
    pub(super) keeps_ties: KeepsTies,
    /// typical_p keeps the token that goes beyond its mass, not the one that reaches it.
    pub(super) is_strict: bool,
    /// Which of its tokens the request has to remember.
    pub(super) needs_history: bool,
}

/// Where all tokens that tie with the last one kept stay too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeepsTies {
    pub(super) top_k: bool,
    pub(super) typical_p: bool,
}

impl Plan {
    /// What `params` ask for, or an error if the order does not have it.
    pub(super) fn new(params: &SamplingParams, fallback: &Order) -> Result<Self> {
        let order = params.order.as_deref().unwrap_or(fallback);
        let profile = match order {
            Order::Profile(profile) => Some(*profile),
            Order::List(_) => None,
        };
        let named = order.processors();
        for &processor in Processor::ALL {
            if params.asks_for(processor) && !named.contains(&processor) {
                return Err(Error::Parameter {
                    field: processor.name(),
                    value: "set".into(),
                    expected: match profile {
                        Some(profile) => format!("left alone: order {:?} does not have it", profile.name()),
                        None => "left alone: `order` does not name it".into(),
                    },
                });
            }
        }
        let is_llama = profile == Some(Profile::LlamaCpp);
        let runs = |processor: &Processor| {
            let replaced = match (params.mirostat, is_llama) {
                (0, _) => false,
                // In place of its whole chain.
                (_, true) => !matches!(processor, P::LogitBias | P::Temperature),
                (_, false) => !processor.is_edit() && *processor != P::Temperature,
            };
            params.asks_for(*processor) && !replaced
        };
        let mut plan = Self {
            edits: Vec::new(),
            cuts: Vec::new(),
            keeps_ties: KeepsTies {
                top_k: matches!(profile, Some(Profile::Vllm | Profile::Tgi | Profile::Hf)),
                typical_p: matches!(profile, Some(Profile::Tgi | Profile::Hf)),
            },
            is_strict: is_llama,
            needs_history: false,
        };
        let is_greedy = params.temperature == 0.0;
        for processor in named.iter().copied().filter(runs) {
            let is_late = named.iter().take_while(|other| **other != processor).any(|earlier| !earlier.is_edit());
            match processor {
                edit if edit.is_edit() && (is_greedy || !is_late) => plan.edits.push(edit),
                _ if is_greedy => {}
                cut => plan.cuts.push(cut),
            }
            plan.needs_history |= processor.is_edit() && processor != P::LogitBias;
        }
        Ok(plan)
    }
}
