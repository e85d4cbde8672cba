//! The list of all locks that the kernel has.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::locks::{Entry, FileNumber};
use crate::retry_interrupted;

/// Where the kernel lists all locks, as far as our pid namespace may see them.
const LOCKS: &str = "/proc/locks";

/// The most that is read for a message. Any user can take as many locks as it likes, and to read them all
/// takes the kernel as long as the square of their number: almost a second for 24,000 of them.
pub(super) const FOR_A_MESSAGE: u64 = 1 << 18;

/// The locks of `file`, or of all files, as the kernel lists them; no more than so many bytes of the list.
/// They are surely all there are if the second value is true.
pub(super) fn list(file: Option<FileNumber>, most: u64) -> io::Result<(Vec<Entry>, bool)> {
    settled(|| {
        let (pieces, whole) = read_all(LOCKS, most)?;
        let parse = |piece: &String| Entry::parse_all(piece, file);
        Ok((pieces.iter().map(parse).collect(), whole))
    })
}

/// Whether the kernel lists no lock of `file`; not if its list is very long. In a list that changes a lock may
/// be passed over, so this is no more than likely.
#[cfg(feature = "events")]
pub(crate) fn lists_none(file: &File) -> bool {
    use std::os::fd::AsRawFd;

    const MOST: usize = 1 << 16;

    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let Ok(number) = super::place::of(link.as_ref()) else {
        return false;
    };
    read_all(LOCKS, MOST as u64).is_ok_and(|(pieces, _)| {
        let is_listed = |piece: &String| !Entry::parse_all(piece, Some(number)).is_empty();
        pieces.iter().map(String::len).sum::<usize>() < MOST && !pieces.iter().any(is_listed)
    })
}

/// How often each lock is there, in the order in which they are first there.
#[derive(Debug, Default)]
pub(super) struct Counts<'a> {
    pub(super) distinct: Vec<&'a Entry>,
    times: HashMap<&'a Entry, usize>,
}

impl<'a> Counts<'a> {
    pub(super) fn of(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut counts = Self::default();
        for entry in entries {
            let times = counts.times.entry(entry).or_default();
            if *times == 0 {
                counts.distinct.push(entry);
            }
            *times += 1;
        }
        counts
    }

    pub(super) fn times(&self, entry: &Entry) -> usize {
        self.times.get(entry).copied().unwrap_or(0)
    }
}

/// Puts together several readings of a list that changes, unless one reading got it in one piece.
///
/// The kernel keeps the list from changing during a read(2), which returns no more than a page of it.
/// Between two reads, locks that come and go shift the rest: some are then passed over, or read again. So
/// whatever was read at all was there, as often as in the piece that has it the most times.
fn settled(
    mut read: impl FnMut() -> io::Result<(Vec<Vec<Entry>>, bool)>,
) -> io::Result<(Vec<Entry>, bool)> {
    /// Where every other lock of a long list comes and goes, one reading in ten passes one over.
    const READINGS: u32 = 8;
    /// A list of a hundred thousand locks is read once.
    const LONGEST: Duration = Duration::from_millis(50);

    let started = Instant::now();
    let mut seen: Vec<Entry> = Vec::new();
    let mut most: HashMap<Entry, usize> = HashMap::new();
    for _ in 0..READINGS {
        let (pieces, whole) = read()?;
        if whole {
            return Ok((pieces.into_iter().flatten().collect(), true));
        }
        for piece in &pieces {
            let counts = Counts::of(piece);
            for entry in &counts.distinct {
                let count = counts.times(entry);
                match most.get_mut(*entry) {
                    Some(most) => *most = count.max(*most),
                    None => {
                        most.insert((*entry).clone(), count);
                        seen.push((*entry).clone());
                    }
                }
            }
        }
        if started.elapsed() > LONGEST {
            break;
        }
    }
    let repeated = seen.into_iter().map(|entry| {
        let count = most[&entry];
        vec![entry; count]
    });
    Ok((repeated.flatten().collect(), false))
}

/// All that is in a list of /proc, as the reads got it, and whether a single read(2) got it.
fn read_all(path: &str, most: u64) -> io::Result<(Vec<String>, bool)> {
    /// A text that ends well before the end of the smallest page was not cut off by it. That nothing
    /// follows proves nothing: what followed may have moved to where it had been read already.
    const SURELY_ALL: usize = 3_584;
    let mut file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            io::ErrorKind::Unsupported,
            format!("there is no {path}; is /proc mounted?"),
        ),
        _ => error,
    })?;
    let mut buffer = vec![0; 16 * 4096];
    let mut pieces: Vec<String> = Vec::new();
    let mut left = most;
    while left > 0 {
        let length = retry_interrupted(|| file.read(&mut buffer))?;
        if length == 0 {
            break;
        }
        left = left.saturating_sub(length as u64);
        let text = String::from_utf8_lossy(&buffer[..length]);
        match pieces.last_mut() {
            // A lock with more waiters than fit into the buffer.
            Some(last) if !last.ends_with('\n') => last.push_str(&text),
            _ => pieces.push(text.into_owned()),
        }
    }
    let whole = match &pieces[..] {
        [] => true,
        [piece] => piece.len() <= SURELY_ALL,
        _ => false,
    };
    Ok((pieces, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_changes_is_read_again_and_what_was_seen_was_there() {
        let entry = |line: &str| Entry::parse(&format!("1: {line}")).unwrap();
        let (flock, ofd) = (
            entry("FLOCK ADVISORY WRITE 7 fe:00:1 0 EOF"),
            entry("OFDLCK ADVISORY READ -1 fe:00:1 0 EOF"),
        );
        let shifted = [vec![flock.clone(), ofd.clone()], vec![flock.clone()]];
        let (seen, _) = settled(|| Ok((shifted.to_vec(), false))).unwrap();
        assert_eq!(seen, [flock.clone(), ofd.clone()], "it was read again");
        let reads: [&[Vec<Entry>]; 3] = [&[], &shifted[..1], &shifted[1..]];
        let mut reads = reads.into_iter().cycle();
        let (seen, _) = settled(|| Ok((reads.next().unwrap().to_vec(), false))).unwrap();
        assert_eq!(seen, [flock, ofd.clone()], "it was passed over");
        let twice = vec![vec![ofd.clone(), ofd]];
        for whole in [false, true] {
            let seen = settled(|| Ok((twice.clone(), whole))).unwrap();
            assert_eq!(seen, (twice[0].clone(), whole), "a piece is what it is");
        }
    }
}
