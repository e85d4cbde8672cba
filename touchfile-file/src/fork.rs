//! Telling a process from the children it forked, without a system call.
//!
//! A forked child has a copy of every handle, on the same open file descriptions: were it to
//! unlock one, it would free its parent's lock (tox-dev/filelock#634, xerj#305). So each handle
//! remembers the process it was opened in, and each lock and unlock asks whether it is still
//! there. getpid(2) would answer, for a fifth of what a whole uncontended lock costs; a page that
//! the kernel empties in every forked child (`MADV_WIPEONFORK`, madvise(2), Linux 4.14) answers
//! for nothing.
//!
//! All the `unsafe` code in it is in `wiped_on_fork`.
#![allow(unsafe_code)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A process, as told from all its ancestors and descendants.
///
/// Unlike a process id it is never reused along a line of descent, and it does not repeat in a
/// child's new pid namespace. Where the system cannot empty a page on fork, it is the process id.
///
/// ```
/// use touchfile_file::ForkGeneration;
///
/// let here = ForkGeneration::current();
/// assert!(here.is_current()); // and in a child that is forked now it would be false
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ForkGeneration(u64);

impl ForkGeneration {
    /// The process that calls this.
    #[inline]
    #[must_use]
    pub fn current() -> Self {
        static CELL: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();
        /// A child starts with its parent's value, and so with numbers its ancestors do not have.
        static LAST: AtomicU64 = AtomicU64::new(0);
        match CELL.get_or_init(wiped_on_fork) {
            Some(cell) => Self(generation(*cell, &LAST)),
            None => Self(u64::from(std::process::id())),
        }
    }

    /// Whether this is the process that calls this; false in a child that it forked since.
    #[inline]
    #[must_use]
    pub fn is_current(self) -> bool {
        self == Self::current()
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// The number of this process in its line of descent: what `cell` holds, or the one after `last`
/// if the kernel has emptied it.
#[inline]
fn generation<N: Number>(cell: &N, last: &N) -> u64 {
    match cell.read() {
        // Another thread of this new process may be quicker: then its number counts.
        0 => cell.fill(last.next()),
        known => known,
    }
}

/// An atomic number: std's, and in the test loom's.
///
/// Relaxed is enough: nothing else is read on the strength of what a number says.
trait Number {
    fn read(&self) -> u64;

    /// Adds one and returns the sum.
    fn next(&self) -> u64;

    /// Stores `new` in place of zero and returns what is stored.
    fn fill(&self, new: u64) -> u64;
}

/// The same for both kinds, which have no trait in common.
macro_rules! impl_number {
    ($atomic:ty) => {
        impl Number for $atomic {
            #[inline]
            fn read(&self) -> u64 {
                self.load(Ordering::Relaxed)
            }

            fn next(&self) -> u64 {
                self.fetch_add(1, Ordering::Relaxed) + 1
            }

            fn fill(&self, new: u64) -> u64 {
                self.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed)
                    .map_or_else(|first| first, |_| new)
            }
        }
    };
}

impl_number!(AtomicU64);

/// A number that every forked child finds to be zero, or `None` if the system has no such thing.
#[cfg(target_os = "linux")]
fn wiped_on_fork() -> Option<&'static AtomicU64> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    let length = rustix::param::page_size();
    // SAFETY: a new private mapping at an address of the kernel's choice touches no memory that
    // anything else uses.
    let page = unsafe {
        mmap_anonymous(
            std::ptr::null_mut(),
            length,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )
    }
    .ok()?;
    // SAFETY: the range is the mapping just made, and nothing has been stored in it.
    let advised = unsafe { madvise(page, length, Advice::LinuxWipeOnFork) };
    if advised.is_err() {
        // SAFETY: the range is the mapping just made, and nothing refers to it. Failing to unmap
        // it costs a page and nothing else.
        unsafe { munmap(page, length) }.ok();
        return None;
    }
    // SAFETY: the page is mapped readable and writable, is never unmapped, is aligned to far more
    // than eight bytes, starts as zeros (a valid AtomicU64), and is used through this reference
    // only. The kernel writes to it only in a new process, before any of its code runs.
    Some(unsafe { &*page.cast::<AtomicU64>() })
}

#[cfg(not(target_os = "linux"))]
fn wiped_on_fork() -> Option<&'static AtomicU64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let process = ForkGeneration::current();
        assert!(process.is_current());
        assert_eq!(
            process,
            std::thread::spawn(ForkGeneration::current).join().unwrap()
        );
    }

    #[test]
    fn an_emptied_cell_gives_a_new_process() {
        let (cell, last) = (AtomicU64::new(0), AtomicU64::new(0));
        let parent = generation(&cell, &last);
        assert_eq!(generation(&cell, &last), parent);
        cell.store(0, Ordering::Relaxed); // what the kernel does in a child
        assert_ne!(generation(&cell, &last), parent);
    }

    impl_number!(loom::sync::atomic::AtomicU64);

    #[test]
    fn threads_of_a_new_process_agree_on_its_number_in_every_interleaving() {
        use loom::sync::atomic::AtomicU64;

        loom::model(|| {
            let parent = 7;
            let numbers = loom::sync::Arc::new((AtomicU64::new(0), AtomicU64::new(parent)));
            let other = numbers.clone();
            let other = loom::thread::spawn(move || generation(&other.0, &other.1));
            let mine = generation(&numbers.0, &numbers.1);
            assert_eq!(mine, other.join().unwrap());
            assert_eq!(mine, generation(&numbers.0, &numbers.1));
            assert!(mine > parent);
        });
    }
}
