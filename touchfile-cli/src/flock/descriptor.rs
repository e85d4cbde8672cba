//! An inherited descriptor, of which only the number is known.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::io::FdFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Another descriptor of the same open file description as descriptor `number`.
///
/// A lock belongs to the open file description, and opening /proc/self/fd/N would make a new one. To
/// borrow a number needs unsafe code. A message from this process to itself does not: the kernel looks up
/// the number, and delivers a descriptor of the same description (unix(7), `SCM_RIGHTS`). pidfd_getfd(2)
/// would also do, but containers forbid it by default.
///
/// # Errors
///
/// `EBADF` if there is no such descriptor, and those of socketpair(2).
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
        // The kernel leaves the descriptor out if the process has too many.
        .ok_or(rustix::io::Errno::MFILE)?;
    // Not all systems can deliver it with this flag. No process is started in between.
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
