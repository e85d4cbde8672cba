//! Names for numbers, and text fit for a line.

use std::collections::HashMap;
use std::path::Path;

use nix::unistd::{Uid, User};

use crate::text::printable;

/// The names of users, each asked for once.
#[derive(Debug, Default)]
pub(super) struct Users(HashMap<u32, Option<String>>);

impl Users {
    /// `None` for one who has no name here, such as a user of a container.
    pub(super) fn name(&mut self, uid: u32) -> Option<&str> {
        let ask = || User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = self.0.entry(uid).or_insert_with(|| Some(ask()?.name));
        name.as_deref()
    }
}

/// A path as one line, whatever is in it.
pub(super) fn of_path(path: &Path) -> String {
    printable(&path.to_string_lossy())
}
