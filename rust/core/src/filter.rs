//! What some decoders do to text that is already joined: replace a literal, strip an edge. A filter is a transducer that
//! holds back no more than it must, and what it holds is a property of its state: no text is kept.

/// One filter, shared by every stream of a vocabulary.
#[derive(Debug)]
pub(crate) enum Filter {
    Replace(Replace),
    Strip(Strip),
    ByteToken,
}

/// Where one stream stands in one filter; what the two numbers are is each filter's own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FilterState {
    a: u32,
    b: u32,
}

impl Filter {
    /// The state at the beginning of a text.
    pub(crate) fn start(&self) -> FilterState {
        match self {
            Self::Replace(_) => FilterState::default(),
            Self::Strip(strip) => FilterState { a: strip.start, b: 0 },
            Self::ByteToken => FilterState { a: 0, b: ByteToken::OPEN },
        }
    }

    /// The text so far counts as shown, and what goes on is not to change it: append what of it is held.
    pub(crate) fn settle(&self, state: &mut FilterState, out: &mut Vec<u8>) {
        let holds = !matches!(self, Self::Strip(_)) && state.a > 0;
        if holds {
            self.finish(state, out);
            *state = FilterState::default();
        }
    }

    /// Append what `text`, whole characters, made certain.
    pub(crate) fn feed(&self, state: &mut FilterState, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Replace(replace) => replace.feed(&mut state.a, text, out),
            Self::Strip(strip) => strip.feed(state, text, out),
            Self::ByteToken => ByteToken::feed(state, text, out),
        }
    }

    /// Append what is still held; the text ends here.
    pub(crate) fn finish(&self, state: &FilterState, out: &mut Vec<u8>) {
        match self {
            Self::Replace(replace) => out.extend_from_slice(&replace.pattern[..state.a as usize]),
            Self::Strip(_) => {}
            Self::ByteToken => ByteToken::finish(state, out),
        }
    }

    /// Whether it leaves all of a text alone but, at most, how it begins.
    pub(crate) fn is_leading(&self) -> bool {
        matches!(self, Self::Strip(strip) if strip.stop == 0)
    }

    /// What is left of how a text begins; None if more of it may yet fall away. `self.is_leading()`.
    pub(crate) fn lead<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Strip(strip) => strip.lead(text),
            Self::Replace(_) | Self::ByteToken => Some(text),
        }
    }

    /// Whether all further text will pass as it is.
    pub(crate) fn is_spent(&self, state: &FilterState) -> bool {
        match self {
            Self::Replace(_) => false,
            Self::Strip(strip) => strip.stop == 0 && state.a == 0,
            Self::ByteToken => state.b & ByteToken::OPEN == 0,
        }
    }
}

/// Every occurrence of a literal becomes another, leftmost first and without overlap. Held back is the longest suffix
/// that is a proper prefix of the literal, and its length is the state (Knuth, Morris and Pratt, 1977).
#[derive(Debug)]
pub(crate) struct Replace {
    pattern: Box<[u8]>,
    content: Box<[u8]>,
    /// For each length of a matched prefix, that of its longest proper suffix that is a prefix too.
    fail: Box<[u32]>,
}

impl Replace {
    /// None for an empty pattern, which stands everywhere.
    pub(crate) fn new(pattern: &str, content: &str) -> Option<Self> {
        let pattern = pattern.as_bytes();
        if pattern.is_empty() {
            return None;
        }
        let mut fail = vec![0_u32; pattern.len()];
        for at in 1..pattern.len() {
            let mut length = fail[at - 1] as usize;
            while length > 0 && pattern[length] != pattern[at] {
                length = fail[length - 1] as usize;
            }
            fail[at] = (length + usize::from(pattern[length] == pattern[at])) as u32;
        }
        Some(Self { pattern: pattern.into(), content: content.as_bytes().into(), fail: fail.into() })
    }

    fn feed(&self, matched: &mut u32, text: &[u8], out: &mut Vec<u8>) {
        for &byte in text {
            let mut length = *matched as usize;
            while length > 0 && self.pattern[length] != byte {
                let shorter = self.fail[length - 1] as usize;
                out.extend_from_slice(&self.pattern[..length - shorter]);
                length = shorter;
            }
            if self.pattern[length] != byte {
                out.push(byte);
            } else if length + 1 == self.pattern.len() {
                out.extend_from_slice(&self.content);
                length = 0;
            } else {
                length += 1;
            }
            *matched = length as u32;
        }
    }
}

/// At most `start` copies of a character at the beginning and `stop` at the end fall away. State: how many may still
/// fall at the beginning, how many are held because they may be the end.
#[derive(Debug)]
pub(crate) struct Strip {
    content: Box<[u8]>,
    start: u32,
    stop: u32,
}

impl Strip {
    pub(crate) fn new(content: char, start: u64, stop: u64) -> Self {
        let clamped = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self { content: content.to_string().into_bytes().into(), start: clamped(start), stop: clamped(stop) }
    }

    fn feed(&self, state: &mut FilterState, mut text: &[u8], out: &mut Vec<u8>) {
        while state.a > 0 && !text.is_empty() {
            match text.strip_prefix(&*self.content) {
                Some(rest) => (text, state.a) = (rest, state.a - 1),
                None => state.a = 0,
            }
        }
        let mut body = text;
        let mut n_trailing = 0;
        while n_trailing < self.stop
            && let Some(rest) = body.strip_suffix(&*self.content)
        {
            (body, n_trailing) = (rest, n_trailing + 1);
        }
        let n_released = match body.is_empty() {
            true => (state.b.saturating_add(n_trailing)).saturating_sub(self.stop).min(state.b),
            false => state.b,
        };
        (0..n_released).for_each(|_| out.extend_from_slice(&self.content));
        out.extend_from_slice(body);
        state.b = state.b - n_released + n_trailing;
    }

