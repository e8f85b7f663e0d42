//! Splits CSV text into rows.
//!
//! A row ends at a line feed, at a carriage return, or at both together. A carriage return in quotes is part of a value,
//! but only where the row can be read that way: a quote that is never closed must not swallow the rows after it. A line
//! feed always ends a row.

use tokio_util::bytes::{Buf, BytesMut};

/// Maximum length of a row, in bytes. A longer one is rejected, and skipped without being buffered.
pub(super) const ROW_BYTES_MAX: usize = 16 * 1024;

/// Takes rows from the front of a buffer. They do not depend on the pieces in which the buffer is filled.
#[derive(Debug)]
pub(super) struct Rows {
    /// Number of the line that the buffer begins in, from 1.
    line: u64,
    /// Number of bytes of the buffer that do not contain the end of the row.
    searched: usize,
    /// Whether they end within quotes.
    is_quoted: bool,
    /// The first carriage return among them that is in quotes.
    quoted_return: Option<usize>,
    /// Whether the last row was too long and the buffer begins with the rest of it.
    is_skipping: bool,
    /// Whether the last row ended with a carriage return, so that a line feed that comes next belongs to it.
    after_return: bool,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            line: 1,
            searched: 0,
            is_quoted: false,
            quoted_return: None,
            is_skipping: false,
            after_return: false,
        }
    }
}

impl Rows {
    /// Takes the next complete row, skipping blank ones, and returns its line number and the result of `read`. A row
    /// that cannot be read ends at its first carriage return, quoted or not.
    pub(super) fn next<T, E>(
        &mut self,
        source: &mut BytesMut,
        at_end: bool,
        mut read: impl FnMut(&[u8]) -> Result<T, E>,
    ) -> Option<(u64, Result<T, E>)> {
        loop {
            self.skip(source);
            let mut end = self.end(source, at_end)?;
            let line = self.line;
            if end <= ROW_BYTES_MAX && is_blank(&source[..end]) {
                self.take(source, end);
                continue;
            }
            let mut found = read(&source[..end]);
            if let (Err(_), Some(quoted_return)) = (&found, self.quoted_return) {
                end = quoted_return;
                found = read(&source[..end]);
            }
            self.take(source, end);
            return Some((line, found));
        }
    }

    /// Removes what belongs to the previous row.
    fn skip(&mut self, source: &mut BytesMut) {
        if self.is_skipping {
            match source.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                Some(end) => self.end_line(source, end),
                None => source.clear(),
            }
        }
        if self.after_return && !source.is_empty() {
            self.after_return = false;
            if source[0] == b'\n' {
                source.advance(1);
            }
        }
    }

    /// Returns the length of the row at the start of the buffer, once its end is known. A row that is too long is cut.
    fn end(&mut self, source: &BytesMut, at_end: bool) -> Option<usize> {
        while let Some(byte) = source.get(self.searched) {
            match byte {
                _ if self.searched > ROW_BYTES_MAX => return Some(self.searched),
                b'\n' => return Some(self.searched),
                b'\r' if !self.is_quoted => return Some(self.searched),
                b'\r' => _ = self.quoted_return.get_or_insert(self.searched),
                b'"' => self.is_quoted = !self.is_quoted,
                _ => {}
            }
            self.searched += 1;
        }
        (at_end && !source.is_empty()).then_some(source.len())
    }

    fn take(&mut self, source: &mut BytesMut, end: usize) {
        if self.quoted_return.is_some() {
            let returns = source[..end].iter().filter(|byte| matches!(byte, b'\r')).count();
            self.line += returns as u64;
        }
        if let Some(b'\n' | b'\r') = source.get(end) {
            self.end_line(source, end);
        } else {
            // The end of the source, or a row that is too long.
            source.advance(end);
            self.is_skipping = end > ROW_BYTES_MAX;
        }
        (self.searched, self.is_quoted, self.quoted_return) = (0, false, None);
    }

    /// Removes the rest of a line that ends at `end`.
    fn end_line(&mut self, source: &mut BytesMut, end: usize) {
        self.line += 1;
        self.after_return = source[end] == b'\r';
        self.is_skipping = false;
        source.advance(end + 1);
    }
}

