//! The text about a wait.

use std::path::Path;

use touchfile::{Holder, LockMode};

use crate::run::what;

/// The lock file, and the holders and those who wait before this wait, as far as they are known.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) mode: LockMode,
    pub(super) permits: Option<usize>,
    pub(super) path: &'a Path,
    pub(super) holders: &'a [Holder],
}

impl Message<'_> {
    /// A whole line, for a log.
    pub(super) fn whole(&self) -> String {
        match Holder::in_words(self.holders) {
            Some(holders) => format!("{}, {holders}", self.wait()),
            None => self.wait(),
        }
    }

    /// The text in a number of columns. The holder comes first, because it is most useful to the user.
    pub(super) fn within(&self, columns: usize) -> String {
        let holders = Holder::in_words(self.holders);
        let long = match &holders {
            Some(holders) => format!("{holders}; {}", self.wait()),
            None => self.wait(),
        };
        if long.chars().count() <= columns {
            return long;
        }
        let mut holding = self.holders.iter().filter(|holder| !holder.waiting);
        let start = match holding.next() {
            Some(first) => format!("{}{} has ", briefly(first), others(holding.count())),
            None => "waiting for ".into(),
        };
        let left = columns.saturating_sub(start.chars().count());
        let line = waiting(self.holders.iter().filter(|holder| holder.waiting).count());
        match left.checked_sub(line.chars().count()) {
            Some(left) if left >= PATH => format!("{start}{}{line}", end_of(self.path, left)),
            // There is no room for both, and the path says more.
            _ => format!("{start}{}", end_of(self.path, left)),
        }
    }

    fn wait(&self) -> String {
        let what = what(self.mode, self.permits, self.path);
        format!("waiting for {what}")
    }
}

/// How many columns a path has at least, unless there is nothing beside it that could be left out.
const PATH: usize = 12;

/// How many hold the lock besides the first.
fn others(count: usize) -> String {
    match count {
        0 => String::new(),
        more => format!(" +{more}"),
    }
}

/// How many wait before this wait.
fn waiting(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => ", 1 waits".into(),
        more => format!(", {more} wait"),
    }
}

/// A holder in about twenty letters.
fn briefly(holder: &Holder) -> String {
    const PROGRAM: usize = 12;
    let command = holder.short_command().unwrap_or_default();
    let program = command.split(' ').next().unwrap_or_default();
    let program: String = program.chars().take(PROGRAM).collect();
    match (holder.pid(), program.as_str()) {
        (Some(pid), "") => format!("pid {pid}"),
        (Some(pid), program) => format!("pid {pid} ({program})"),
        (None, "") => holder.host.clone().unwrap_or_else(|| "somebody".into()),
        (None, program) => program.into(),
    }
}

/// The end of a path in a number of columns. The end is what distinguishes lock files.
fn end_of(path: &Path, columns: usize) -> String {
    let path = path.display().to_string();
    let count = path.chars().count();
    if count <= columns {
        return path;
    }
    let end = path.chars().skip(count - columns.saturating_sub(1));
    ['…'].into_iter().chain(end).take(columns).collect()
}

#[cfg(test)]
mod tests {
    use touchfile::ProcessId;

    use super::*;

    const LOCK: &str = "/var/lib/myapp/deploy.lock";

    fn holder(pid: u32) -> Holder {
        let mut holder = Holder::new(LockMode::Exclusive);
        holder.process = ProcessId::Known(pid);
        holder.command = Some("/usr/bin/touchfile run deploy.lock -- ./deploy.sh --all".into());
        holder
    }

    fn within(columns: usize, holders: &[Holder]) -> String {
        let message = Message {
            mode: LockMode::Exclusive,
            permits: None,
            path: Path::new(LOCK),
            holders,
        };
        let text = message.within(columns);
        assert!(text.chars().count() <= columns.max(32), "{columns}: {text}");
        text
    }

    #[test]
    fn the_holder_comes_first_and_is_there_in_a_narrow_window() {
        let holders = [holder(12_345)];
        let long = within(200, &holders);
        assert!(long.starts_with("held by pid 12345 (touchfile run deploy.lock"));
        assert!(long.ends_with(&format!("; waiting for the exclusive lock on {LOCK}")));
        assert_eq!(
            within(60, &holders),
            format!("pid 12345 (touchfile) has {LOCK}")
        );
        assert_eq!(
            within(40, &holders),
            "pid 12345 (touchfile) has …p/deploy.lock"
        );
        assert_eq!(within(32, &holders), "pid 12345 (touchfile) has ….lock");
        assert_eq!(
            within(40, &[holder(12_345), holder(12_346)]),
            "pid 12345 (touchfile) +1 has …eploy.lock"
        );
    }

    #[test]
    fn those_who_wait_before_are_counted_where_there_is_room() {
        let mut first = holder(12_346);
        first.waiting = true;
        let mut second = holder(12_347);
        second.waiting = true;
        let all = [holder(12_345), first, second];
        assert_eq!(
            within(80, &all),
            format!("pid 12345 (touchfile) has {LOCK}, 2 wait")
        );
        assert_eq!(
            within(60, &all[..2]),
            "pid 12345 (touchfile) has …ar/lib/myapp/deploy.lock, 1 waits"
        );
        assert_eq!(within(40, &all), "pid 12345 (touchfile) has …p/deploy.lock");
        assert_eq!(
            within(46, &all),
            "pid 12345 (touchfile) has …deploy.lock, 2 wait"
        );
        assert_eq!(
            within(40, &all[1..]),
            "waiting for …b/myapp/deploy.lock, 2 wait"
        );
        let long = within(250, &all);
        assert!(long.contains("; 2 wait before this one: pid 12346, pid 12347; waiting for"));
    }

    #[test]
    fn where_nobody_is_known_the_end_of_the_path_is_there() {
        assert_eq!(
            within(100, &[]),
            format!("waiting for the exclusive lock on {LOCK}")
        );
        assert_eq!(within(32, &[]), "waiting for …b/myapp/deploy.lock");
        let mut unknown = Holder::new(LockMode::Exclusive);
        unknown.process = ProcessId::Hidden;
        assert_eq!(within(32, &[unknown]), "somebody has …/myapp/deploy.lock");
    }
}
