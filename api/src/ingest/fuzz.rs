//! Test inputs for code that decodes what clients send: damaged texts, and arbitrary bytes.
//!
//! Tests named `fuzz_…` use it. `PROPTEST_CASES` says how many cases each tries.

use proptest::prelude::*;
use proptest::sample::Index;

/// Bytes that have a meaning for a decoder.
const SPECIAL: &[u8] = b"\0\t\n\r \"\\',;:{}[]#=.-+09eEtnfZ\x7f\x80\xc3\xef\xbb\xbf\xff\xfe";

#[derive(Clone, Debug)]
enum Edit {
    Insert(u8),
    Replace(u8),
    Remove(usize),
    Repeat(usize),
    Cut,
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte = || prop_oneof![4 => prop::sample::select(SPECIAL), 1 => any::<u8>()];
    prop_oneof![
        4 => byte().prop_map(Edit::Insert),
        4 => byte().prop_map(Edit::Replace),
        2 => (1_usize..20).prop_map(Edit::Remove),
        2 => (1_usize..80).prop_map(Edit::Repeat),
        1 => Just(Edit::Cut),
    ]
}

/// Returns a sequence of the texts, damaged in some places, or arbitrary bytes.
pub(crate) fn damaged(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let whole = prop::collection::vec(prop::sample::select(texts), 0..12);
    let whole = whole.prop_map(|texts| texts.concat().into_bytes());
    let edits = prop::collection::vec((any::<Index>(), edit()), 0..8);
    let edited = (whole, edits).prop_map(|(text, edits)| edits.into_iter().fold(text, damage));
    prop_oneof![9 => edited, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

fn damage(mut text: Vec<u8>, (place, edit): (Index, Edit)) -> Vec<u8> {
    let place = place.index(text.len() + 1);
    let end = |length: usize| text.len().min(place + length);
    match edit {
        Edit::Insert(byte) => text.insert(place, byte),
        Edit::Replace(byte) => text.iter_mut().skip(place).take(1).for_each(|found| *found = byte),
        Edit::Remove(length) => {
            let end = end(length);
            text.drain(place..end);
        }
        Edit::Repeat(length) => {
            let again = text[place..end(length)].to_vec();
            text.splice(place..place, again);
        }
        Edit::Cut => text.truncate(place),
    }
    text
}
