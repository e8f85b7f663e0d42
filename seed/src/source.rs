//! Sources of events: files and the standard input, compressed or not.

use std::fs::File;
use std::io::{self, BufReader, Cursor, IsTerminal, Read, stderr, stdin};
use std::path::Path;

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};

/// The path that stands for the standard input.
const STANDARD_INPUT: &str = "-";
/// First bytes of gzip and zstd files.
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// A text to load, and its name in messages.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: Box<dyn Read + Send>,
}

impl Source {
    /// Opens a file, or the standard input. Decompresses it if its first bytes say that it is compressed.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new(STANDARD_INPUT) {
            let name = "standard input".to_owned();
            return Ok(Self { text: unpacked(stdin()).context("cannot read the standard input")?, name });
        }
        let name = path.display().to_string();
        let open = || {
            let file = File::open(path)?;
            let bytes = file.metadata()?.len();
            unpacked(with_progress(file, bytes))
        };
        Ok(Self { text: open().with_context(|| format!("cannot read {name}"))?, name })
    }

    /// Returns a text that is embedded in the program.
    pub(crate) fn carried(name: &str, text: &'static str) -> Self {
        Self { name: name.to_owned(), text: Box::new(with_progress(text.as_bytes(), text.len() as u64)) }
    }
}

fn unpacked(mut file: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::new();
    file.by_ref().take(ZSTD.len() as u64).read_to_end(&mut start)?;
    let (is_gzip, is_zstd) = (start.starts_with(GZIP), start == ZSTD);
    let file = Cursor::new(start).chain(file);
    Ok(match (is_gzip, is_zstd) {
        (true, _) => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        (_, true) => Box::new(zstd::Decoder::new(file)?),
        _ => Box::new(file),
    })
}

/// Shows a progress bar on the terminal while the file is read.
fn with_progress<R: Read + Send + 'static>(file: R, bytes: u64) -> impl Read + Send + 'static {
    let bar = if stderr().is_terminal() { ProgressBar::new(bytes) } else { ProgressBar::hidden() };
    let style = "{bar:40} {percent}% of {total_bytes}, {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.wrap_read(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that gives a byte at a time.
    struct Slow(&'static [u8]);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn short_and_slow_texts_are_read_completely() {
        for text in [b"".as_slice(), b"a", b"\x1f", b"timestamp"] {
            let mut read = Vec::new();
            unpacked(Slow(text)).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, text);
        }
    }
}
