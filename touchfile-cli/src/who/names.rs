//! Names for numbers, and text fit for a line.

use std::collections::HashMap;

use nix::unistd::{Uid, User};

use super::file_status::Name;
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

/// The name of a file as one line, whatever is in it.
pub(super) fn of_file(name: &Name) -> String {
    match name {
        Name::Path(path) => printable(&path.to_string_lossy()),
        Name::Unknown { device, inode } => {
            format!("(inode {inode} on {:02x}:{:02x})", device.0, device.1)
        }
    }
}