fn is_blank(row: &[u8]) -> bool {
    row.strip_prefix(b"\xef\xbb\xbf").unwrap_or(row).trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the rows of a text that arrives in pieces of `piece` bytes, with their line numbers. A row can be read
    /// if its quotes are closed.
    fn rows(text: &[u8], piece: usize) -> Vec<(u64, Vec<u8>)> {
        let (mut rows, mut source, mut found) = (Rows::default(), BytesMut::new(), Vec::new());
        let mut read = |row: &[u8]| {
            let row = row.to_vec();
            let is_open = row.iter().fold(false, |open, byte| open ^ (*byte == b'"'));
            if is_open { Err(row) } else { Ok(row) }
        };
        let pieces = text.chunks(piece).map(|piece| (piece, false)).chain([(&[][..], true)]);
        for (piece, at_end) in pieces {
            source.extend_from_slice(piece);
            while let Some((line, row)) = rows.next(&mut source, at_end, &mut read) {
                found.push((line, row.unwrap_or_else(|row| row)));
            }
            assert!(source.len() <= ROW_BYTES_MAX + 1, "{} bytes are buffered", source.len());
        }
        assert!(source.is_empty());
        found
    }

    fn text(text: &str) -> Vec<(u64, String)> {
        let found = rows(text.as_bytes(), 3);
        found.into_iter().map(|(line, row)| (line, String::from_utf8(row).unwrap())).collect()
    }

    #[test]
    fn a_row_ends_at_every_kind_of_line_end() {
        for (given, expected) in [
            ("a\nb\n", vec![(1, "a"), (2, "b")]),
            ("a\rb\r", vec![(1, "a"), (2, "b")]),
            ("a\r\nb", vec![(1, "a"), (2, "b")]),
            ("a\rb\nc\r\nd\n\re", vec![(1, "a"), (2, "b"), (3, "c"), (4, "d"), (6, "e")]),
            ("\r\r\n \n\ta", vec![(4, "\ta")]),
            ("a,\"x\ry\"\nb\n", vec![(1, "a,\"x\ry\""), (3, "b")]),
            // A quote that is never closed affects only its own row, and a quoted line feed ends the row.
            ("a,\"x\rb\rc\r", vec![(1, "a,\"x"), (2, "b"), (3, "c")]),
            ("a,\"x\rb\n\"c\"\n", vec![(1, "a,\"x"), (2, "b"), (3, "\"c\"")]),
            ("a\"\r\"b\"\r\"c\"\n", vec![(1, "a\""), (2, "\"b\""), (3, "\"c\"")]),
            ("", vec![]),
            ("\r\n\r", vec![]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(line, row)| (*line, (*row).to_owned())).collect();
            assert_eq!(text(given), expected, "{given:?}");
        }
    }

    #[test]
    fn a_row_that_is_too_long_is_cut_and_the_next_is_whole() {
        let long = "x".repeat(3 * ROW_BYTES_MAX);
        for end in ["\n", "\r", "\r\n"] {
            let found = rows(format!("{long}{end}a{end}{}", " ".repeat(2 * ROW_BYTES_MAX)).as_bytes(), 1000);
            let lengths: Vec<_> = found.iter().map(|(line, row)| (*line, row.len())).collect();
            assert_eq!(lengths, [(1, ROW_BYTES_MAX + 1), (2, 1), (3, ROW_BYTES_MAX + 1)]);
        }
        // A quote in front of many rows without one, each ended by a carriage return.
        let many = format!("\"{}", "a\r".repeat(ROW_BYTES_MAX));
        assert_eq!(rows(many.as_bytes(), 1000).len(), ROW_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(text in "[a\"\r\n ]{0,60}", piece in 1_usize..9) {
            let found = rows(text.as_bytes(), piece);
            prop_assert_eq!(&found, &rows(text.as_bytes(), 100));
            let kept = |bytes: &[u8]| bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
            prop_assert_eq!(kept(text.as_bytes()), found.iter().map(|(_, row)| kept(row)).sum::<usize>());
        }

        #[test]
        fn rows_between_line_ends_of_any_kind_are_found(
            given in prop::collection::vec(("[a-z,]{0,5}(\"[a-z]{0,3}\")?", "\n|\r|\r\n"), 0..20), piece in 1_usize..9,
        ) {
            let text: String = given.iter().flat_map(|(row, end)| [row.as_str(), end.as_str()]).collect();
            let expected: Vec<_> =
                given.iter().filter(|(row, _)| !row.is_empty()).map(|(row, _)| row.clone().into_bytes()).collect();
            let found: Vec<_> = rows(text.as_bytes(), piece).into_iter().map(|(_, row)| row).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
