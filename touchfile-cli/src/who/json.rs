//! Holders and waiters as JSON.
//!
//! The fields are in the order in which they are printed.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;

use serde::Serialize;
use touchfile::{Holder, ProcessId};

use super::file_status::{FileStatus, Name};
use super::names::Users;

/// The whole object.
#[derive(Debug, Serialize)]
pub(super) struct Answer<'a> {
    files: Vec<File<'a>>,
    sees_all_processes: bool,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    /// The device of a file without a path, as in /proc/locks.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holders: Option<Vec<Claim<'a>>>,
    /// The inode of a file without a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    path: Option<Cow<'a, str>>,
    /// The bytes of a path that is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<&'a [u8]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiters: Option<Vec<Claim<'a>>>,
}

/// A lock that is held or waited for.
#[derive(Debug, Serialize)]
struct Claim<'a> {
    command: Option<&'a str>,
    confirmed: bool,
    first_byte: u64,
    kind: Option<String>,
    last_byte: Option<u64>,
    mode: String,
    pid: Option<u32>,
    process_started: Option<String>,
    seen_for_seconds: Option<f64>,
    uid: Option<u32>,
    unseen: Option<&'static str>,
    user: Option<String>,
    waiting_since: Option<String>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(files: &'a [FileStatus], users: &mut Users) -> Self {
        Self {
            files: files.iter().map(|file| File::new(file, users)).collect(),
            sees_all_processes: touchfile_file::sees_all_processes(),
        }
    }
}

impl<'a> File<'a> {
    fn new(file: &'a FileStatus, users: &mut Users) -> Self {
        let found = file.found.as_ref();
        let mut claims = |waiting| {
            let found = found.ok()?.iter();
            let some = found.filter(|holder| holder.waiting == waiting);
            Some(some.map(|holder| Claim::new(holder, users)).collect())
        };
        let (path, number) = match &file.name {
            Name::Path(path) => (Some(path), None),
            Name::Unknown { device, inode } => (None, Some((device, inode))),
        };
        let bytes = path.filter(|path| path.to_str().is_none());
        Self {
            holders: claims(false),
            waiters: claims(true),
            error: found.err().map(ToString::to_string),
            path: path.map(|path| path.to_string_lossy()),
            path_bytes: bytes.map(|path| path.as_os_str().as_bytes()),
            device: number.map(|((major, minor), _)| format!("{major:02x}:{minor:02x}")),
            inode: number.map(|(_, inode)| *inode),
        }
    }
}

impl<'a> Claim<'a> {
    fn new(holder: &'a Holder, users: &mut Users) -> Self {
        let started = holder.started.map(humantime::format_rfc3339_seconds);
        let last = |end: u64| (end != u64::MAX).then_some(end);
        let range = holder.range.as_ref();
        Self {
            command: holder.command.as_deref(),
            confirmed: holder.confirmed,
            first_byte: range.map_or(0, |range| *range.start()),
            kind: holder.kind.map(|kind| kind.to_string()),
            last_byte: range.and_then(|range| last(*range.end())),
            mode: holder.mode.to_string(),
            pid: holder.pid(),
            process_started: started.map(|time| time.to_string()),
            seen_for_seconds: holder.seen_for.map(|seen| seen.as_secs_f64()),
            uid: holder.uid,
            unseen: match holder.process {
                ProcessId::Known(_) => None,
                ProcessId::OtherNamespace => Some("pid namespace"),
                ProcessId::Hidden => Some("permission"),
                _ => Some("untold"),
            },
            user: holder
                .uid
                .and_then(|uid| users.name(uid).map(str::to_owned)),
            waiting_since: holder
                .waiting_since
                .map(|time| humantime::format_rfc3339_millis(time).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use touchfile::{LockKind, LockMode};

    use super::*;
    use crate::output;

    #[test]
    fn fields_are_sorted_and_what_is_not_known_is_null() {
        let mut holder = Holder::new(LockMode::Shared);
        holder.kind = Some(LockKind::Ofd);
        holder.range = Some(5..=u64::MAX);
        holder.process = ProcessId::Hidden;
        let files = [
            FileStatus {
                name: Name::Path("/a".into()),
                found: Ok(vec![holder]),
            },
            FileStatus {
                name: Name::Path("/b".into()),
                found: Err(io::Error::other("no")),
            },
            FileStatus {
                name: Name::Unknown {
                    device: (0xfe, 0),
                    inode: 7,
                },
                found: Ok(vec![]),
            },
        ];
        let line = output::json_line(&Answer::new(&files, &mut Users::default()));
        let sees = touchfile_file::sees_all_processes();
        let expected = r#"{"files":[{"holders":[{"command":null,"confirmed":true,"first_byte":5,"kind":"OFDLCK","last_byte":null,"mode":"shared","pid":null,"process_started":null,"seen_for_seconds":null,"uid":null,"unseen":"permission","user":null,"waiting_since":null}],"path":"/a","waiters":[]},{"error":"no","path":"/b"},{"device":"fe:00","holders":[],"inode":7,"path":null,"waiters":[]}],"#;
        assert_eq!(line, format!("{expected}\"sees_all_processes\":{sees}}}\n"));
    }
}
