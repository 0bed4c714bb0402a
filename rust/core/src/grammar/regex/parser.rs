//! The text of a pattern to a tree. What holds no assertion is made a term at once, so a tree has nodes only around
//! assertions.

use super::Dialect;
use super::escape::{self, Ranges, error};
use crate::error::Result;
use crate::grammar::term::{TermId, Terms, UNBOUNDED};
use crate::limits::{Fuel, Limits, within};

/// So many times the same in a row are a counter; of fewer, texts are more often told apart in the middle.
const COUNTED_RUN: usize = 64;

/// Part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Term(TermId),
    Node(usize),
}

/// Part of a pattern with an assertion in it. Positions are bytes of the pattern.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Concat(Vec<Piece>),
    Alternation(Vec<Piece>),
    Repeat {
        body: Piece,
        min: u32,
        max: u32,
        position: usize,
    },
    /// What stands before or behind this place is (or is not) in the body, at this end.
    Look {
        behind: bool,
        negative: bool,
        body: Piece,
        position: usize,
    },
    /// The neighbouring code point is (or is not) in the class, or there is none and `at_edge`.
    Edge {
        behind: bool,
        negative: bool,
        class: TermId,
        at_edge: bool,
    },
    /// One neighbour is in the class and the other is not, or not so.
    Word {
        negative: bool,
        class: TermId,
    },
}

pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Piece,
}

/// Flags that a pattern can turn on and off in itself.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    dot_all: bool,
    multi_line: bool,
    verbose: bool,
    ascii: bool,
}

#[derive(Debug, Clone, Copy)]
enum Group {
    Plain,
    Look { behind: bool, negative: bool },
}

/// A group that is open.
struct Open {
    group: Group,
    position: usize,
    /// Those in force before it.
    flags: Flags,
    branches: Vec<Piece>,
    items: Vec<Piece>,
    /// The last item may be repeated.
    is_repeatable: bool,
}

