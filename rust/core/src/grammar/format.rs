//! The formats of JSON Schema that are regular, each as its own RFC's grammar has it. Where a name is not here it is an
//! annotation and checks nothing. Schemas are not known here.

use super::regex::{Anchored, Dialect, parse};
use super::term::{TermId, Terms, UNBOUNDED};
use crate::error::Result;
use crate::limits::Fuel;

/// The texts of one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// These, of any length.
    pub term: TermId,
    /// Code points of the longest that is one; `UNBOUNDED`: there is no longest.
    pub max_length: u32,
    /// What is left out though it is one, as no finite automaton can tell it.
    pub narrowed: Option<&'static str>,
}

/// The texts that have the format of this name; none if it is an annotation only.
pub fn term(name: &str, terms: &mut Terms, fuel: &mut Fuel) -> Result<Option<Format>> {
    let (mut max_length, mut narrowed) = (UNBOUNDED, None);
    let pattern = match name {
        "date" => date(),
        "time" => return time("", terms, fuel).map(whole),
        "date-time" => return time(&format!("{}[Tt]", date()), terms, fuel).map(whole),
        "duration" => duration(),
        "email" => email(ATEXT, QTEXT, &label()),
        "idn-email" => email(&format!("{ATEXT}{BEYOND_ASCII}"), &format!("{QTEXT}{BEYOND_ASCII}"), &idn_label()),
        "hostname" => {
            max_length = 253;
            narrowed = Some("labels with hyphens in the third and fourth place, as Punycode has them, are left out");
            hostname()
        }
        "ipv4" => IPV4.to_owned(),
        "ipv6" => ipv6(),
        "uri" => Uri::ascii().uri(),
        "uri-reference" => Uri::ascii().reference(),
        "iri" => Uri::international().uri(),
        "iri-reference" => Uri::international().reference(),
        "uri-template" => uri_template(),
        "uuid" => format!("{HEX}{{8}}(?:-{HEX}{{4}}){{3}}-{HEX}{{12}}"),
        "json-pointer" => JSON_POINTER.to_owned(),
        "relative-json-pointer" => format!("(?:0|[1-9][0-9]*)(?:#|{JSON_POINTER})"),
        _ => return Ok(None),
    };
    let term = parse(&pattern, Dialect::Ecma, Anchored::Full, terms, fuel)?;
    Ok(Some(Format { term, max_length, narrowed }))
}

fn whole(term: TermId) -> Option<Format> {
    Some(Format { term, max_length: UNBOUNDED, narrowed: None })
}

const HEX: &str = "[0-9A-Fa-f]";

/// RFC 3339, 5.6, and 5.7 with appendix C: the days of a month, February's in a leap year.
fn date() -> String {
    let every_year = "[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])\
        |(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)\
        |02-(?:0[1-9]|1[0-9]|2[0-8]))";
    // Divisible by four, and by a hundred only if by four hundred.
    let leap_year = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)";
    format!("(?:{every_year}|{leap_year}-02-29)")
}

/// RFC 3339, 5.6, behind what `before` matches. A second 60 is one only where it is 23:59:60 in UTC, so the offset must
/// fit the time: the minutes and the hours each by an intersection of their own, as the pairs are 1,440.
fn time(before: &str, terms: &mut Terms, fuel: &mut Fuel) -> Result<TermId> {
    let fraction = "(?:\\.[0-9]+)?";
    let hour = "(?:[01][0-9]|2[0-3])";
    let usual = format!("{hour}:[0-5][0-9]:[0-5][0-9]{fraction}(?:[Zz]|[+-]{hour}:[0-5][0-9])");
    let minutes = |minute: u32| {
        // East of Greenwich the offset is to be subtracted, and from 23:59 on it borrows no hour.
        let (east, west) = ((minute + 1) % 60, 59 - minute);
        let zulu = if minute == 59 { "|[Zz]" } else { "" };
        format!("{hour}:{minute:02}:60{fraction}(?:\\+{hour}:{east:02}|-{hour}:{west:02}{zulu})")
    };
    let hours = |hour: u32| {
        let (west, at_59) = (23 - hour, (hour + 1) % 24);
        let zulu = if hour == 23 { "|[Zz]" } else { "" };
        format!(
            "{hour:02}:(?:59:60{fraction}(?:\\+{at_59:02}:[0-9]{{2}}|-{west:02}:[0-9]{{2}}{zulu})\
            |(?:[0-4][0-9]|5[0-8]):60{fraction}(?:\\+{hour:02}|-{west:02}):[0-9]{{2}})"
        )
    };
    let alternatives = |patterns: Vec<String>| format!("(?:{})", patterns.join("|"));
    let mut term = |pattern: &str| parse(pattern, Dialect::Ecma, Anchored::Full, terms, fuel);
    let usual = term(&usual)?;
    let minutes = term(&alternatives((0..60).map(minutes).collect()))?;
    let hours = term(&alternatives((0..24).map(hours).collect()))?;
    let before = term(before)?;
    let leap_second = terms.intersection(vec![minutes, hours]);
    let time = terms.alternation(vec![usual, leap_second]);
    Ok(terms.concat(before, time))
}

