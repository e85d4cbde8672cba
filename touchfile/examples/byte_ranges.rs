//! A table in one file, whose rows are locked one by one.
//!
//! Whoever moves something from row to row locks these two and no others; whoever adds up the whole
//! table locks all of it, shared, and becomes exclusive for as long as it takes to write down the
//! sum. No lock is let go of in between.
//!
//! `cargo run --example byte_ranges` starts three movers and an auditor.

use std::env;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use touchfile::{FcntlBackend, TouchFile};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const ROWS: u64 = 8;
const WIDTH: u64 = 8;
const TOTAL: u64 = 800;

/// Behind the rows is the sum, as it was last written down.
struct Table {
    path: PathBuf,
    file: File,
}

impl Table {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: OpenOptions::new().read(true).write(true).open(path)?,
        })
    }

    /// The lock of one row. Nobody need write into the bytes that are locked; here they do.
    fn row(&self, row: u64) -> Outcome<TouchFile<FcntlBackend>> {
        let bytes = FcntlBackend::range(row * WIDTH, WIDTH)?;
        Ok(TouchFile::new(bytes, &self.path)?)
    }

    fn all(&self) -> Outcome<TouchFile<FcntlBackend>> {
        Ok(TouchFile::new(FcntlBackend::new(), &self.path)?)
    }

    fn get(&self, row: u64) -> io::Result<u64> {
        let mut bytes = [0; WIDTH as usize];
        self.file.read_exact_at(&mut bytes, row * WIDTH)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn set(&self, row: u64, value: u64) -> io::Result<()> {
        self.file.write_all_at(&value.to_le_bytes(), row * WIDTH)
    }

    /// Moves one from a row to another.
    fn shift(&self, from: u64, to: u64) -> Outcome {
        // Always the lower one first: else two could wait for each other.
        let (lower, higher) = (self.row(from.min(to))?, self.row(from.max(to))?);
        let _lower = lower.blocking().lock_exclusive()?;
        let _higher = higher.blocking().lock_exclusive()?;
        let (giver, taker) = (self.get(from)?, self.get(to)?);
        if giver > 0 {
            self.set(from, giver - 1)?;
            self.set(to, taker + 1)?;
        }
        Ok(())
    }

    /// Adds up, and writes down the sum if nobody else adds up right now.
    fn audit(&self) -> Outcome<u64> {
        let all = self.all()?;
        let mut guard = all.blocking().lock_shared()?;
        let mut sum = 0;
        for row in 0..ROWS {
            sum += self.get(row)?;
        }
        if guard.try_upgrade()? {
            self.set(ROWS, sum)?;
            guard.downgrade()?;
        }
        Ok(sum)
    }
}

fn main() -> Outcome {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [] => demonstrate(),
        [role, path] if role == "move" => move_about(&Table::open(path.as_ref())?),
        [role, path] if role == "audit" => audit(&Table::open(path.as_ref())?),
        _ => Err("usage: byte_ranges".into()),
    }
}

fn demonstrate() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("table");
    File::create(&path)?;
    let table = Table::open(&path)?;
    for row in 0..ROWS {
        table.set(row, TOTAL / ROWS)?;
    }
    let start = |role| -> io::Result<Child> {
        let program = env::current_exe()?;
        Command::new(program).arg(role).arg(&path).spawn()
    };
    for process in ["move", "move", "move", "audit"].map(start) {
        if !process?.wait()?.success() {
            return Err("a process failed".into());
        }
    }
    println!("{} were written down", table.get(ROWS)?);
    Ok(())
}

fn move_about(table: &Table) -> Outcome {
    for step in 0..300 {
        let from = step % ROWS;
        table.shift(from, (from + 1 + step % (ROWS - 1)) % ROWS)?;
    }
    println!("moved 300 times");
    Ok(())
}

fn audit(table: &Table) -> Outcome {
    for _ in 0..50 {
        let sum = table.audit()?;
        if sum != TOTAL {
            return Err(format!("{sum} instead of {TOTAL}").into());
        }
    }
    println!("each of 50 times all {TOTAL} were there");
    Ok(())
}
