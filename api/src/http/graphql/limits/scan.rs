//! One pass over the text of a document, before it is parsed.

use super::{DocumentError, Measure};
use crate::limits::Limits;

/// Maximum depth of nested brackets: twice the parser's maximum depth of selections, so that a deep document cannot
/// overflow the stack of the thread that parses it.
const BRACKETS_MAX: u32 = 128;

/// Maximum length of a name, in bytes. For an unknown name, the library searches for similar ones, letter by letter.
const NAME_BYTES_MAX: u32 = 200;

#[derive(Debug, Default, PartialEq, Eq)]
struct Lexemes {
    tokens: u64,
    longest: u64,
    brackets: u64,
    aliases: u64,
    directives: u64,
    balanced: bool,
}

/// Refuses a text that is too long, or has too many tokens, nested brackets, aliases or directives. Syntax is left to
/// the parser, except for brackets: it would read their contents more than once before it finds that they are not
/// closed.
pub(in crate::http::graphql) fn scan(text: &str, limits: &Limits) -> Result<(), DocumentError> {
    Measure::Bytes.check(text.len() as u64, limits.graphql_bytes)?;
    let Lexemes { tokens, longest, brackets, aliases, directives, balanced } = Lexemes::of(text.as_bytes());
    Measure::Name.check(longest, NAME_BYTES_MAX)?;
    Measure::Brackets.check(brackets, BRACKETS_MAX)?;
    Measure::Directives.check(directives, limits.graphql_directives)?;
    Measure::Aliases.check(aliases, limits.graphql_aliases)?;
    Measure::Tokens.check(tokens, limits.graphql_tokens)?;
    if balanced { Ok(()) } else { Err(DocumentError::Unbalanced) }
}

impl Lexemes {
    /// Counts the elements. In a malformed text it may count too many, never too few.
    fn of(text: &[u8]) -> Self {
        let mut lexemes = Self { balanced: true, ..Self::default() };
        let (mut at, mut parentheses) = (0, 0_u64);
        // The closing brackets of all open brackets.
        let mut open = Vec::new();
        while let Some(&byte) = text.get(at) {
            at += match byte {
                b' ' | b',' | b'\t' | b'\n' | b'\r' | 0xEF | 0xBB | 0xBF => {
                    at += 1;
                    continue;
                }
                b'#' => {
                    at += comment(&text[at..]);
                    continue;
                }
                b'"' => string(&text[at..]),
                b'.' if text[at..].starts_with(b"...") => 3,
                byte if is_word(byte) => {
                    let length = text[at..].iter().take_while(|byte| is_word(**byte)).count();
                    lexemes.longest = lexemes.longest.max(length as u64);
                    length
                }
                _ => 1,
            };
            lexemes.tokens += 1;
            match byte {
                b'{' | b'[' | b'(' => {
                    open.push(closer(byte));
                    parentheses += u64::from(byte == b'(');
                    lexemes.brackets = lexemes.brackets.max(open.len() as u64);
                }
                b'}' | b']' | b')' => {
                    lexemes.balanced &= open.pop() == Some(byte);
                    parentheses = parentheses.saturating_sub(u64::from(byte == b')'));
                }
                b'@' => lexemes.directives += 1,
                // Within parentheses, a colon belongs to an argument, an object or a variable.
                b':' if parentheses == 0 => lexemes.aliases += 1,
                _ => {}
            }
        }
        lexemes.balanced &= open.is_empty();
        lexemes
    }
}

fn closer(bracket: u8) -> u8 {
    match bracket {
        b'{' => b'}',
        b'[' => b']',
        _ => b')',
    }
}

/// Returns whether the byte belongs to a name or a number.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns the length of the comment at the start of the text.
fn comment(text: &[u8]) -> usize {
    text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len())
}

/// Returns the length of the string at the start of the text; of its opening quote if the string does not end.
fn string(text: &[u8]) -> usize {
    if text.starts_with(b"\"\"\"") {
        let mut at = 3;
        while at < text.len() {
            if text[at..].starts_with(b"\\\"\"\"") {
                at += 4;
            } else if text[at..].starts_with(b"\"\"\"") {
                return at + 3;
            } else {
                at += 1;
            }
        }
        // The parser also reads an empty string here.
        return 2;
    }
    let mut at = 1;
    loop {
        match text.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(b'\n' | b'\r') | None => return 1,
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(text: &str) -> (u64, u64, u64, u64) {
        let Lexemes { tokens, brackets, aliases, directives, .. } = Lexemes::of(text.as_bytes());
        (tokens, brackets, aliases, directives)
    }

    #[test]
    fn tokens_brackets_aliases_and_directives_are_counted() {
        assert_eq!(counted(""), (0, 0, 0, 0));
        assert_eq!(counted("{ a }"), (3, 1, 0, 0));
        assert_eq!(counted("\u{feff}{ a: b(c: {d: [1, -2.5e3]}) @skip(if: $x) ...F }"), (30, 4, 1, 1));
        assert_eq!(counted("query Q($a: [Int!]! = 1) @d { x: y z: y }"), (24, 2, 2, 1));
    }

    #[test]
    fn the_contents_of_strings_and_comments_are_not_counted() {
        assert_eq!(counted("{ a(b: \"@@ {{ \\\" x: y\") # @ : {{{\n }"), (8, 2, 0, 0));
        assert_eq!(counted("{ a(b: \"\"\"@ \" \\\"\"\" {\n\"\"\") }"), (8, 2, 0, 0));
        assert_eq!(counted("{ a(b: \"\") }"), (8, 2, 0, 0));
    }

    #[test]
    fn brackets_that_do_not_match_are_refused() {
        let scan = |text| scan(text, &Limits::default());
        for text in ["{ a", "{ a }}", "{ a(b: [1) ] }", "{ a(b: {c: 1)} }", "}", "{ a \"", "{ a } # }\n ("] {
            assert_eq!(scan(text), Err(DocumentError::Unbalanced), "{text}");
        }
        for text in ["", "{ a(b: [{c: \"}\"}]) # {\n }", "{ a(b: \"\"\"\" ( \\\"\"\" [\"\"\") }"] {
            assert_eq!(scan(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn an_unterminated_string_does_not_hide_directives() {
        assert_eq!(counted("\" @a @b").3, 2);
        assert_eq!(counted("\"\"\" @a @b").3, 2);
        assert_eq!(counted("\"\n@a \"@b").3, 2);
    }

    proptest! {
        #[test]
        fn any_text_is_counted(text in "\\PC*|[{}()\\[\\]\"\\\\#\n@:.a ]{0,200}") {
            let lexemes = Lexemes::of(text.as_bytes());
            prop_assert!(lexemes.tokens <= text.len() as u64);
            prop_assert!(lexemes.aliases + lexemes.directives + lexemes.brackets <= lexemes.tokens);
        }
    }
}
