//! Any pattern compiles, or is an error with its place; what compiles is walked, every mask against its bytes.

#![no_main]

use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use logitwire_core::error::Error;
use logitwire_core::grammar::Grammar;

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let made = match u.arbitrary() {
        Ok(true) => logitwire_fuzz::pattern(&mut u),
        _ => u.arbitrary::<&str>().map(str::to_owned),
    };
    let Ok(pattern) = made else { return };
    match Grammar::regex(logitwire_fuzz::vocab(), &pattern) {
        Ok(grammar) => drop(logitwire_fuzz::walk(grammar, &mut u, 12)),
        Err(Error::Grammar { position, what }) => {
            assert!(!what.is_empty() && position.is_none_or(|at| pattern.is_char_boundary(at)), "{position:?} {what}");
        }
        Err(Error::Limit { .. }) => {}
        Err(error) => panic!("{error}"),
    }
});