impl Open {
    fn new(group: Group, position: usize, flags: Flags) -> Self {
        Self { group, position, flags, branches: Vec::new(), items: Vec::new(), is_repeatable: false }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// The next byte.
    at: usize,
    dialect: Dialect,
    flags: Flags,
    open: Vec<Open>,
    nodes: Vec<Node>,
    terms: &'a mut Terms,
    fuel: &'a mut Fuel,
    /// Work of `terms` that is paid for.
    paid: u64,
    /// `\w` by Unicode's tables and in ASCII, once made.
    words: [Option<TermId>; 2],
}

/// What an escape stands for.
enum Escaped {
    Char(u32),
    Class(Ranges),
}

pub(super) fn parse(text: &str, dialect: Dialect, terms: &mut Terms, fuel: &mut Fuel) -> Result<Tree> {
    let paid = terms.work();
    let flags = Flags::default();
    let open = vec![Open::new(Group::Plain, 0, flags)];
    let mut parser =
        Parser { text, at: 0, dialect, flags, open, nodes: Vec::new(), terms, fuel, paid, words: [None; 2] };
    while let Some(c) = parser.peek() {
        parser.fuel.spend(1)?;
        parser.step(c)?;
    }
    let root = match parser.open.pop() {
        Some(open) if parser.open.is_empty() => parser.close(open)?,
        Some(open) => return Err(error(open.position, "this group is not closed: `)` is missing")),
        None => Piece::Term(Terms::EMPTY),
    };
    Ok(Tree { nodes: parser.nodes, root })
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Takes `token` if it is next.
    fn eat(&mut self, token: &str) -> bool {
        let is_next = self.text[self.at..].starts_with(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    fn pay(&mut self) -> Result<()> {
        let work = self.terms.work();
        self.fuel.spend(work - self.paid)?;
        self.paid = work;
        within("grammar_memory_bytes", self.terms.bytes(), Limits::DEFAULT.grammar_memory_bytes)
    }

    fn node(&mut self, node: Node) -> Piece {
        self.nodes.push(node);
        Piece::Node(self.nodes.len() - 1)
    }

    fn push(&mut self, piece: Piece) {
        if let Some(open) = self.open.last_mut() {
            open.items.push(piece);
            open.is_repeatable = true;
        }
    }

    fn push_class(&mut self, ranges: &[(u32, u32)]) {
        let class = match self.flags.ignore_case {
            true => self.terms.class(&escape::folded(ranges)),
            false => self.terms.class(ranges),
        };
        self.push(Piece::Term(class));
    }

    fn step(&mut self, c: char) -> Result<()> {
        let position = self.at;
        self.at += c.len_utf8();
        match c {
            '(' => self.open_group(position),
            ')' => {
                if self.open.len() < 2 {
                    return Err(error(position, "this `)` closes no group; write `\\)` for the character"));
                }
                if let Some(open) = self.open.pop() {
                    self.flags = open.flags;
                    let piece = self.close(open)?;
                    self.push(piece);
                }
                Ok(())
            }
            '|' => {
                if let Some(open) = self.open.last_mut() {
                    let items = std::mem::take(&mut open.items);
                    open.is_repeatable = false;
                    let branch = self.sequence(items)?;
                    if let Some(open) = self.open.last_mut() {
                        open.branches.push(branch);
                    }
                }
                Ok(())
            }
            '*' => self.quantifier(position, 0, UNBOUNDED),
            '+' => self.quantifier(position, 1, UNBOUNDED),
            '?' => self.quantifier(position, 0, 1),
            '{' => match self.counts(position)? {
                Some((min, max)) => self.quantifier(position, min, max),
                None => {
                    self.push_class(&[('{'.into(), '{'.into())]);
                    Ok(())
                }
            },
            '^' => {
                let lines = self.flags.multi_line;
                self.edge(true, lines);
                Ok(())
            }
            '$' => {
                let lines = self.flags.multi_line;
                self.edge(false, lines);
                Ok(())
            }
            '.' => {
                let ranges = match self.flags.dot_all {
                    true => vec![(0, char::MAX.into())],
                    false => escape::negated(&escape::line_terminator(self.dialect)),
                };
                let class = self.terms.class(&ranges);
                self.push(Piece::Term(class));
                Ok(())
            }
            '[' => {
                let ranges = self.class(position)?;
                let class = self.terms.class(&ranges);
                self.push(Piece::Term(class));
                Ok(())
            }
            '\\' => self.escape_outside(position),
            _ if self.flags.verbose && c.is_whitespace() => Ok(()),
            '#' if self.flags.verbose => {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.take();
                }
                Ok(())
            }
            _ => {
                self.push_class(&[(c.into(), c.into())]);
                Ok(())
            }
        }
    }

    /// Items in a row: one term if none holds an assertion.
    fn sequence(&mut self, items: Vec<Piece>) -> Result<Piece> {
        let mut term = Terms::EPSILON;
        for (i, run) in items.chunk_by(|a, b| a == b).rev().enumerate() {
            let Piece::Term(t) = run[0] else {
                return Ok(if let [only] = items[..] { only } else { self.node(Node::Concat(items)) });
            };
            match u32::try_from(run.len()) {
                Ok(n) if run.len() >= COUNTED_RUN => {
                    let run = self.terms.repeat(t, n, n);
                    term = self.terms.concat(run, term);
                }
                _ => term = run.iter().fold(term, |rest, _| self.terms.concat(t, rest)),
            }
            if i % 1024 == 1023 {
                self.pay()?;
            }
        }
        Ok(Piece::Term(term))
    }

    fn close(&mut self, open: Open) -> Result<Piece> {
        let Open { group, position, mut branches, items, .. } = open;
        let last = self.sequence(items)?;
        branches.push(last);
        let terms: Option<Vec<TermId>> = branches
            .iter()
            .map(|piece| match piece {
                Piece::Term(t) => Some(*t),
                Piece::Node(_) => None,
            })
            .collect();
        let body = match terms {
            Some(terms) => Piece::Term(self.terms.alternation(terms)),
            None if branches.len() == 1 => last,
            None => self.node(Node::Alternation(branches)),
        };
        self.pay()?;
        Ok(match group {
            Group::Plain => body,
            Group::Look { behind, negative } => self.look(behind, negative, body, position),
        })
    }

    /// A look-around; one at a single neighbour is an edge.
    fn look(&mut self, behind: bool, negative: bool, body: Piece, position: usize) -> Piece {
        let node = match self.neighbour(behind, body) {
            Some((class, at_edge)) => Node::Edge { behind, negative, class, at_edge },
            None => Node::Look { behind, negative, body, position },
        };
        self.node(node)
    }

    /// The class a neighbour must be in, if that is all that a look-around's body asks; or whether there may be none.
    fn neighbour(&mut self, behind: bool, body: Piece) -> Option<(TermId, bool)> {
        let branches = match body {
            Piece::Node(node) => match &self.nodes[node] {
                Node::Alternation(branches) => branches.clone(),
                _ => vec![body],
            },
            Piece::Term(_) => vec![body],
        };
        let mut ranges = Vec::new();
        let mut at_edge = false;
        for branch in branches {
            match branch {
                Piece::Term(t) => ranges.extend_from_slice(self.terms.ranges(t)?),
                Piece::Node(node) => match self.nodes[node] {
                    Node::Edge { behind: side, negative: false, class, at_edge: edge } if side == behind => {
                        ranges.extend_from_slice(self.terms.ranges(class).unwrap_or(&[]));
                        at_edge |= edge;
                    }
                    _ => return None,
                },
            }
        }
        Some((self.terms.class(&ranges), at_edge))
    }

    /// Only at an end of the text, or of a line.
    fn edge(&mut self, behind: bool, lines: bool) {
        let class = match lines {
            true => self.terms.class(&escape::line_terminator(self.dialect)),
            false => Terms::EMPTY,
        };
        let node = self.node(Node::Edge { behind, negative: false, class, at_edge: true });
        self.push(node);
    }

    fn open_group(&mut self, position: usize) -> Result<()> {
        let mut flags = self.flags;
        let group = if !self.eat("?") || self.eat(":") {
            Group::Plain
        } else if self.eat("=") {
            Group::Look { behind: false, negative: false }
        } else if self.eat("!") {
            Group::Look { behind: false, negative: true }
        } else if self.eat("<=") {
            Group::Look { behind: true, negative: false }
        } else if self.eat("<!") {
            Group::Look { behind: true, negative: true }
        } else if self.eat("<") || (self.dialect == Dialect::Python && self.eat("P<")) {
            self.group_name(position)?;
            Group::Plain
        } else if self.dialect == Dialect::Python && self.eat("P=") {
            return Err(backreference(position));
        } else if self.dialect == Dialect::Python && self.eat("#") {
            match self.text[self.at..].find(')') {
                Some(end) => self.at += end + 1,
                None => return Err(error(position, "this comment is not closed: `)` is missing")),
            }
            return Ok(());
        } else if self.eat(">") {
            return Err(error(position, "an atomic group is not supported; write (?:...)"));
        } else if self.eat("(") {
            return Err(error(position, "a condition on a group is not regular and not supported"));
        } else {
            match self.inline_flags(position)? {
                (new, true) => flags = new,
                (new, false) => {
                    self.flags = new;
                    if let Some(open) = self.open.last_mut() {
                        open.is_repeatable = false;
                    }
                    return Ok(());
                }
            }
            Group::Plain
        };
        within("grammar_nesting", self.open.len(), Limits::DEFAULT.grammar_nesting)?;
        self.open.push(Open::new(group, position, self.flags));
        self.flags = flags;
        Ok(())
    }

    fn group_name(&mut self, position: usize) -> Result<()> {
        let rest = &self.text[self.at..];
        let name = rest.split('>').next().unwrap_or_default();
        let is_name = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
            && name.starts_with(|c: char| !c.is_numeric());
        if !is_name || name.len() == rest.len() {
            return Err(error(position, "this group's name must be of letters, digits and `_`, and end with `>`"));
        }
        self.at += name.len() + 1;
        Ok(())
    }

    /// The flags from here on, and whether they are a group's own.
    fn inline_flags(&mut self, position: usize) -> Result<(Flags, bool)> {
        let mut flags = self.flags;
        let mut on = true;
        let mut any = false;
        while let Some(c) = self.take() {
            match (c, self.dialect) {
                ('i', _) => flags.ignore_case = on,
                ('s', _) => flags.dot_all = on,
                ('m', _) => flags.multi_line = on,
                ('x', Dialect::Python) => flags.verbose = on,
                // `u` is what is anyway; `U` of the one swaps what only lazy and greedy matches differ in.
                ('u', Dialect::Python) => flags.ascii = !on,
                ('a', Dialect::Python) => flags.ascii = on,
                ('-', _) if on => on = false,
                (':', _) if any || !on => return Ok((flags, true)),
                (')', Dialect::Python) if any => return Ok((flags, false)),
                (')', Dialect::Ecma) if any => {
                    return Err(error(position, "flags need a group of their own here: (?i:...)"));
                }
                _ => break,
            }
            any |= c != '-';
        }
        Err(error(
            position,
            "what follows `(?` is not known: groups are (?:...), (?<name>...), (?=...), (?!...), (?<=...), (?<!...)",
        ))
    }

    /// The bounds of `{m}`, `{m,}`, `{m,n}` whose brace was taken, if it is one.
    fn counts(&mut self, position: usize) -> Result<Option<(u32, u32)>> {
        let Some(end) = self.text[self.at..].find('}') else { return Ok(None) };
        let inside = &self.text[self.at..self.at + end];
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let (min, max) = match inside.split_once(',') {
            None if is_number(inside) => (inside, Some(inside)),
            Some((min, "")) if is_number(min) => (min, None),
            Some((min, max)) if is_number(min) && is_number(max) => (min, Some(max)),
            Some(("", max)) if self.dialect == Dialect::Python && is_number(max) => ("0", Some(max)),
            _ => return Ok(None),
        };
        let number = |digits: &str| match digits.parse::<u32>() {
            Ok(n) if n < UNBOUNDED => Ok(n),
            _ => Err(error(position, format!("a count must be below {UNBOUNDED}"))),
        };
        let (min, max) = (number(min)?, max.map(number).transpose()?.unwrap_or(UNBOUNDED));
        if min > max {
            return Err(error(position, "the first count of a quantifier must not be above the second"));
        }
        self.at += end + 1;
        Ok(Some((min, max)))
    }

    fn quantifier(&mut self, position: usize, min: u32, max: u32) -> Result<()> {
        // Lazy or not, the texts are the same.
        let lazy = self.eat("?");
        if self.dialect == Dialect::Python && !lazy && self.text[self.at..].starts_with('+') {
            return Err(error(self.at, "a possessive quantifier is not supported; leave the `+` out"));
        }
        let body = match self.open.last_mut() {
            Some(open) if open.is_repeatable => {
                open.is_repeatable = false;
                open.items.pop()
            }
            _ => None,
        };
        let Some(body) = body else {
            return Err(error(
                position,
                "nothing to repeat before this quantifier; write `\\` before it for the character",
            ));
        };
        let piece = match body {
            Piece::Term(t) => Piece::Term(self.terms.repeat(t, min, max)),
            Piece::Node(node) => match self.nodes[node] {
                // Without text, so once is as good as any number, and none is always right.
                Node::Look { .. } | Node::Edge { .. } | Node::Word { .. } if min == 0 => Piece::Term(Terms::EPSILON),
                Node::Look { .. } | Node::Edge { .. } | Node::Word { .. } => body,
                _ => self.node(Node::Repeat { body, min, max, position }),
            },
        };
        if let Some(open) = self.open.last_mut() {
            open.items.push(piece);
        }
        Ok(())
    }

    /// The dialect whose `\d`, `\w`, `\s` are in force.
    fn classes(&self) -> Dialect {
        if self.flags.ascii { Dialect::Ecma } else { self.dialect }
    }

    fn word_class(&mut self) -> TermId {
        let place = usize::from(self.flags.ascii);
        match self.words[place] {
            Some(class) => class,
            None => {
                let class = self.terms.class(&escape::word(self.classes()));
                self.words[place] = Some(class);
                class
            }
        }
    }

    fn escape_outside(&mut self, position: usize) -> Result<()> {
        let Some(c) = self.peek() else {
            return Err(error(position, "a `\\` at the end escapes nothing; write `\\\\` for the character"));
        };
        let node = match c {
            'b' | 'B' => {
                let class = self.word_class();
                Node::Word { negative: c == 'B', class }
            }
            'A' if self.dialect == Dialect::Python => {
                Node::Edge { behind: true, negative: false, class: Terms::EMPTY, at_edge: true }
            }
            'z' | 'Z' if self.dialect == Dialect::Python => {
                Node::Edge { behind: false, negative: false, class: Terms::EMPTY, at_edge: true }
            }
            '1'..='9' => return Err(backreference(position)),
            'k' => return Err(backreference(position)),
            _ => {
                match self.escape(position)? {
                    Escaped::Char(c) => self.push_class(&[(c, c)]),
                    Escaped::Class(ranges) => self.push_class(&ranges),
                }
                return Ok(());
            }
        };
        self.take();
        let node = self.node(node);
        self.push(node);
        Ok(())
    }

    /// An escape that stands for characters, its backslash taken.
    fn escape(&mut self, position: usize) -> Result<Escaped> {
        let Some(c) = self.take() else {
            return Err(error(position, "a `\\` at the end escapes nothing; write `\\\\` for the character"));
        };
        let python = self.dialect == Dialect::Python;
        let classes = self.classes();
        Ok(match c {
            'd' => Escaped::Class(escape::digit(classes)),
            'D' => Escaped::Class(escape::negated(&escape::digit(classes))),
            'w' => Escaped::Class(escape::word(classes)),
            'W' => Escaped::Class(escape::negated(&escape::word(classes))),
            's' => Escaped::Class(escape::space(classes)),
            'S' => Escaped::Class(escape::negated(&escape::space(classes))),
            'p' | 'P' => Escaped::Class(self.property(c == 'P', position)?),
            't' => Escaped::Char(0x09),
            'n' => Escaped::Char(0x0A),
            'v' => Escaped::Char(0x0B),
            'f' => Escaped::Char(0x0C),
            'r' => Escaped::Char(0x0D),
            'a' if python => Escaped::Char(0x07),
            'c' if !python => match self.take() {
                Some(letter) if letter.is_ascii_alphabetic() => Escaped::Char(u32::from(letter) % 32),
                _ => return Err(error(position, "`\\c` needs a letter behind it")),
            },
            '0' if python => Escaped::Char(self.octal()),
            '0' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => Escaped::Char(0),
            'x' => Escaped::Char(match python && self.eat("{") {
                true => self.braced(position)?,
                false => self.hexadecimal(2, position)?,
            }),
            'u' => Escaped::Char(match self.eat("{") {
                true => self.braced(position)?,
                false => self.utf16(position)?,
            }),
            'U' if python => Escaped::Char(match self.eat("{") {
                true => self.braced(position)?,
                false => self.hexadecimal(8, position)?,
            }),
            _ if c.is_ascii_alphanumeric() => {
                return Err(error(position, format!("`\\{c}` is not an escape of this dialect")));
            }
            _ => Escaped::Char(c.into()),
        })
    }

    /// Up to two more octal digits behind a `\0`.
    fn octal(&mut self) -> u32 {
        let mut value = 0;
        for _ in 0..2 {
            match self.peek().and_then(|c| c.to_digit(8)) {
                Some(digit) => {
                    self.take();
                    value = 8 * value + digit;
                }
                None => break,
            }
        }
        value
    }

    fn hexadecimal(&mut self, n: usize, position: usize) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + n).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match value.filter(|&value| value <= char::MAX.into()) {
            Some(value) => {
                self.at += n;
                Ok(value)
            }
            None => Err(error(position, format!("this escape needs {n} hexadecimal digits of a code point"))),
        }
    }