    fn lead<'a>(&self, mut text: &'a [u8]) -> Option<&'a [u8]> {
        for _ in 0..self.start {
            match text.strip_prefix(&*self.content) {
                Some(rest) => text = rest,
                None if self.content.starts_with(text) => return None,
                None => break,
            }
        }
        Some(text)
    }

    /// One text all at once.
    pub(crate) fn apply(&self, text: &str) -> String {
        let content = std::str::from_utf8(&self.content).unwrap_or_default();
        let mut rest = text;
        for _ in 0..self.start {
            let Some(shorter) = rest.strip_prefix(content) else { break };
            rest = shorter;
        }
        for _ in 0..self.stop {
            let Some(shorter) = rest.strip_suffix(content) else { break };
            rest = shorter;
        }
        rest.to_owned()
    }
}

/// A text that is nothing but `<0xNN>` is that byte. State: bytes held, and the two digits beside the mark that the text
/// may still come to it.
struct ByteToken;

impl ByteToken {
    const OPEN: u32 = 1 << 31;

    fn held(state: &FilterState) -> [u8; 6] {
        [b'<', b'0', b'x', state.b as u8, (state.b >> 8) as u8, b'>']
    }

    fn feed(state: &mut FilterState, text: &[u8], out: &mut Vec<u8>) {
        for (at, &byte) in text.iter().enumerate() {
            if state.b & Self::OPEN == 0 {
                return out.extend_from_slice(&text[at..]);
            }
            let fits = match state.a {
                0 => byte == b'<',
                1 => byte == b'0',
                2 => byte == b'x',
                // Rust's `from_str_radix`, by which the library reads it, takes a sign.
                3 => byte.is_ascii_hexdigit() || byte == b'+',
                4 => byte.is_ascii_hexdigit(),
                5 => byte == b'>',
                _ => false,
            };
            if !fits {
                out.extend_from_slice(&Self::held(state)[..state.a as usize]);
                *state = FilterState::default();
                return out.extend_from_slice(&text[at..]);
            }
            state.b |= match state.a {
                3 => u32::from(byte),
                4 => u32::from(byte) << 8,
                _ => 0,
            };
            state.a += 1;
        }
    }

    fn finish(state: &FilterState, out: &mut Vec<u8>) {
        let held = Self::held(state);
        match std::str::from_utf8(&held).ok().and_then(byte_token) {
            Some(byte) if state.a == 6 && byte.is_ascii() => out.push(byte),
            Some(_) if state.a == 6 => out.extend_from_slice("\u{FFFD}".as_bytes()),
            _ => out.extend_from_slice(&held[..state.a as usize]),
        }
    }
}

/// The byte that a token `<0xNN>` stands for.
pub(crate) fn byte_token(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// What the filter makes of a text cut into pieces, and what of it only the end brought out.
    fn run(filter: &Filter, pieces: &[&str]) -> (String, String) {
        let mut state = filter.start();
        let (mut out, mut rest) = (Vec::new(), Vec::new());
        for piece in pieces {
            filter.feed(&mut state, piece.as_bytes(), &mut out);
        }
        filter.finish(&state, &mut rest);
        (String::from_utf8(out).unwrap(), String::from_utf8(rest).unwrap())
    }

    fn pieces<'a>(text: &'a str, cuts: &[usize]) -> Vec<&'a str> {
        let mut cuts: Vec<usize> = cuts.iter().map(|&cut| text.floor_char_boundary(cut)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
    }

    proptest! {
        #[test]
        fn replace_is_str_replace_and_holds_a_proper_prefix(
            pattern in "[ab]{1,5}|é€|.", content in "[abc]{0,2}", text in "[ab]{0,30}|[ab€é]{0,9}",
            cuts in prop::collection::vec(0..40_usize, 0..6),
        ) {
            let filter = Filter::Replace(Replace::new(&pattern, &content).unwrap());
            let (shown, held) = run(&filter, &pieces(&text, &cuts));
            prop_assert_eq!(format!("{shown}{held}"), text.replace(&pattern, &content));
            prop_assert!(pattern.starts_with(&held) && held.len() < pattern.len());
        }

        #[test]
        fn strip_is_its_definition(
            content in prop::sample::select(vec!['a', '▁']), start in 0..3_u64, stop in 0..3_u64,
            text in "[ab▁]{0,9}", cuts in prop::collection::vec(0..20_usize, 0..6),
        ) {
            let strip = Strip::new(content, start, stop);
            let want = strip.apply(&text);
            let (shown, held) = run(&Filter::Strip(strip), &pieces(&text, &cuts));
            prop_assert_eq!(shown, want);
            prop_assert_eq!(held, "");
        }

        #[test]
        fn a_byte_token_is_one_only_by_itself(
            text in "(<0x[0-9a-f+]{2}>|<0|x4|1|>|<){0,3}", cuts in prop::collection::vec(0..20_usize, 0..6),
        ) {
            let want = match byte_token(&text) {
                Some(byte) if byte < 0x80 => char::from(byte).to_string(),
                Some(_) => "\u{FFFD}".to_owned(),
                None => text.clone(),
            };
            let (shown, held) = run(&Filter::ByteToken, &pieces(&text, &cuts));
            prop_assert_eq!(format!("{shown}{held}"), want);
        }
    }
}
