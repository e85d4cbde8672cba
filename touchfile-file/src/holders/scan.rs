//! Looking through the open files of all processes.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::locks::{Entry, FileNumber};
use crate::wait_notice::{self, WaitNotice};

/// The locks of one file, as seen from the processes that have it open.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// A process, and a lock that one of its descriptors has; one for each descriptor.
    pub(super) owners: Vec<(u32, Entry)>,
    /// The processes whose descriptors we may not look at.
    pub(super) hidden: Vec<u32>,
    /// The notices of waits, for whatever file, that are not believed yet.
    pub(super) told: Vec<Told>,
}

/// What a process tells of a wait.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) pid: u32,
    /// The descriptor by which it tells that.
    pub(super) descriptor: String,
    pub(super) notice: WaitNotice,
}

impl Scan {
    /// Looks at every process there is, for as long as it `goes_on`.
    pub(super) fn of(file: FileNumber, goes_on: &dyn Fn() -> bool) -> io::Result<Self> {
        Ok(Self::of_some(processes()?, file, goes_on))
    }

    /// Looks at these processes, as far as they are still there, for as long as it `goes_on`.
    pub(super) fn of_some(
        processes: impl IntoIterator<Item = u32>,
        file: FileNumber,
        goes_on: &dyn Fn() -> bool,
    ) -> Self {
        let mut scan = Self::default();
        for pid in processes {
            let looked = each_descriptor(pid, goes_on, |descriptor, target, fdinfo| {
                scan.hear(pid, descriptor, target);
                let locks = Entry::parse_fdinfo(fdinfo).filter(|lock| lock.file == file);
                scan.owners.extend(locks.map(|lock| (pid, lock)));
            });
            match looked {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    scan.hidden.push(pid);
                }
                Ok(()) | Err(_) => {} // looked at, or gone
            }
        }
        scan
    }

    /// Adds the notices of all processes, for a message. Other descriptors are not looked at, and of a process with
    /// many of them not all.
    pub(super) fn hear_all(&mut self, goes_on: &dyn Fn() -> bool) -> io::Result<()> {
        const MOST: usize = 4_096;

        self.told.clear();
        for pid in processes()? {
            let left = Cell::new(MOST);
            let goes_on = || left.replace(left.get().saturating_sub(1)) > 0 && goes_on();
            let looked = each_link(pid, &goes_on, |descriptor, target| {
                self.hear(pid, descriptor, target);
                Ok(())
            });
            drop(looked); // gone, or not for us to look at
        }
        Ok(())
    }

    /// Notes what `target`, where a descriptor leads, tells of a wait. A process can tell what it likes, and is
    /// heard as often as one of ours tells something.
    pub(super) fn hear(&mut self, pid: u32, descriptor: &str, target: &Path) {
        let Some(notice) = WaitNotice::parse(target) else {
            return;
        };
        let before = self.told.iter().rev().take_while(|told| told.pid == pid);
        if before.count() < wait_notice::MOST {
            self.told.push(Told {
                pid,
                descriptor: descriptor.into(),
                notice,
            });
        }
    }
}

/// Every process there is; some may be gone by the time they are looked at.
pub(crate) fn processes() -> io::Result<Vec<u32>> {
    let mut processes = Vec::new();
    for process in fs::read_dir("/proc")? {
        let name = process?.file_name();
        processes.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(processes)
}

/// Shows each descriptor of a process that leads to a file: its number, where it leads, and the text of its
/// fdinfo. It ends early when it does not `go_on`, as a process can have a million descriptors.
pub(crate) fn each_descriptor(
    pid: u32,
    goes_on: &dyn Fn() -> bool,
    mut show: impl FnMut(&str, &Path, &str),
) -> io::Result<()> {
    let mut text = String::new();
    each_link(pid, goes_on, |number, target| {
        text.clear();
        let read = File::open(format!("/proc/{pid}/fdinfo/{number}"))
            .and_then(|mut info| info.read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(_) => {} // closed meanwhile
            Ok(_) => show(number, target, &text),
        }
        Ok(())
    })
}

/// Shows each descriptor of a process that leads to a file: its number, and where it leads.
fn each_link(
    pid: u32,
    goes_on: &dyn Fn() -> bool,
    mut show: impl FnMut(&str, &Path) -> io::Result<()>,
) -> io::Result<()> {
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd"))? {
        if !goes_on() {
            break;
        }
        let descriptor = descriptor?;
        // Where it leads is cheap to learn, and rules out sockets and pipes, which are the
        // most. Asking what it is, by stat(2), could wait for a server.
        let target = fs::read_link(descriptor.path()).unwrap_or_default();
        let bytes = target.as_os_str().as_encoded_bytes();
        if !bytes.is_empty() && !bytes.starts_with(b"/") {
            continue;
        }
        if let Some(number) = descriptor.file_name().to_str() {
            show(number, &target)?;
        }
    }
    Ok(())
}
