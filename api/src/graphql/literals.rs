//! String literals as in the GraphQL specification of September 2025.

use std::borrow::Cow;

/// Delimiter of a block string, in which `\u` has no meaning.
const BLOCK: &str = "\"\"\"";
/// The length of `\uD83D\uDE42`.
const PAIR_BYTES: usize = 12;

/// Replaces each surrogate pair in a string literal (`\uD83D\uDE42`) by the character that it encodes. The parser
/// rejects surrogates.
pub(super) fn join_surrogates(document: &str) -> Cow<'_, str> {
    if !document.contains("\\u") {
        return Cow::Borrowed(document);
    }
    let mut joined = String::with_capacity(document.len());
    let (mut rest, mut in_string) = (document, false);
    while let Some(at) = rest.find(['"', '\\', '\n']) {
        let (before, from) = rest.split_at(at);
        joined.push_str(before);
        let length = match from.as_bytes()[0] {
            b'"' if !in_string && from.starts_with(BLOCK) => block_length(from),
            b'"' => {
                in_string = !in_string;
                1
            }
            b'\\' if in_string => {
                if let Some(character) = pair(from) {
                    joined.push(character);
                    rest = &from[PAIR_BYTES..];
                    continue;
                }
                from.chars().take(2).map(char::len_utf8).sum()
            }
            // A string ends with its line.
            _ => {
                in_string = false;
                1
            }
        };
        joined.push_str(&from[..length]);
        rest = &from[length..];
    }
    joined.push_str(rest);
    Cow::Owned(joined)
}

/// Returns the length of the block string at the start of the text; of the whole text if the string does not end.
fn block_length(text: &str) -> usize {
    let mut at = BLOCK.len();
    while let Some(found) = text[at..].find(BLOCK) {
        let end = at + found + BLOCK.len();
        if !text[..at + found].ends_with('\\') {
            return end;
        }
        at = end;
    }
    text.len()
}

/// Returns the character whose surrogate pair is at the start of the text.
fn pair(text: &str) -> Option<char> {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let units = [unit(text)?, unit(text.get(PAIR_BYTES / 2..)?)?];
    let is_pair = (0xD800..0xDC00).contains(&units[0]);
    char::decode_utf16(units).next()?.ok().filter(|_| is_pair)
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn surrogate_pairs_of_string_literals_are_characters() {
        for (document, joined) in [
            (r#"{ a(b: "\ud83d\uDE42 x") }"#, "{ a(b: \"\u{1f642} x\") }"),
            (r#"{ a(b: "", c: "\"\ud83d\ude42") }"#, "{ a(b: \"\", c: \"\\\"\u{1f642}\") }"),
            // An escaped backslash, a block string, lone surrogates, a character of the basic plane.
            (r#"{ a(b: "\\ud83d\ude42") }"#, r#"{ a(b: "\\ud83d\ude42") }"#),
            (
                r#"{ a(b: """\ud83d\ude42 \""" \ud83d\ude42""") }"#,
                r#"{ a(b: """\ud83d\ude42 \""" \ud83d\ude42""") }"#,
            ),
            (
                r#"{ a(b: "\ud83d \ude42\ude42\u+83d\u00e9") }"#,
                r#"{ a(b: "\ud83d \ude42\ude42\u+83d\u00e9") }"#,
            ),
        ] {
            assert_eq!(join_surrogates(document), joined);
        }
    }

    proptest! {
        #[test]
        fn a_document_without_pairs_stays_as_it_is(text in "(\\PC|[\"\\\\u\nd8é]){0,60}") {
            let has_pairs = (0..text.len()).any(|at| text.get(at..).and_then(pair).is_some());
            prop_assert!(has_pairs || join_surrogates(&text) == text);
        }

        #[test]
        fn any_text_comes_back_from_a_literal(text in "\\PC{0,20}") {
            let units: Vec<_> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let document = format!("{{ a(b: \"{}\") }}", units.concat());
            prop_assert!(parse_query(join_surrogates(&document)).is_ok());
        }
    }
}
