//! `headcount backup`: copies a SQLite database while servers use it.

use std::fs::{self, File};
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};

use crate::clock::Clock;
use crate::database::{Database, DatabaseConfig, make_private};

const PREFIX: &str = "headcount-";
const SUFFIX: &str = ".db";
/// What a copy is called until it is whole.
const PARTIAL: &str = ".partial";

#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    config: DatabaseConfig,
    /// Write the copy into this folder, as `headcount-TIME.db`
    folder: PathBuf,
    /// Keep this many copies in the folder, and delete the oldest. Default: keep all
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
}

impl BackupArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let database = Database::connect(&self.config.database_url).await?;
        if database.backend() != DatabaseBackend::Sqlite {
            bail!(
                "backup copies SQLite databases: use pg_dump for PostgreSQL, which also copies while servers run"
            );
        }
        let now = Clock::system().now();
        let name = now.to_string().replace([':', '.'], "-");
        let whole = self.folder.join(format!("{PREFIX}{name}{SUFFIX}"));
        database.closed_after(async |database| copy(&database, &whole).await).await?;
        let deleted = match self.keep {
            Some(keep) => delete_oldest(&self.folder, keep as usize)?,
            None => 0,
        };
        let bytes = fs::metadata(&whole)?.len();
        writeln!(stdout(), "{}: {bytes} bytes; {deleted} older copies deleted", whole.display())?;
        Ok(())
    }
}

/// Writes a copy of one state of the database, checks it, and gives it its name once it is durable.
async fn copy(database: &Database, whole: &Path) -> anyhow::Result<()> {
    let partial = PathBuf::from(format!("{}{PARTIAL}", whole.display()));
    let folder = whole.parent().context("the folder has no path")?;
    let told = |path: &Path| format!("cannot write {}", path.display());
    ensure!(folder.is_dir(), "{} is not a folder: create it first", folder.display());
    fs::remove_file(&partial).ok();
    make_private(&partial);
    let file = partial.to_str().context("the path is not UTF-8")?.to_owned();
    let statement =
        Statement::from_sql_and_values(DatabaseBackend::Sqlite, "VACUUM INTO ?", [file.clone().into()]);
    database.writer().execute_raw(statement).await.with_context(|| told(&partial))?;
    let written = Database::connect(&format!("sqlite://{file}?mode=rw")).await?;
    let check = Statement::from_string(DatabaseBackend::Sqlite, "PRAGMA quick_check(1)");
    let verdict = async |copy: Database| {
        let row = copy.reader().query_one_raw(check).await?.context("the copy cannot be checked")?;
        Ok::<String, anyhow::Error>(row.try_get_by_index(0)?)
    };
    let verdict = written.closed_after(verdict).await?;
    ensure!(verdict == "ok", "the copy is damaged ({verdict}): check the disk");
    File::open(&partial)?.sync_all().with_context(|| told(&partial))?;
    fs::rename(&partial, whole).with_context(|| told(whole))?;
    File::open(folder)?.sync_all().with_context(|| told(folder))?;
    Ok(())
}

/// Deletes all copies in a folder but the newest. Returns how many it has deleted. Their names sort by time.
fn delete_oldest(folder: &Path, keep: usize) -> anyhow::Result<usize> {
    let mut copies = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            copies.push(path);
        }
    }
    copies.sort_unstable();
    let old = copies.len().saturating_sub(keep);
    for path in &copies[..old] {
        fs::remove_file(path).with_context(|| format!("cannot delete {}", path.display()))?;
    }
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_copies_are_kept_and_nothing_else_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "headcount-2026-01-01T00-00-00Z.db",
            "headcount-2026-01-02T00-00-00-125Z.db",
            "headcount-2026-01-03T00-00-00Z.db",
            "headcount-2025-01-01T00-00-00Z.db.partial",
            "headcount.db",
        ];
        for name in names {
            File::create(folder.path().join(name)).unwrap();
        }
        assert_eq!(delete_oldest(folder.path(), 2).unwrap(), 1);
        assert_eq!(delete_oldest(folder.path(), 2).unwrap(), 0);
        let left = names.iter().filter(|name| folder.path().join(name).exists());
        assert_eq!(left.collect::<Vec<_>>(), names[1..].iter().collect::<Vec<_>>());
    }
}
