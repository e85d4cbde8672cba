//! Noticing that a task or thread waits for a lock that it has taken itself.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// The task or thread that took the lock of a `TouchFile` latest and, as far as is known, holds it.
///
/// A guard can be sent elsewhere, so this is a hint. It is forgotten at each release: among several
/// shared holders it is not known which one has released.
#[derive(Debug, Default)]
pub(super) struct LatestHolder(AtomicU64);

impl LatestHolder {
    #[inline]
    pub(super) fn acquired(&self) {
        self.0.store(current(), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn released(&self) {
        self.0.store(NOBODY, Ordering::Relaxed);
    }

    /// Whether the caller is the latest holder.
    pub(super) fn is_caller(&self) -> bool {
        self.0.load(Ordering::Relaxed) == current()
    }
}

const NOBODY: u64 = 0;

/// A number of the current task, or of this thread if it runs no task. It is never [`NOBODY`].
#[inline]
fn current() -> u64 {
    match tokio::task::try_id() {
        Some(id) => {
            let mut number = Number(NOBODY);
            id.hash(&mut number);
            // Numbers of threads are even.
            number.0 << 1 | 1
        }
        None => thread(),
    }
}

fn thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(2);

    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(NOBODY) };
    }

    NUMBER.with(|number| {
        if number.get() == NOBODY {
            number.set(NEXT.fetch_add(2, Ordering::Relaxed));
        }
        number.get()
    })
}

/// Takes the number out of the id of a task, which shows it in no other way but as text.
struct Number(u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_tasks_have_numbers_of_their_own() {
        let here = current();
        assert_eq!(current(), here);
        let there = std::thread::spawn(current).join().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let tasks = [(); 2].map(|()| runtime.spawn(async { (current(), current()) }));
        let tasks = tasks.map(|task| runtime.block_on(task).unwrap());
        for (one, again) in tasks {
            assert_eq!(one, again);
        }
        let mut all = vec![here, there, tasks[0].0, tasks[1].0, NOBODY];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5, "{all:?}");
    }
}
