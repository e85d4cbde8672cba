//! The report of the doctor.

use std::path::{Path, PathBuf};

use touchfile::Guarantee;
use touchfile::auto::Method;
use touchfile_file::{FileSystemKind, QueuePlace};

use super::advice::{self, Advice};
use super::facts::Facts;
use super::trial::{BACKENDS, LAWS, Law, Outcome, Tried};
use crate::text::printable;

/// Locks work.
const WELL: u8 = 0;
/// Locks are of no use.
const USELESS: u8 = 1;
/// Locks may exclude fewer processes than expected.
const WITH_CARE: u8 = 2;

#[derive(Debug)]
pub(super) struct Report {
    pub(super) path: PathBuf,
    pub(super) facts: Option<Facts>,
    pub(super) advice: Option<Advice>,
    pub(super) tried: Vec<Tried>,
    in_time: bool,
}

impl Report {
    /// A report of what is known so far. Until it is [complete](Self::complete), it says that the time has
    /// run out.
    pub(super) fn new(path: &Path, facts: Option<Facts>) -> Self {
        Self {
            path: path.to_owned(),
            advice: facts.as_ref().map(Advice::on),
            facts,
            tried: Vec::new(),
            in_time: false,
        }
    }

    pub(super) fn add(&mut self, tried: Tried) {
        self.tried.push(tried);
    }

    /// Notes that everything was tried in time.
    pub(super) fn complete(&mut self) {
        self.in_time = true;
    }

    pub(super) fn status(&self) -> u8 {
        self.conclusion().0
    }

    /// The exit status, and the verdict in one line.
    pub(super) fn conclusion(&self) -> (u8, String) {
        let (Some(facts), Some(advice)) = (&self.facts, &self.advice) else {
            return (USELESS, "the file system does not answer".into());
        };
        let (name, backend) = (facts.file_system.name(), advice::name(advice.backend));
        if advice.guarantee == Guarantee::None {
            let verdict = format!("a lock is worth nothing on {name}, as it is mounted");
            return (USELESS, verdict);
        }
        let mut tried = LAWS
            .iter()
            .map(|law| (law, self.outcome(advice.backend, *law)));
        if let Some((law, _)) = tried.find(|(_, it)| matches!(it, Some(Outcome::Broken(_)))) {
            let law = law.name();
            let verdict = format!("do not rely on {backend} here: {law} does not hold");
            return (USELESS, verdict);
        }
        let all_tried = LAWS
            .iter()
            .all(|law| self.outcome(advice.backend, *law) == Some(&Outcome::Holds));
        let local = facts.file_system.kind() == FileSystemKind::Local;
        let verdict = match advice.guarantee {
            _ if facts.export.is_some() => format!(
                "use {backend}, here and on the clients of the NFS server: {name} is exported"
            ),
            Guarantee::CrossHost => format!(
                "use {backend}: on {name} a lock excludes processes on this host and on others"
            ),
            Guarantee::HostLocal if local => format!(
                "use {backend}: on {name} a lock excludes every process that can get at the file"
            ),
            Guarantee::HostLocal => format!(
                "take care: on {name}, as it is mounted, a lock excludes processes on this host only"
            ),
            _ => format!(
                "take care: nobody knows whether a lock on {name} excludes anybody on other hosts"
            ),
        };
        match (all_tried, advice.complete) {
            (true, true) => (WELL, verdict),
            (true, false) => (WITH_CARE, verdict),
            (false, _) => (
                WITH_CARE,
                format!("{verdict}; not all of it could be tried"),
            ),
        }
    }

    fn outcome(&self, backend: Method, law: Law) -> Option<&Outcome> {
        let mut tried = self.tried.iter();
        let tried = tried.find(|tried| (tried.backend, tried.law) == (backend, law));
        tried.map(|tried| &tried.outcome)
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(advice) = &self.advice {
            warnings.extend(advice.warnings.iter().cloned());
        }
        if let Some(QueuePlace::Taken(uid)) = self.facts.as_ref().map(|facts| &facts.queue) {
            warnings.push(format!(
                "the user with number {uid} has taken the name of the queue, so that waits have no order \
                 of their own; in /run/user/UID, which the service manager makes, nobody else can"
            ));
        }
        for tried in &self.tried {
            let (backend, law) = (advice::name(tried.backend), tried.law.name());
            match &tried.outcome {
                Outcome::Holds => {}
                Outcome::Broken(how) => warnings.push(format!("{law}, {backend}: {how}")),
                Outcome::NotTried(why) => {
                    let warning = format!("not tried: {why}");
                    if !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                }
            }
        }
        if !self.in_time {
            warnings.push(format!(
                "it did not answer in time; {} may be left with a directory .touchfile-doctor-*",
                self.path.display()
            ));
        }
        warnings
    }

    pub(super) fn to_text(&self) -> String {
        let mut lines = vec![self.conclusion().1];
        if let (Some(facts), Some(advice)) = (&self.facts, &self.advice) {
            lines.push(String::new());
            let kind = kind(facts.file_system.kind());
            lines.push(row("path", &self.path.to_string_lossy()));
            lines.push(row(
                "file system",
                &format!("{}, {kind}", facts.file_system.name()),
            ));
            if let Some(mount) = &facts.mount {
                lines.push(row("mounted at", &mount.point().to_string_lossy()));
                lines.push(row("with", &mount.all_options()));
            }
            lines.push(row("lock with", advice::name(advice.backend)));
            lines.push(row("guaranteed", guarantee(advice.guarantee)));
            lines.push(row("because", &advice.why));
            lines.push(row("waits in line", &in_line(&facts.queue)));
        }
        lines.push(String::new());
        let names = BACKENDS.map(advice::name);
        lines.push(format!("{:<17}{:<11}{}", "tried", names[0], names[1]));
        for law in LAWS {
            let [one, other] = BACKENDS.map(|backend| match self.outcome(backend, law) {
                Some(Outcome::Holds) => "holds",
                Some(Outcome::Broken(_)) => "broken",
                Some(Outcome::NotTried(_)) | None => "not tried",
            });
            lines.push(format!("{:<17}{one:<11}{other}", law.name()));
        }
        let warnings = self.warnings();
        if !warnings.is_empty() {
            lines.push(String::new());
            lines.extend(warnings.iter().map(|warning| format!("note: {warning}")));
        }
        lines.iter().map(|line| printable(line) + "\n").collect()
    }
}