/// RFC 3339, appendix A: ISO 8601's durations of whole numbers, in which no unit between two is left out.
fn duration() -> String {
    let second = "[0-9]+S";
    let minute = format!("[0-9]+M(?:{second})?");
    let hour = format!("[0-9]+H(?:{minute})?");
    let time = format!("T(?:{hour}|{minute}|{second})");
    let day = "[0-9]+D";
    let month = format!("[0-9]+M(?:{day})?");
    let year = format!("[0-9]+Y(?:{month})?");
    format!("P(?:(?:{day}|{month}|{year})(?:{time})?|{time}|[0-9]+W)")
}

/// RFC 1123, 2.1, on RFC 952: letters, digits and hyphens, no hyphen at an end, 63 at most.
fn label() -> String {
    "[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?".to_owned()
}

/// As RFC 5890, 2.3.1 has it, labels with `--` in the third and fourth place are reserved. Which of those that begin with
/// `xn` are names only their decoding tells.
fn hostname() -> String {
    let (end, any) = ("[0-9A-Za-z]", "[0-9A-Za-z-]");
    let label = format!("{end}(?:{end}|{any}{end}|{any}{any}{end}|{any}(?:{end}{any}|-{end}){any}{{0,58}}{end})?");
    format!("(?:{label})(?:\\.(?:{label}))*")
}

/// RFC 6531, 3.3: a label may hold whatever is not ASCII. What else IDNA asks of it is not told here.
fn idn_label() -> String {
    let end = format!("[0-9A-Za-z{BEYOND_ASCII}]");
    format!("{end}(?:[0-9A-Za-z{BEYOND_ASCII}-]*{end})?")
}

const BEYOND_ASCII: &str = "\u{80}-\u{10ffff}";

/// RFC 5322, 3.2.3.
const ATEXT: &str = "0-9A-Za-z!#$%&'*+/=?^_`{|}~\\-";

/// RFC 5321, 4.1.2: all but `"` and `\` that is printable, and the blank.
const QTEXT: &str = " !#-\\[\\]-~";

/// RFC 5321, 4.1.2, `Mailbox`.
fn email(atext: &str, qtext: &str, label: &str) -> String {
    let dot_string = format!("[{atext}]+(?:\\.[{atext}]+)*");
    let quoted_string = format!("\"(?:[{qtext}]|\\\\[ -~])*\"");
    // 4.1.3: no other tag than that of IPv6 was ever registered.
    let literal = format!("\\[(?:{IPV4}|[Ii][Pp][Vv]6:{})\\]", ipv6());
    format!("(?:{dot_string}|{quoted_string})@(?:(?:{label})(?:\\.(?:{label}))*|{literal})")
}

/// RFC 2673, 3.2, in decimals without zeros before them, as RFC 3986, 3.2.2 has them.
const IPV4: &str = "(?:(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])\\.){3}\
    (?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])";

