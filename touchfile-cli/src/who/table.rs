//! Holders and waiters as a table.

use std::time::{Duration, SystemTime};

use touchfile::{Holder, ProcessId};

use super::file_status::FileStatus;
use super::names::{Users, of_file};

const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// The form of the table.
#[derive(Debug)]
pub(super) struct Table<'a> {
    /// Whether it has a column for the file.
    pub(super) files: bool,
    /// Whether it has headings.
    pub(super) heads: bool,
    pub(super) colourful: bool,
    /// The processes that are shown, or none if all are shown.
    pub(super) pids: &'a [u32],
}

impl Table<'_> {
    /// The table, and a line for each file that is not locked. Files that cannot be opened are left out.
    pub(super) fn of(&self, files: &[FileStatus], users: &mut Users) -> String {
        let holders = || {
            let found = files.iter().filter_map(|file| file.found.as_ref().ok());
            found.flatten()
        };
        let extra = Extra {
            seen: holders().any(|holder| holder.seen_for.is_some()),
            waited: holders().any(|holder| holder.waiting_since.is_some()),
        };
        let mut rows = Vec::new();
        for file in files {
            for holder in file.found.iter().flatten() {
                let mut row = cells(holder, users, extra);
                if self.files {
                    row.insert(0, of_file(&file.name));
                }
                rows.push(row);
            }
        }
        self.laid_out(&rows, extra) + &self.nobody(files, rows.is_empty())
    }

    fn laid_out(&self, rows: &[Vec<String>], extra: Extra) -> String {
        if rows.is_empty() {
            return String::new();
        }
        let mut heads = heads(extra);
        if self.files {
            heads.insert(0, "FILE");
        }
        let heads: Vec<String> = heads.into_iter().map(str::to_owned).collect();
        let shown = if self.heads { &heads[..] } else { &[] };
        let widths: Vec<usize> = (0..heads.len())
            .map(|column| {
                let cells = rows.iter().map(|row| &row[column]).chain(shown.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        if self.heads {
            let heads = line(&heads, &widths);
            text = if self.colourful {
                format!("{BOLD}{heads}{PLAIN}\n")
            } else {
                format!("{heads}\n")
            };
        }
        for row in rows {
            text.push_str(&line(row, &widths));
            text.push('\n');
        }
        text
    }

    /// A line for each file that is not locked, or for processes that hold nothing.
    fn nobody(&self, files: &[FileStatus], no_rows: bool) -> String {
        if !self.pids.is_empty() {
            let pids: Vec<String> = self.pids.iter().map(ToString::to_string).collect();
            let line = format!("no lock of pid {} is seen\n", pids.join(", "));
            return if no_rows { line } else { String::new() };
        }
        let nobody = if touchfile_file::sees_all_processes() {
            "nobody"
        } else {
            "nobody that can be seen from this pid namespace"
        };
        if files.is_empty() {
            return format!("{nobody} holds a lock\n");
        }
        let mut free = String::new();
        for file in files {
            if file.found.is_ok() && !file.is_held() {
                free.push_str(&format!("{nobody} holds {}\n", of_file(&file.name)));
            }
        }
        free
    }
}

/// The columns that are shown if something is in them.
#[derive(Clone, Copy, Debug)]
struct Extra {
    seen: bool,
    waited: bool,
}

fn heads(extra: Extra) -> Vec<&'static str> {
    let mut heads = vec!["PID", "USER", "KIND", "MODE", "STATE", "BYTES", "AGE"];
    if extra.seen {
        heads.push("SEEN");
    }
    if extra.waited {
        heads.push("WAITED");
    }
    heads.push("COMMAND");
    heads
}

fn cells(holder: &Holder, users: &mut Users, extra: Extra) -> Vec<String> {
    let pid = match holder.pid() {
        Some(pid) if holder.confirmed => pid.to_string(),
        Some(pid) => format!("{pid}?"),
        None => "?".into(),
    };
    let user = match holder.uid {
        Some(uid) => users
            .name(uid)
            .map_or_else(|| uid.to_string(), str::to_owned),
        None => "?".into(),
    };
    let age = |started| {
        SystemTime::now()
            .duration_since(started)
            .unwrap_or_default()
    };
    let mut cells = vec![
        pid,
        user,
        holder
            .kind
            .map_or_else(|| "?".into(), |kind| kind.to_string()),
        holder.mode.to_string(),
        if holder.waiting { "waits" } else { "holds" }.into(),
        bytes(holder),
        holder
            .started
            .map_or_else(|| "?".into(), |started| rounded(age(started))),
    ];
    if extra.seen {
        cells.push(holder.seen_for.map_or_else(|| "-".into(), rounded));
    }
    if extra.waited {
        let waited = holder.waiting_since.map(age);
        cells.push(waited.map_or_else(|| "-".into(), rounded));
    }
    cells.push(match holder.process {
        ProcessId::Known(_) => holder.short_command().unwrap_or_default(),
        ProcessId::OtherNamespace => "(in another pid namespace)".into(),
        ProcessId::Hidden => "(no permission to see which process)".into(),
        _ => "(the kernel does not tell)".into(),
    });
    cells
}

fn bytes(holder: &Holder) -> String {
    match &holder.range {
        None => "all".into(),
        Some(range) if *range.end() == u64::MAX => format!("{}-", range.start()),
        Some(range) => format!("{}-{}", range.start(), range.end()),
    }
}

/// A duration in whole seconds, in its two largest units.
fn rounded(duration: Duration) -> String {
    let whole = Duration::from_secs(duration.as_secs());
    let text = humantime::format_duration(whole).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths);
    let padded = padded.map(|(cell, width)| format!("{cell:width$}"));
    let line = padded.collect::<Vec<_>>().join("  ");
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::io;

    use touchfile::{LockKind, LockMode};

    use super::super::file_status::Name;

    use super::*;

    fn holder(pid: u32) -> Holder {
        let mut holder = Holder::new(LockMode::Exclusive);
        holder.process = ProcessId::Known(pid);
        holder.uid = Some(4_000_000_000);
        holder.command = Some("/bin/sleep 100".into());
        holder.kind = Some(LockKind::Flock);
        holder
    }

    fn shown(files: &[FileStatus]) -> String {
        plain(files.len() != 1).of(files, &mut Users::default())
    }

    fn plain(files: bool) -> Table<'static> {
        Table {
            files,
            heads: true,
            colourful: false,
            pids: &[],
        }
    }

    fn look(path: &str, found: io::Result<Vec<Holder>>) -> FileStatus {
        let name = Name::Path(path.into());
        FileStatus { name, found }
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let mut took = holder(7);
        took.confirmed = false;
        let mut unknown = Holder::new(LockMode::Shared);
        unknown.process = ProcessId::Hidden;
        unknown.kind = Some(LockKind::Ofd);
        unknown.range = Some(100..=199);
        let table = shown(&[look("/a", Ok(vec![took, unknown]))]);
        assert_eq!(
            table,
            "PID  USER        KIND    MODE       STATE  BYTES    AGE  COMMAND\n\
             7?   4000000000  FLOCK   exclusive  holds  all      ?    sleep 100\n\
             ?    ?           OFDLCK  shared     holds  100-199  ?    (no permission to see which process)\n"
        );
    }

    #[test]
    fn several_files_are_told_apart_and_each_is_answered() {
        let mut seen = holder(7);
        seen.seen_for = Some(Duration::from_millis(61_700));
        let missing = io::ErrorKind::NotFound.into();
        let files = [
            look("/a\n", Ok(vec![seen])),
            look("/b", Ok(vec![])),
            look("/c", Err(missing)),
        ];
        let table = shown(&files);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[0].starts_with("FILE  PID"), "{table}");
        assert!(lines[1].starts_with("/a\\n  7"), "{table}");
        assert!(lines[1].ends_with("1m 1s  sleep 100"), "{table}");
        assert!(lines[2].starts_with("nobody ") && lines[2].ends_with(" holds /b"));
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn only_a_colourful_table_has_escape_sequences() {
        let files = [look("/a", Ok(vec![holder(7)]))];
        assert!(!shown(&files).contains('\x1b'));
        let colourful = Table {
            colourful: true,
            ..plain(false)
        };
        assert!(colourful.of(&files, &mut Users::default()).contains(BOLD));
    }

    #[test]
    fn without_heads_the_columns_are_as_wide_as_what_is_in_them() {
        let bare = Table {
            heads: false,
            ..plain(false)
        };
        let files = [look("/a", Ok(vec![holder(7)]))];
        let row = bare.of(&files, &mut Users::default());
        assert_eq!(
            row,
            "7  4000000000  FLOCK  exclusive  holds  all  ?  sleep 100\n"
        );
    }

    #[test]
    fn a_file_whose_name_is_not_known_has_its_number() {
        let name = Name::Unknown {
            device: (0xfe, 0),
            inode: 77,
        };
        let found = Ok(vec![holder(7)]);
        let table = plain(true).of(&[FileStatus { name, found }], &mut Users::default());
        assert!(table.contains("\n(inode 77 on fe:00)  7 "), "{table}");
    }
}