fn row(name: &str, value: &str) -> String {
    format!("{name:<17}{value}")
}

fn in_line(queue: &QueuePlace) -> String {
    match queue {
        QueuePlace::Abstract => "by an abstract socket name, which another user could take".into(),
        QueuePlace::Directory(directory) => {
            format!("in {}, which no other user can write", directory.display())
        }
        QueuePlace::Taken(uid) => format!("no: the user with number {uid} has taken the name"),
        _ => "no: this system has no queue".into(),
    }
}

/// The word for it in JSON.
pub(super) fn queue(queue: &QueuePlace) -> &'static str {
    match queue {
        QueuePlace::Abstract => "abstract",
        QueuePlace::Directory(_) => "directory",
        QueuePlace::Taken(_) => "taken",
        _ => "none",
    }
}

pub(super) fn kind(kind: FileSystemKind) -> &'static str {
    match kind {
        FileSystemKind::Local => "local",
        FileSystemKind::Network => "network",
        FileSystemKind::Userspace => "user space",
        _ => "unknown",
    }
}

pub(super) fn guarantee(guarantee: Guarantee) -> &'static str {
    match guarantee {
        Guarantee::CrossHost => "cross-host",
        Guarantee::HostLocal => "host-local",
        Guarantee::None => "none",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use touchfile_file::{FileSystem, Mount};

    use super::super::facts::TrialDirectory;
    use super::*;

    /// A report on this file system, with the same outcome for each law.
    fn report(magic: u32, mount: &str, outcome: impl Fn(Law) -> Outcome) -> Report {
        let mount = Mount::parse(&format!("41 27 {mount}")).expect("a line of mountinfo");
        let facts = Facts {
            file_system: FileSystem::from_magic(magic).with_block_device(mount.device().0 != 0),
            mount: Some(mount),
            export: None,
            queue: QueuePlace::Abstract,
            trial_directory: TrialDirectory::None(String::new()),
        };
        let mut report = Report::new(Path::new("/a"), Some(facts));
        for backend in BACKENDS {
            for law in LAWS {
                report.add(Tried {
                    backend,
                    law,
                    outcome: outcome(law),
                });
            }
        }
        report.complete();
        report
    }

    const EXT4: (u32, &str) = (0xEF53, "254:0 / / rw - ext4 /dev/vda rw");
    const NFS4: (u32, &str) = (0x6969, "0:53 / /n rw - nfs4 s:/ rw,vers=4.2");
    const NFS3_NOLOCK: (u32, &str) = (0x6969, "0:53 / /n rw - nfs s:/ rw,vers=3,nolock");
    const P9: (u32, &str) = (0x0102_1997, "0:59 / /h rw - 9p h rw,noextend");
    const SSHFS: (u32, &str) = (0x6573_5546, "0:61 / /f rw - fuse.x me@s: rw,user_id=0");

    #[test]
    fn the_status_says_how_far_locks_can_be_relied_on() {
        for ((magic, mount), status, verdict) in [
            (EXT4, WELL, "use flock: on ext4"),
            (
                NFS4,
                WELL,
                "use fcntl: on nfs a lock excludes processes on this host and on others",
            ),
            (NFS3_NOLOCK, WITH_CARE, "processes on this host only"),
            (SSHFS, WITH_CARE, "nobody knows"),
            (P9, USELESS, "worth nothing on 9p"),
        ] {
            let report = report(magic, mount, |_| Outcome::Holds);
            let text = report.to_text();
            assert_eq!(report.status(), status, "{text}");
            assert!(
                text.lines()
                    .next()
                    .is_some_and(|line| line.contains(verdict)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_was_tried_in_vain_outweighs_what_is_promised() {
        let (magic, mount) = EXT4;
        let broken = |law| match law {
            Law::Identity => Outcome::Broken("it went on".into()),
            _ => Outcome::Holds,
        };
        let report = report(magic, mount, broken);
        let text = report.to_text();
        assert_eq!(report.status(), USELESS);
        assert!(
            text.starts_with("do not rely on flock here: identity does not hold"),
            "{text}"
        );
        assert!(text.contains("note: identity, flock: it went on"), "{text}");
    }

    #[test]
    fn what_was_not_tried_is_not_taken_for_granted() {
        let (magic, mount) = NFS4;
        let report = report(magic, mount, |_| Outcome::NotTried("no permission".into()));
        assert_eq!(report.status(), WITH_CARE);
        let text = report.to_text();
        assert_eq!(
            text.matches("note: not tried: no permission").count(),
            1,
            "{text}"
        );
    }

    #[test]
    fn a_file_system_that_does_not_even_tell_what_it_is_is_useless() {
        let report = Report::new(Path::new("/a\n"), None);
        assert_eq!(report.status(), USELESS);
        let text = report.to_text();
        assert!(
            text.starts_with("the file system does not answer\n"),
            "{text}"
        );
        assert!(text.contains("/a\\n may be left with"), "{text}");
    }
}
