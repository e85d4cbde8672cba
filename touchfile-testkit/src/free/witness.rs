//! The witness: a number beside each lock file, which only the lock protects.
//!
//! An exclusive holder reads the number and then writes the next one. If another holder does the same
//! at that time, one of the two updates is lost. A shared holder reads the number twice and must find
//! it unchanged. So a witness shows a broken lock without any clock.
//!
//! The number is the length of a file, which is opened and closed for each access, while the lock is
//! held. A client of NFS asks the server when it opens a file and writes to the server when it closes
//! it, and otherwise uses its cache. A client of NFS 3 even uses old *contents* if the size and the time
//! of change of the file are the same as before, and the clock of the server may tick every 10 ms only.
//! A writer that is killed at any moment leaves the old or the new number.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::plan::Plan;

/// The number beside one lock file.
#[derive(Debug)]
pub(crate) struct Witness {
    path: PathBuf,
}

impl Witness {
    pub(super) fn new(plan: &Plan, file: u32) -> Self {
        Self {
            path: plan.dir.join(format!("free-{file}.witness")),
        }
    }

    /// Writes a zero beside each lock file. It is called before a race.
    pub(crate) fn prepare(plan: &Plan) -> io::Result<()> {
        for file in 0..plan.files {
            File::create(Self::new(plan, file).path)?;
        }
        Ok(())
    }

    /// The numbers beside all lock files, in order. It is called after a race.
    pub(crate) fn finals(plan: &Plan) -> io::Result<Vec<u64>> {
        (0..plan.files)
            .map(|file| Self::new(plan, file).read())
            .collect()
    }

    pub(super) fn read(&self) -> io::Result<u64> {
        Ok(File::open(&self.path)?.metadata()?.len())
    }

    /// Writes the number after `found`, unless a larger number has been written in the meantime.
    pub(super) fn write_next(&self, found: u64) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        file.seek(SeekFrom::Start(found))?;
        file.write_all(b".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_starts_at_zero_and_keeps_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::new(dir.path(), 0);
        Witness::prepare(&plan).unwrap();
        assert_eq!(Witness::finals(&plan).unwrap(), [0, 0]);
        for found in 0..41 {
            assert_eq!(Witness::new(&plan, 1).read().unwrap(), found);
            Witness::new(&plan, 1).write_next(found).unwrap();
        }
        assert_eq!(Witness::finals(&plan).unwrap(), [0, 41]);
    }

    #[test]
    fn of_two_updates_of_one_number_one_vanishes() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::new(dir.path(), 0);
        Witness::prepare(&plan).unwrap();
        for _ in 0..2 {
            Witness::new(&plan, 0).write_next(0).unwrap();
        }
        assert_eq!(Witness::finals(&plan).unwrap(), [1, 0]);
    }
}
