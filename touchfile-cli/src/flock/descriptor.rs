//! A descriptor that somebody left to us, by its number alone.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::io::FdFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Another descriptor of the open file that `number` is a descriptor of in this process.
///
/// A lock belongs to the open file description, so it must be this one's: opening
/// /proc/self/fd/N would make a new one. To borrow a number takes a promise that the compiler
/// cannot check. A message to ourselves needs none: the kernel looks the number up, and what it
/// delivers is ours, on the same description (unix(7), `SCM_RIGHTS`). pidfd_getfd(2) would do as
/// well, but containers forbid it by default.
///
/// # Errors
///
/// `EBADF` if there is none, and whatever keeps a pair of sockets from being made.
pub(super) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    let (to, from) = UnixStream::pair()?;
    let rights = [number];
    let message = [ControlMessage::ScmRights(&rights)];
    let payload = [IoSlice::new(b"!")];
    sendmsg::<()>(to.as_raw_fd(), &payload, &message, MsgFlags::empty(), None)?;

    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut payload = [IoSliceMut::new(&mut byte)];
    recvmsg(&from, &mut payload, &mut control, RecvFlags::empty())?;
    let received = control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        })
        // What the kernel could not install it leaves out: there are too many.
        .ok_or(rustix::io::Errno::MFILE)?;
    // Not all systems can do so as they deliver it, and nothing is started meanwhile.
    rustix::io::fcntl_setfd(&received, FdFlags::CLOEXEC)?;
    Ok(received)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn a_duplicate_is_of_the_same_open_file() {
        let file = File::open("Cargo.toml").unwrap();
        let mut other = File::from(duplicate(file.as_raw_fd()).unwrap());
        other.read_exact(&mut [0; 7]).unwrap();
        assert_eq!((&file).stream_position().unwrap(), 7);
    }

    #[test]
    fn a_number_that_nothing_is_open_under_is_refused() {
        for number in [-1, 1 << 20] {
            let error = duplicate(number).unwrap_err();
            let bad = rustix::io::Errno::BADF.raw_os_error();
            assert_eq!(error.raw_os_error(), Some(bad), "{number}");
        }
    }
}
