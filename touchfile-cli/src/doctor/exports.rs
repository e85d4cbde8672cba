//! Finds out whether an NFS server on this host exports a directory.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The entry of a list of exports to which a path belongs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Export {
    /// The exported directory.
    pub(super) directory: PathBuf,
    /// The list with the entry.
    pub(super) list: PathBuf,
    /// Whether it is exported now, and not only configured.
    pub(super) active: bool,
}

/// The lists of active exports come first: the kernel's list for clients that have asked, and the list of
/// exportfs(8) for all.
const LISTS: [(&str, bool); 3] = [
    ("/proc/fs/nfsd/exports", true),
    ("/var/lib/nfs/etab", true),
    ("/etc/exports", false),
];

/// The directory of more lists like /etc/exports (exports(5)).
const MORE_LISTS: &str = "/etc/exports.d";

/// The export to which `path` belongs. The path must be absolute and without links.
pub(super) fn find(path: &Path) -> Option<Export> {
    let lists = LISTS.map(|(list, active)| (PathBuf::from(list), active));
    let more = fs::read_dir(MORE_LISTS).into_iter().flatten().flatten();
    let more = more.map(|entry| entry.path());
    let more = more.filter(|list| list.extension().is_some_and(|end| end == "exports"));
    let mut lists = lists.into_iter().chain(more.map(|list| (list, false)));
    lists.find_map(|(list, active)| {
        let directories = parse(&fs::read(&list).ok()?);
        let mut above = directories
            .into_iter()
            .filter(|directory| path.starts_with(directory));
        above.next().map(|directory| Export {
            directory,
            list,
            active,
        })
    })
}

/// The directories in a list: the first word of each line (exports(5)). In quotes it may contain spaces,
/// and `\040` stands for a space.
fn parse(list: &[u8]) -> Vec<PathBuf> {
    // A backslash at the end of a line continues it.
    let mut joined = Vec::new();
    for line in list.split(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\\") {
            Some(line) => joined.extend_from_slice(line),
            None => {
                joined.extend_from_slice(line);
                joined.push(b'\n');
            }
        }
    }
    let lines = joined.split(|byte| *byte == b'\n');
    lines.filter_map(directory).collect()
}

fn directory(line: &[u8]) -> Option<PathBuf> {
    let line = line.trim_ascii_start();
    let word = match line.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|byte| *byte == b'"').next()?,
        None => line.split(u8::is_ascii_whitespace).next()?,
    };
    // Comments and other lines do not begin with a slash.
    word.starts_with(b"/")
        .then(|| PathBuf::from(OsString::from_vec(unescaped(word))))
}

/// Replaces each `\ooo` of three octal digits by its byte.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let value = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match value {
            Some(byte) => {
                plain.push(byte);
                rest = &after[3..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directories_of_each_sort_of_list_are_found() {
        let list = b"# Version 1.1\n# Path Client(Flags) # IPs\n\
            /export\t10.0.0.0/8(rw,sync,no_subtree_check)\n\
            \n\
            \"/a b\" *(ro)\n\
            /c\\040d *(ro)\n\
            /e \\\n  host1(rw) \\\n  host2(ro)\n\
            \xff\xfe not one\n";
        let expected = ["/export", "/a b", "/c d", "/e"].map(PathBuf::from);
        assert_eq!(parse(list), expected);
    }

    #[test]
    fn what_only_looks_like_an_escape_is_left_as_it_is() {
        assert_eq!(unescaped(b"/a\\9x\\04"), b"/a\\9x\\04");
        assert_eq!(unescaped(b"/a\\134"), b"/a\\");
    }
}
