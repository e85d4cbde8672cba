//! Looking through the open files of all processes.

use std::fs::{self, File};
use std::io::{self, Read};

use super::locks::{Entry, FileNumber};

/// The locks of one file, as seen from the processes that have it open.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// A process, and a lock that one of its descriptors has; one for each descriptor.
    pub(super) owners: Vec<(u32, Entry)>,
    /// The processes whose descriptors we may not look at.
    pub(super) hidden: Vec<u32>,
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
            let looked = each_descriptor(pid, goes_on, |_, fdinfo| {
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

/// Shows each descriptor of a process that leads to a file: its number, and the text of its fdinfo. It
/// ends early when it does not `go_on`, as a process can have a million descriptors.
pub(crate) fn each_descriptor(
    pid: u32,
    goes_on: &dyn Fn() -> bool,
    mut show: impl FnMut(&str, &str),
) -> io::Result<()> {
    let mut text = String::new();
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd"))? {
        if !goes_on() {
            break;
        }
        let descriptor = descriptor?;
        // Where it leads is cheap to learn, and rules out sockets and pipes, which are the
        // most. Asking what it is, by stat(2), could wait for a server.
        let target = fs::read_link(descriptor.path());
        if target.is_ok_and(|target| !target.as_os_str().as_encoded_bytes().starts_with(b"/")) {
            continue;
        }
        let name = descriptor.file_name();
        let Some(number) = name.to_str() else {
            continue;
        };
        text.clear();
        let read = File::open(format!("/proc/{pid}/fdinfo/{number}"))
            .and_then(|mut info| info.read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(_) => {} // closed meanwhile
            Ok(_) => show(number, &text),
        }
    }
    Ok(())
}
