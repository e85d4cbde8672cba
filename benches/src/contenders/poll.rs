//! What one writes first: try, and if it is taken, sleep for 10 ms and try again.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{AsyncLock, Contender, Family, Mode, Participant, Waits, open_file};

const PAUSE: Duration = Duration::from_millis(10);

pub(super) const CONTENDER: Contender = Contender {
    name: "10 ms poll",
    open: Participant::task::<Poll>,
    family: Family::Flock,
    waits: Waits::Task,
    shared: true,
    deadline: true,
    cycle_only: false,
};

struct Poll(File);

pub(super) struct Guard<'a>(&'a File);

impl AsyncLock for Poll {
    type Guard<'a> = Guard<'a>;

    fn open(path: &Path) -> io::Result<Self> {
        open_file(path).map(Self)
    }

    async fn lock(&mut self, mode: Mode) -> io::Result<Guard<'_>> {
        let operation = match mode {
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
            Mode::Shared => FlockOperation::NonBlockingLockShared,
        };
        loop {
            match flock(&self.0, operation) {
                Ok(()) => return Ok(Guard(&self.0)),
                Err(Errno::WOULDBLOCK) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        flock(self.0, FlockOperation::Unlock).expect("it is held");
    }
}
