//! The seeds of schedules that failed, in a file of the format of proptest.

use std::any::Any;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use proptest::test_runner::{FailurePersistence, PersistedSeed};

/// A file of `SEED # shrinks to …` lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SeedFile(pub(crate) PathBuf);

const HEADER: &str = "\
# Seeds of schedules that failed in the past. They are played before any others: it is a good
# idea to check this file in. Lines are written by the suite.
";

impl FailurePersistence for SeedFile {
    fn load_persisted_failures2(&self, _: Option<&'static str>) -> Vec<PersistedSeed> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split('#').next()?.trim().parse().ok())
            .collect()
    }

    fn save_persisted_failure2(
        &mut self,
        source: Option<&'static str>,
        seed: PersistedSeed,
        shrunken: &dyn fmt::Debug,
    ) {
        if self.load_persisted_failures2(source).contains(&seed) {
            return;
        }
        let known = self.0.exists();
        // A directory that cannot be written to must not suppress a finding.
        if let Some(parent) = self.0.parent() {
            fs::create_dir_all(parent).ok();
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.0);
        if let Ok(mut file) = file {
            let header = if known { "" } else { HEADER };
            drop(writeln!(file, "{header}{seed} # shrinks to {shrunken:?}"));
        }
    }

    fn box_clone(&self) -> Box<dyn FailurePersistence> {
        Box::new(self.clone())
    }

    fn eq(&self, other: &dyn FailurePersistence) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
