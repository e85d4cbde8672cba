//! The locks of all files.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;

use super::LockedFile;
use super::facts::Known;
use super::join;
use super::list::list;
use super::locks::{Entry, FileNumber};
use super::scan::{Scan, each_descriptor, processes};
use super::waits;

/// [`locked_files`](super::locked_files), as Linux tells.
pub(super) fn locked_files() -> io::Result<Vec<LockedFile>> {
    let (listed, _) = list(None, u64::MAX)?;
    let mut scans: BTreeMap<FileNumber, Scan> = BTreeMap::new();
    let mut paths: BTreeMap<FileNumber, PathBuf> = BTreeMap::new();
    let mut hidden = Vec::new();
    let mut all = Scan::default();
    for pid in processes()? {
        let looked = each_descriptor(pid, &|| true, |descriptor, target, fdinfo| {
            all.hear(pid, descriptor, target);
            for entry in Entry::parse_fdinfo(fdinfo) {
                let file = entry.file;
                scans.entry(file).or_default().owners.push((pid, entry));
                if !target.as_os_str().is_empty() {
                    paths.entry(file).or_insert_with(|| target.to_owned());
                }
            }
        });
        if looked.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            hidden.push(pid);
        }
    }
    // In the order of the kernel's list, and then what is not in it: a process outside of our pid
    // namespace took it.
    let mut files: Vec<FileNumber> = Vec::new();
    let mut known: HashSet<FileNumber> = HashSet::new();
    let of_list = listed.iter().map(|entry| entry.file);
    for file in of_list.chain(scans.keys().copied()) {
        if known.insert(file) {
            files.push(file);
        }
    }
    let listed = by_file(listed);
    let mut facts = Known::default();
    let mut waits = waits::believed(&all, &mut facts, &|| true);
    let mut found = Vec::new();
    for file in files {
        let listed = listed.get(&file).map_or(&[][..], Vec::as_slice);
        let mut scan = scans.remove(&file).unwrap_or_default();
        scan.hidden.clone_from(&hidden);
        let mut joined = join::join(listed, &scan, &mut |pid| facts.of(pid));
        let (of_file, of_others) = waits.into_iter().partition(|wait| wait.file == file);
        waits = of_others;
        let waiters = waits::waiters(of_file, &mut joined);
        found.push((file, joined, waiters));
    }
    // A holder that was not found may have released between the two readings.
    let (still, _) = list(None, u64::MAX)?;
    let still = by_file(still);
    let found = found.into_iter().map(|(file, joined, waiters)| {
        let still = still.get(&file).map_or(&[][..], Vec::as_slice);
        let mut holders = join::those_still_there(joined, still);
        holders.extend(waiters);
        LockedFile {
            path: paths.remove(&file),
            device: file.device,
            inode: file.inode,
            holders,
        }
    });
    Ok(found.filter(|file| !file.holders.is_empty()).collect())
}

fn by_file(entries: Vec<Entry>) -> BTreeMap<FileNumber, Vec<Entry>> {
    let mut files: BTreeMap<FileNumber, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        files.entry(entry.file).or_default().push(entry);
    }
    files
}