/// RFC 4291, 2.2, as the grammar of RFC 3986, 3.2.2.
fn ipv6() -> String {
    let group = format!("{HEX}{{1,4}}");
    let last = format!("(?:{group}:{group}|{IPV4})");
    let groups = |n: usize| format!("(?:{group}:){{{n}}}");
    let before = |most: usize| format!("(?:(?:{group}:){{0,{most}}}{group})?");
    let forms = [
        format!("{}{last}", groups(6)),
        format!("::{}{last}", groups(5)),
        format!("{}::{}{last}", before(0), groups(4)),
        format!("{}::{}{last}", before(1), groups(3)),
        format!("{}::{}{last}", before(2), groups(2)),
        format!("{}::{}{last}", before(3), groups(1)),
        format!("{}::{last}", before(4)),
        format!("{}::{group}", before(5)),
        format!("{}::", before(6)),
    ];
    format!("(?:{})", forms.join("|"))
}

/// The grammar of RFC 3986, or that of RFC 3987, which differs in two sets of code points.
struct Uri {
    unreserved: String,
    /// Of a query alone.
    private: &'static str,
}

/// RFC 3987, 2.2.
const UCSCHAR: &str = "\u{a0}-\u{d7ff}\u{f900}-\u{fdcf}\u{fdf0}-\u{ffef}\
    \u{10000}-\u{1fffd}\u{20000}-\u{2fffd}\u{30000}-\u{3fffd}\u{40000}-\u{4fffd}\u{50000}-\u{5fffd}\
    \u{60000}-\u{6fffd}\u{70000}-\u{7fffd}\u{80000}-\u{8fffd}\u{90000}-\u{9fffd}\u{a0000}-\u{afffd}\
    \u{b0000}-\u{bfffd}\u{c0000}-\u{cfffd}\u{d0000}-\u{dfffd}\u{e1000}-\u{efffd}";

/// RFC 3987, 2.2.
const IPRIVATE: &str = "\u{e000}-\u{f8ff}\u{f0000}-\u{ffffd}\u{100000}-\u{10fffd}";

const SUB_DELIMS: &str = "!$&'()*+,;=";

impl Uri {
    fn ascii() -> Self {
        Self { unreserved: "0-9A-Za-z\\-._~".to_owned(), private: "" }
    }

    fn international() -> Self {
        Self { unreserved: format!("0-9A-Za-z\\-._~{UCSCHAR}"), private: IPRIVATE }
    }

    fn characters(&self, more: &str) -> String {
        format!("(?:[{}{SUB_DELIMS}{more}]|%{HEX}{{2}})", self.unreserved)
    }

    fn authority(&self) -> String {
        let future = format!("[Vv]{HEX}+\\.[0-9A-Za-z\\-._~{SUB_DELIMS}:]+");
        let host = format!("(?:\\[(?:{}|{future})\\]|{}*)", ipv6(), self.characters(""));
        format!("(?:{}*@)?{host}(?::[0-9]*)?", self.characters(":"))
    }

    fn end(&self) -> String {
        let query = self.characters(&format!(":@/?{}", self.private));
        format!("(?:\\?{query}*)?(?:#{}*)?", self.characters(":@/?"))
    }

    fn uri(&self) -> String {
        let segment = self.characters(":@");
        let segments = format!("(?:/{segment}*)*");
        let (authority, end) = (self.authority(), self.end());
        let path = format!("(?://{authority}{segments}|/?(?:{segment}+{segments})?)");
        format!("[A-Za-z][0-9A-Za-z+\\-.]*:{path}{end}")
    }

    fn reference(&self) -> String {
        let (segment, without_colon) = (self.characters(":@"), self.characters("@"));
        let segments = format!("(?:/{segment}*)*");
        let (authority, end) = (self.authority(), self.end());
        let path = format!("(?://{authority}{segments}|/(?:{segment}+{segments})?|(?:{without_colon}+{segments})?)");
        format!("(?:{}|{path}{end})", self.uri())
    }
}

/// RFC 6570, 2, with erratum 6937, which lets a literal hold an apostrophe.
fn uri_template() -> String {
    let encoded = format!("%{HEX}{{2}}");
    let literal = format!("(?:[!#$&-;=?-\\[\\]_a-z~{UCSCHAR}{IPRIVATE}]|{encoded})");
    let character = format!("(?:[0-9A-Za-z_]|{encoded})");
    let name = format!("{character}(?:\\.?{character})*");
    let variable = format!("{name}(?::[1-9][0-9]{{0,3}}|\\*)?");
    format!("(?:{literal}|\\{{[+#./;?&=,!@|]?{variable}(?:,{variable})*\\}})*")
}