    /// A code point whose opening brace was taken.
    fn braced(&mut self, position: usize) -> Result<u32> {
        let rest = &self.text[self.at..];
        let digits = rest.split_once('}').map(|(digits, _)| digits).unwrap_or_default();
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        match u32::from_str_radix(digits, 16).ok().filter(|&c| plain && c <= char::MAX.into()) {
            Some(value) => {
                self.at += digits.len() + 1;
                Ok(value)
            }
            None => Err(error(position, "this escape needs the hexadecimal digits of a code point between its braces")),
        }
    }

    /// Four digits; two surrogates that belong together are one code point.
    fn utf16(&mut self, position: usize) -> Result<u32> {
        let high = self.hexadecimal(4, position)?;
        let behind = self.at;
        if (0xD800..0xDC00).contains(&high) && self.eat("\\u") {
            match self.hexadecimal(4, position) {
                Ok(low) if (0xDC00..0xE000).contains(&low) => {
                    return Ok(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
                }
                _ => self.at = behind,
            }
        }
        Ok(high)
    }

    fn property(&mut self, negative: bool, position: usize) -> Result<Ranges> {
        if self.eat("{") {
            let rest = &self.text[self.at..];
            let Some((name, _)) = rest.split_once('}') else {
                return Err(error(position, "this property's name is not closed: `}` is missing"));
            };
            self.at += name.len() + 1;
            return escape::property(name, negative, position);
        }
        match self.take() {
            Some(c) if self.dialect == Dialect::Python => {
                escape::property(c.encode_utf8(&mut [0; 4]), negative, position)
            }
            _ => Err(error(position, "`\\p` needs a property's name in braces")),
        }
    }

    /// The code points of a class whose bracket was taken.
    fn class(&mut self, position: usize) -> Result<Ranges> {
        let negative = self.eat("^");
        let mut ranges: Ranges = Vec::new();
        let mut is_first = true;
        loop {
            self.fuel.spend(1)?;
            let at = self.at;
            let Some(c) = self.take() else {
                return Err(error(position, "this class is not closed: `]` is missing"));
            };
            if self.dialect == Dialect::Python && ["--", "&&", "~~"].iter().any(|set| self.text[at..].starts_with(set))
            {
                return Err(error(at, "Python and Rust read this differently in a class; escape both characters"));
            }
            let low = match c {
                ']' if !(is_first && self.dialect == Dialect::Python) => break,
                '[' if self.dialect == Dialect::Python && self.eat(":") => match self.posix_name() {
                    Some(name) => Escaped::Class(escape::posix(&name, at)?),
                    None => {
                        self.at = at + 1;
                        Escaped::Char(c.into())
                    }
                },
                '\\' => self.escape_in_class(at)?,
                _ => Escaped::Char(c.into()),
            };
            is_first = false;
            // A range, unless the `-` is the last before the end.
            let is_range = self.text[self.at..].starts_with('-') && !self.text[self.at..].starts_with("-]");
            if !is_range {
                match low {
                    Escaped::Char(c) => ranges.push((c, c)),
                    Escaped::Class(class) => ranges.extend(class),
                }
                continue;
            }
            self.at += 1;
            let high_at = self.at;
            let high = match self.take() {
                None => return Err(error(position, "this class is not closed: `]` is missing")),
                Some('\\') => self.escape_in_class(high_at)?,
                Some(c) => Escaped::Char(c.into()),
            };
            match (low, high) {
                (Escaped::Char(low), Escaped::Char(high)) if low <= high => ranges.push((low, high)),
                (Escaped::Char(_), Escaped::Char(_)) => {
                    return Err(error(at, "this range's first character is behind its last"));
                }
                (low, high) if self.dialect == Dialect::Ecma => {
                    // Annex B: with a class at one end the `-` is itself.
                    ranges.push(('-'.into(), '-'.into()));
                    for end in [low, high] {
                        match end {
                            Escaped::Char(c) => ranges.push((c, c)),
                            Escaped::Class(class) => ranges.extend(class),
                        }
                    }
                }
                _ => return Err(error(at, "a range needs a character at both ends; write `\\-` for the character")),
            }
        }
        if self.flags.ignore_case {
            ranges = escape::folded(&ranges);
        }
        Ok(if negative { escape::negated(&ranges) } else { ranges })
    }

    fn escape_in_class(&mut self, position: usize) -> Result<Escaped> {
        match self.peek() {
            Some('b') => {
                self.take();
                Ok(Escaped::Char(0x08))
            }
            Some('1'..='7') if self.dialect == Dialect::Python => Ok(Escaped::Char(self.octal_in_class())),
            _ => self.escape(position),
        }
    }

    fn octal_in_class(&mut self) -> u32 {
        let first = self.take().and_then(|c| c.to_digit(8)).unwrap_or(0);
        let length = self.text[self.at..].bytes().take(2).take_while(|b| (b'0'..b'8').contains(b)).count() as u32;
        (first << (3 * length)) + self.octal()
    }

    /// The name of `[:name:]`, its opening taken.
    fn posix_name(&mut self) -> Option<String> {
        let (name, _) = self.text[self.at..].split_once(":]")?;
        let is_name = !name.is_empty() && name.len() < 10 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'^');
        if !is_name {
            return None;
        }
        self.at += name.len() + 2;
        Some(name.to_owned())
    }
}

fn backreference(position: usize) -> crate::error::Error {
    error(position, "a backreference is not regular; write out what may be repeated, or leave it to a check afterwards")
}
