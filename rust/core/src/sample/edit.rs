//! What changes logits: bias, bans, penalties, the watermark. Each changes the tokens it is about and reads no other.

use super::history::{History, repeats};
use super::number::whole_power;
use super::params::SamplingParams;
use super::plan::Processor;
use super::watermark::GreenList;
use crate::mask::is_allowed;

/// Logits to be changed: all of a row, or those of some ids, ascending.
pub(super) struct Editable<'a> {
    pub(super) x: &'a mut [f32],
    pub(super) ids: Option<&'a [u32]>,
    /// How many tokens the full row has.
    pub(super) width: usize,
}

impl Editable<'_> {
    pub(super) fn at(&mut self, id: u32) -> Option<&mut f32> {
        let position = match self.ids {
            None => id as usize,
            Some(ids) => ids.binary_search(&id).ok()?,
        };
        self.x.get_mut(position)
    }

    fn change(&mut self, id: u32, new: impl FnOnce(f32) -> f32) {
        if let Some(x) = self.at(id) {
            *x = edited(*x, new(*x));
        }
    }

    pub(super) fn ban(&mut self, id: u32) {
        if let Some(x) = self.at(id) {
            *x = f32::NEG_INFINITY;
        }
    }
}

/// What was finite stays so; -0 becomes 0.
fn edited(old: f32, new: f32) -> f32 {
    if old.is_finite() { new.clamp(f32::MIN, f32::MAX) + 0.0 } else { old }
}

/// Memory that edits use one after the other.
#[derive(Debug, Default)]
pub(super) struct EditScratch {
    z: Vec<u32>,
    repeats: Vec<(u32, u32)>,
    green: GreenList,
}

/// Run one processor. `temperature` is what the row will have been divided by, 1 if it will be later.
pub(super) fn edit(
    processor: Processor,
    row: &mut Editable<'_>,
    params: &SamplingParams,
    history: &History,
    temperature: f64,
    scratch: &mut EditScratch,
) {
    match processor {
        Processor::LogitBias => {
            for &(id, bias) in params.logit_bias.iter() {
                if bias == f32::NEG_INFINITY { row.ban(id) } else { row.change(id, |x| x + bias) }
            }
        }
        Processor::BadWords => {
            for word in params.bad_words.iter() {
                if let Some((&last, _)) = word.split_last().filter(|(_, before)| history.ends_with(before)) {
                    row.ban(last);
                }
            }
        }
        Processor::RepetitionPenalty => {
            let penalty = params.repetition_penalty as f32;
            for count in history.counts().iter().filter(|count| count.of(history.repetition_counts) > 0) {
                row.change(count.id, |x| if x > 0.0 { x / penalty } else { x * penalty });
            }
        }
        Processor::FrequencyPenalty => {
            let penalty = params.frequency_penalty as f32;
            for count in history.counts() {
                row.change(count.id, |x| x - penalty * count.of(history.frequency_counts) as f32);
            }
        }
        Processor::PresencePenalty => {
            let penalty = params.presence_penalty as f32;
            for count in history.counts().iter().filter(|count| count.of(history.frequency_counts) > 0) {
                row.change(count.id, |x| x - penalty);
            }
        }
        Processor::Dry => {
            let EditScratch { z, repeats: found, .. } = scratch;
            repeats(history.tokens(), params, z, found);
            for &(id, length) in found.iter() {
                let excess = length.saturating_sub(params.dry_allowed_length);
                let penalty = params.dry_multiplier * whole_power(params.dry_base, excess);
                row.change(id, |x| (f64::from(x) - penalty) as f32);
            }
        }
        Processor::Watermark => {
            let Some(&previous) = history.tokens().last() else { return };
            let green = scratch.green.after(params, previous, row.width);
            let delta = (params.watermark_delta * temperature) as f32;
            let ids = row.ids;
            for (position, x) in row.x.iter_mut().enumerate() {
                if is_allowed(green, ids.map_or(position, |ids| ids[position] as usize)) {
                    *x = edited(*x, *x + delta);
                }
            }
        }
        _ => {}
    }
}
