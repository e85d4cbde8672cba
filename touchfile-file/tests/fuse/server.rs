//! A file system of one directory with empty files, and locks. It answers when it is told to.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyCreate, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, Request, TimeOrNow,
};

/// Nothing is to be remembered by the kernel: each call asks.
const NEVER: Duration = Duration::ZERO;

/// A call of the kernel that can be left without an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    Close,
    Lock,
    Open,
    Stat,
    Statfs,
    Unlock,
}

/// What the test and the file system share.
#[derive(Clone, Default)]
pub(crate) struct Server(Arc<Mutex<State>>);

type Answer = Box<dyn FnOnce(&mut State) + Send>;

#[derive(Default)]
struct State {
    stalling: Option<Call>,
    stalled: Vec<Answer>,
    files: BTreeMap<OsString, u64>,
    last: u64,
    /// How often each file is open.
    open: HashMap<u64, usize>,
    /// Who holds each file's lock, and whether exclusively.
    held: HashMap<u64, Vec<(LockOwner, bool)>>,
}

impl Server {
    /// From now on, `call` gets no answer.
    pub(crate) fn stall(&self, call: Call) {
        self.0.lock().unwrap().stalling = Some(call);
    }

    /// Answers all that wait, and whatever comes.
    pub(crate) fn go_on(&self) {
        let mut state = self.0.lock().unwrap();
        state.stalling = None;
        for answer in std::mem::take(&mut state.stalled) {
            answer(&mut state);
        }
    }

    /// How many calls wait for their answers.
    pub(crate) fn stalled(&self) -> usize {
        self.0.lock().unwrap().stalled.len()
    }

    pub(crate) fn holders(&self) -> usize {
        self.0.lock().unwrap().held.values().map(Vec::len).sum()
    }

    pub(crate) fn open_files(&self) -> usize {
        self.0.lock().unwrap().open.values().sum()
    }

    pub(crate) fn files(&self) -> usize {
        self.0.lock().unwrap().files.len()
    }

    fn serve(&self, call: Call, answer: impl FnOnce(&mut State) + Send + 'static) {
        let mut state = self.0.lock().unwrap();
        if state.stalling == Some(call) {
            state.stalled.push(Box::new(answer));
        } else {
            answer(&mut state);
        }
    }
}

impl State {
    fn create(&mut self, name: OsString) -> u64 {
        self.last = self.last.max(INodeNo::ROOT.0) + 1;
        let (last, name) = (self.last, name);
        *self.files.entry(name).or_insert(last)
    }

    fn try_lock(&mut self, file: u64, owner: LockOwner, exclusive: bool) -> bool {
        let holders = self.held.entry(file).or_default();
        let others = holders.iter().filter(|(other, _)| *other != owner);
        if others.into_iter().any(|(_, theirs)| exclusive || *theirs) {
            return false;
        }
        holders.retain(|(other, _)| *other != owner);
        holders.push((owner, exclusive));
        true
    }

    fn unlock(&mut self, file: u64, owner: LockOwner) {
        if let Some(holders) = self.held.get_mut(&file) {
            holders.retain(|(other, _)| *other != owner);
        }
    }
}

fn attributes(inode: u64) -> FileAttr {
    let root = inode == INodeNo::ROOT.0;
    FileAttr {
        ino: INodeNo(inode),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if root {
            FileType::Directory
        } else {
            FileType::RegularFile
        },
        perm: if root { 0o777 } else { 0o666 },
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        config
            .add_capabilities(InitFlags::FUSE_FLOCK_LOCKS)
            .map_err(|_| io::Error::other("this kernel has no flock(2) on FUSE"))
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_owned();
        self.serve(Call::Stat, move |state| match state.files.get(&name) {
            Some(inode) => reply.entry(&NEVER, &attributes(*inode), Generation(0)),
            None => reply.error(Errno::ENOENT),
        });
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.serve(Call::Stat, move |_| {
            reply.attr(&NEVER, &attributes(inode.0));
        });
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.attr(&NEVER, &attributes(inode.0));
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.0.lock().unwrap().files.remove(name) {
            Some(_) => reply.ok(),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let name = name.to_owned();
        self.serve(Call::Open, move |state| {
            let inode = state.create(name);
            *state.open.entry(inode).or_default() += 1;
            let (file, flags) = (FileHandle(0), FopenFlags::empty());
            reply.created(&NEVER, &attributes(inode), Generation(0), file, flags);
        });
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.serve(Call::Open, move |state| {
            *state.open.entry(inode.0).or_default() += 1;
            reply.opened(FileHandle(0), FopenFlags::empty());
        });
    }

    /// What close(2) waits for.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.serve(Call::Close, move |_| reply.ok());
    }

    fn release(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        owner: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let mut state = self.0.lock().unwrap();
        *state.open.entry(inode.0).or_default() -= 1;
        if let Some(owner) = owner {
            state.unlock(inode.0, owner);
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.serve(Call::Statfs, move |_| {
            reply.statfs(0, 0, 0, 0, 0, 512, 255, 0);
        });
    }

    /// flock(2), which the kernel hands on as a lock on the whole file.
    fn setlk(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        owner: LockOwner,
        _: u64,
        _: u64,
        kind: i32,
        _: u32,
        _: bool,
        reply: ReplyEmpty,
    ) {
        // F_RDLCK, F_WRLCK and F_UNLCK are 0, 1 and 2 on Linux (fcntl.h).
        if kind == 2 {
            self.serve(Call::Unlock, move |state| {
                state.unlock(inode.0, owner);
                reply.ok();
            });
            return;
        }
        self.serve(Call::Lock, move |state| {
            if state.try_lock(inode.0, owner, kind == 1) {
                reply.ok();
            } else {
                reply.error(Errno::EAGAIN);
            }
        });
    }
}