/// RFC 6901, 3.
const JSON_POINTER: &str = "(?:/(?:[^~/]|~[01])*)*";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    const NAMES: [&str; 17] = [
        "date",
        "time",
        "date-time",
        "duration",
        "email",
        "idn-email",
        "hostname",
        "ipv4",
        "ipv6",
        "uri",
        "uri-reference",
        "iri",
        "iri-reference",
        "uri-template",
        "uuid",
        "json-pointer",
        "relative-json-pointer",
    ];

    fn fuel() -> Fuel {
        Fuel::new("grammar_compile_fuel", Limits::DEFAULT.grammar_compile_fuel)
    }

    fn is_in(format: &Format, text: &str, terms: &mut Terms) -> bool {
        text.chars().count() <= format.max_length as usize && terms.matches(format.term, text, &mut fuel()).unwrap()
    }

    /// All that the official suite asks of each, but for names in Punycode.
    #[test]
    fn the_official_suite() {
        let suite = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/json_schema_suite.json"));
        let suite: Vec<serde_json::Value> = serde_json::from_str(suite).unwrap();
        let mut terms = Terms::new();
        for name in NAMES {
            let format = term(name, &mut terms, &mut fuel()).unwrap().unwrap();
            let groups = suite.iter().filter(|group| group["file"] == format!("optional/format/{name}"));
            let tests: Vec<_> = groups.flat_map(|group| group["tests"].as_array().unwrap()).collect();
            assert!(tests.len() > 10, "{name}");
            for test in tests {
                let Some(text) = test["data"].as_str() else { continue };
                let is_left_out = format.narrowed.is_some() && text.starts_with("xn--");
                let expected = test["valid"].as_bool().unwrap() && !is_left_out;
                assert_eq!(is_in(&format, text, &mut terms), expected, "{name} {text:?}: {}", test["description"]);
            }
        }
    }

    #[test]
    fn every_one_is_alive_and_costs_little() {
        for name in NAMES {
            let (mut terms, mut fuel) = (Terms::new(), fuel());
            let format = term(name, &mut terms, &mut fuel).unwrap().unwrap();
            assert!(terms.is_alive(format.term, 0, format.max_length, &mut fuel).unwrap(), "{name}");
            assert!(fuel.spent() < 100_000 && terms.bytes() < 2 << 20, "{name}: {} {}", fuel.spent(), terms.bytes());
        }
        for name in ["regex", "idn-hostname", "Date", "", "color"] {
            assert_eq!(term(name, &mut Terms::new(), &mut fuel()).unwrap(), None);
        }
    }

    #[test]
    fn a_leap_second_is_one_in_utc() {
        let mut terms = Terms::new();
        let format = term("time", &mut terms, &mut fuel()).unwrap().unwrap();
        for minutes in 0..1440i32 {
            for offset in (0..1440).filter(|offset| offset % 7 == minutes % 7 || (minutes + offset) % 1440 == 1439) {
                for sign in [1, -1] {
                    let zone = format!("{}{:02}:{:02}", if sign > 0 { '+' } else { '-' }, offset / 60, offset % 60);
                    let text = format!("{:02}:{:02}:60.0{zone}", minutes / 60, minutes % 60);
                    let is_leap = (minutes - sign * offset).rem_euclid(1440) == 1439;
                    assert_eq!(is_in(&format, &text, &mut terms), is_leap, "{text}");
                }
            }
        }
    }

    #[test]
    fn the_calendar() {
        let mut terms = Terms::new();
        let format = term("date", &mut terms, &mut fuel()).unwrap().unwrap();
        for year in 0..10_000 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, 28 + u32::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for month in (0..14usize).filter(|&month| month == 2 || year % 97 == 0) {
                for day in (0..40).filter(|&day| day > 26 || year % 97 == 0) {
                    let in_month = month
                        .checked_sub(1)
                        .and_then(|month| lengths.get(month))
                        .is_some_and(|&last| (1..=last).contains(&day));
                    let text = format!("{year:04}-{month:02}-{day:02}");
                    assert_eq!(is_in(&format, &text, &mut terms), in_month, "{text}");
                }
            }
        }
    }
}
