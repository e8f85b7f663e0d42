//! A file that records what was sent and acknowledged. After an interruption sending can continue, and a check knows
//! what must be stored. It contains no events: they follow from the settings in its first line.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, bail};
use entity::Instant;

use crate::world::Settings;

/// The file and its contents.
pub(crate) struct Journal {
    file: File,
    /// The world whose reports are sent.
    pub(crate) settings: Settings,
    /// The numbers of the batches that were acknowledged.
    pub(crate) acknowledged: HashSet<u64>,
    /// The markers that were sent, in their order.
    pub(crate) markers: Vec<Instant>,
    /// Whether all markers were seen.
    pub(crate) markers_seen: bool,
}

impl Journal {
    /// Reads an existing journal.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read the journal {}", path.display());
        let file = OpenOptions::new().read(true).append(true).open(path).with_context(cannot)?;
        let mut lines = BufReader::new(&file).lines();
        let first = lines.next().with_context(cannot)?.with_context(cannot)?;
        let settings = serde_json::from_str(&first).with_context(cannot)?;
        let (mut acknowledged, mut markers, mut markers_seen) = (HashSet::new(), Vec::new(), true);
        for line in lines {
            let line = line.with_context(cannot)?;
            match line.split_once(' ') {
                Some(("acknowledged", number)) => {
                    acknowledged.insert(number.parse().with_context(cannot)?);
                }
                Some(("marker", ts)) => {
                    markers.push(ts.parse().with_context(cannot)?);
                    markers_seen = false;
                }
                Some(("seen", _)) => markers_seen = true,
                _ => bail!("{}: invalid line {line:?}", cannot()),
            }
        }
        Ok(Self { file, settings, acknowledged, markers, markers_seen })
    }

    /// Opens the journal of these settings, or creates it if it is missing.
    pub(crate) fn create(path: &Path, settings: Settings) -> anyhow::Result<Self> {
        if path.exists() {
            let journal = Self::open(path)?;
            if journal.settings != settings {
                bail!(
                    "the journal {} was written with other settings: {:?}",
                    path.display(),
                    journal.settings
                );
            }
            return Ok(journal);
        }
        let cannot = || format!("cannot write the journal {}", path.display());
        let mut file = OpenOptions::new().append(true).create_new(true).open(path).with_context(cannot)?;
        writeln!(file, "{}", serde_json::to_string(&settings)?).with_context(cannot)?;
        Ok(Self { file, settings, acknowledged: HashSet::new(), markers: Vec::new(), markers_seen: true })
    }

    /// Records that a batch was acknowledged.
    pub(crate) fn acknowledged(&mut self, number: u64) -> anyhow::Result<()> {
        self.acknowledged.insert(number);
        writeln!(self.file, "acknowledged {number}").context("cannot write the journal")
    }

    /// Records that a marker is about to be sent.
    pub(crate) fn marker(&mut self, ts: Instant) -> anyhow::Result<()> {
        self.markers.push(ts);
        self.markers_seen = false;
        writeln!(self.file, "marker {ts}").context("cannot write the journal")
    }

    /// Records that the last marker was seen.
    pub(crate) fn seen(&mut self) -> anyhow::Result<()> {
        self.markers_seen = true;
        writeln!(self.file, "seen {}", self.markers.len()).context("cannot write the journal")
    }
}
