//! Names of users and files.

use std::collections::HashMap;

use nix::unistd::{Uid, User};

use super::file_status::Name;
use crate::text::printable;

/// The names of users. Each is looked up once.
#[derive(Debug, Default)]
pub(super) struct Users(HashMap<u32, Option<String>>);

impl Users {
    /// The name of a user. A user of a container, for example, may have none here.
    pub(super) fn name(&mut self, uid: u32) -> Option<&str> {
        let ask = || User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = self.0.entry(uid).or_insert_with(|| Some(ask()?.name));
        name.as_deref()
    }
}

/// The name of a file in one line without control characters.
pub(super) fn of_file(name: &Name) -> String {
    match name {
        Name::Path(path) => printable(&path.to_string_lossy()),
        Name::Unknown { device, inode } => {
            format!("(inode {inode} on {:02x}:{:02x})", device.0, device.1)
        }
    }
}
