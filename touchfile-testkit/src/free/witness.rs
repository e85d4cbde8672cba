//! A number beside each lock file that only the lock protects: the oracle that needs no clock.
//!
//! An exclusive holder reads the number and, in a second step, writes the next one. Whoever was
//! let in beside it makes one of the two updates vanish. A shared holder reads the number twice
//! and finds it the same.
//!
//! The file is opened and closed for each access, inside the lock: a client of NFS looks at the
//! server when it opens a file and writes to it when it closes one, and else trusts its cache.
//! The number is written by one call and always as wide, so that a writer killed at any moment
//! leaves the old or the new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::plan::Plan;

/// Enough digits for any `u64`.
const WIDTH: usize = 20;

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

    /// Writes a zero beside each lock file: to be done before the run.
    pub(crate) fn prepare(plan: &Plan) -> io::Result<()> {
        for file in 0..plan.files {
            let witness = Self::new(plan, file);
            File::create(&witness.path)?;
            witness.write(0)?;
        }
        Ok(())
    }

    /// The numbers beside all lock files, in order: to be read after the run.
    pub(crate) fn finals(plan: &Plan) -> io::Result<Vec<u64>> {
        (0..plan.files)
            .map(|file| Self::new(plan, file).read())
            .collect()
    }

    pub(super) fn read(&self) -> io::Result<u64> {
        let mut digits = String::with_capacity(WIDTH);
        File::open(&self.path)?.read_to_string(&mut digits)?;
        digits.parse().map_err(|error| {
            let path = self.path.display();
            io::Error::other(format!("the witness {path} reads {digits:?}: {error}"))
        })
    }

    pub(super) fn write(&self, number: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        let digits = format!("{number:0WIDTH$}");
        if file.write_at(digits.as_bytes(), 0)? != WIDTH {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
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
        Witness::new(&plan, 1).write(u64::MAX).unwrap();
        Witness::new(&plan, 1).write(41).unwrap();
        assert_eq!(Witness::finals(&plan).unwrap(), [0, 41]);
    }
}
