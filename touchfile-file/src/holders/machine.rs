//! The locks of all files.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use super::LockedFile;
use super::join::{self, Known};
use super::list::list;
use super::locks::{Entry, FileNumber};
use super::scan::{Scan, each_descriptor, processes};

/// [`locked_files`](super::locked_files), as Linux tells.
pub(super) fn locked_files() -> io::Result<Vec<LockedFile>> {
    let (listed, _) = list(None, u64::MAX)?;
    let mut scans: BTreeMap<FileNumber, Scan> = BTreeMap::new();
    let mut paths: BTreeMap<FileNumber, PathBuf> = BTreeMap::new();
    let mut hidden = Vec::new();
    for pid in processes()? {
        let looked = each_descriptor(pid, &|| true, |descriptor, fdinfo| {
            for entry in Entry::parse_fdinfo(fdinfo) {
                let file = entry.file;
                scans.entry(file).or_default().owners.push((pid, entry));
                if !paths.contains_key(&file) {
                    let path = fs::read_link(format!("/proc/{pid}/fd/{descriptor}"));
                    paths.extend(path.map(|path| (file, path)));
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
    let mut found = Vec::new();
    for file in files {
        let listed = listed.get(&file).map_or(&[][..], Vec::as_slice);
        let mut scan = scans.remove(&file).unwrap_or_default();
        scan.hidden.clone_from(&hidden);
        let joined = join::join(listed, &scan, &mut |pid| facts.of(pid));
        found.push((file, joined));
    }
    // A holder that was not found may have released between the two readings.
    let (still, _) = list(None, u64::MAX)?;
    let still = by_file(still);
    let found = found.into_iter().map(|(file, joined)| {
        let still = still.get(&file).map_or(&[][..], Vec::as_slice);
        LockedFile {
            path: paths.remove(&file),
            device: file.device,
            inode: file.inode,
            holders: join::those_still_there(joined, still),
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
