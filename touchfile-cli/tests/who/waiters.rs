//! Waiters of touchfile, which the kernel does not list, and processes that pretend to be some.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::mounts;
use crate::support::{Place, Process, STAY, touchfile};
use crate::trials::{Tried, needs, needs_root};
use crate::who::{ask, claim, claims, create, held, holders, python, until_waiters, who};

/// `touchfile run` that is listed as the last of so many waiters.
fn waiter(number: usize, place: &Place, options: &[&str]) -> Process {
    let process = place.start(options, &["echo", "inside"]);
    until_waiters(&place.lock(), number);
    process
}

fn pids(answer: &Value) -> Vec<u64> {
    let claims = claims(&answer["waiters"]);
    claims.into_iter().map(|(pid, ..)| pid).collect()
}

fn number(process: &Process) -> u64 {
    process.pid().as_raw().unsigned_abs().into()
}

pub(crate) fn waiters_of_touchfile_are_told_in_the_order_in_which_they_began() {
    for (backend, kind) in [("flock", "FLOCK"), ("fcntl", "OFDLCK")] {
        let place = Place::new();
        let options = ["--backend", backend];
        let mut holder = place.held(&options);
        assert!(pids(&ask(&place.lock())).is_empty());
        let modes = ["exclusive", "shared", "exclusive"];
        let mut waiting: Vec<Process> = (1..)
            .zip(modes)
            .map(|(number, mode)| {
                let mode = format!("--{mode}");
                waiter(number, &place, &[&options[..], &[&mode]].concat())
            })
            .collect();
        let answer = ask(&place.lock());
        let expected: Vec<_> = waiting
            .iter()
            .zip(modes)
            .map(|(process, mode)| claim(process, kind, mode))
            .collect();
        assert_eq!(claims(&answer["waiters"]), expected);
        let since = answer["waiters"].as_array().unwrap().iter();
        let since: Vec<_> = since
            .map(|waiter| waiter["waiting_since"].as_str().unwrap())
            .collect();
        assert!(since.is_sorted(), "{since:?}");

        let table = who().arg(place.lock()).output().unwrap().stdout;
        let table = String::from_utf8(table).unwrap();
        let heads = table.lines().next().unwrap();
        assert!(heads.contains(" WAITED "), "{table}");
        assert_eq!(table.matches(" waits ").count(), 3, "{table}");
        assert!(holder.finish().success());
        for process in &mut waiting {
            assert!(process.ended().success());
        }
        assert!(holders(&place.lock()).is_empty());
    }
}

pub(crate) fn each_waiter_is_told_once_beside_those_that_the_kernel_lists() -> Tried {
    needs("python3")?;
    for (how, kind) in [("flock", "FLOCK"), ("fcntl", "OFDLCK")] {
        let place = Place::new();
        let _holder = place.held(&["--backend", how]);
        let mut ours = Command::new(touchfile());
        ours.arg("flock");
        if how == "fcntl" {
            ours.arg("--fcntl");
        }
        let ours = Process::spawn(ours.arg(place.lock()).arg("true"));
        until_waiters(&place.lock(), 1);
        let other = python(kind, "exclusive", &place.lock(), 0, 0);
        until_waiters(&place.lock(), 2);
        let run = [
            waiter(3, &place, &["--backend", how]),
            waiter(4, &place, &["--backend", how]),
        ];
        // By now the first of them has a thread in the kernel's queue, too, or will have soon.
        let expected: Vec<u64> = match how {
            "flock" => [&ours, &other, &run[0], &run[1]].map(number).into(),
            // The kernel does not name these.
            _ => vec![0, 0, number(&run[0]), number(&run[1])],
        };
        crate::support::until("the first one is blocked in the kernel", || {
            let task = format!("/proc/{}/task", run[0].pid());
            let threads = fs::read_dir(task).unwrap().flatten();
            let mut names = threads.map(|thread| fs::read_to_string(thread.path().join("comm")));
            names.any(|name| name.is_ok_and(|name| name.trim_end() == "touchfile-wait"))
        });
        for _ in 0..20 {
            assert_eq!(pids(&ask(&place.lock())), expected, "{how}");
        }
    }
    Ok(())
}

pub(crate) fn without_a_path_the_waiters_of_each_file_are_told() {
    let (one, other) = (Place::new(), Place::new());
    let _holders = [one.held(&[]), other.held(&["--shared"])];
    let waiters = [waiter(1, &one, &[]), waiter(1, &other, &[])];
    let output = who().arg("--json").output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (place, waiter) in [&one, &other].into_iter().zip(&waiters) {
        let mut files = answer["files"].as_array().unwrap().iter();
        let file = files.find(|file| file["path"].as_str() == place.lock().to_str());
        let told = claims(&file.unwrap()["waiters"]);
        assert_eq!(told, [claim(waiter, "FLOCK", "exclusive")]);
    }
}

pub(crate) fn on_file_systems_with_other_numbers_waiters_are_told_too() -> Tried {
    for mounted in [mounts::btrfs()?, mounts::overlay()?] {
        for directory in mounted.places() {
            let lock = directory.join("a.lock");
            let run = |words: &[&str]| {
                let mut touchfile = Command::new(touchfile());
                Process::spawn(touchfile.arg("run").arg(&lock).arg("--").args(words))
            };
            let mut holder = run(&STAY);
            assert_eq!(holder.line(), "inside");
            let mut waiter = run(&["true"]);
            let answer = until_waiters(&lock, 1);
            assert_eq!(
                claims(&answer["waiters"]),
                [claim(&waiter, "FLOCK", "exclusive")]
            );
            assert!(holder.finish().success());
            assert!(waiter.ended().success());
        }
    }
    Ok(())
}

/// What a liar knows, and what it does before it says that it has lied: `lock` is the path of the lock file,
/// `victim` and `number` are the process that has it open and the descriptor.
const LIAR: &str = "
import os, signal, socket, sys
lock, victim, number, user = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
if user: os.setgid(user); os.setuid(user)
kept = []
def lie(pid, fd, times=1):
    for _ in range(times): kept.append(os.memfd_create(f'touchfile-waits FLOCK shared all {fd} {pid}'))
";

/// The waiters that are told of after a liar with this user number has run the script; none is told of before it.
fn told_after(place: &Place, user: u32, script: &str) -> Vec<u64> {
    let holder = place.held(&[]);
    let descriptor = descriptor(&holder, &place.lock());
    let told = told_of(&place.lock(), &holder, descriptor, user, script);
    assert!(!told.contains(&number(&holder)), "{told:?}");
    told
}

fn told_of(lock: &Path, victim: &Process, descriptor: u32, user: u32, script: &str) -> Vec<u64> {
    assert!(pids(&ask(lock)).is_empty());
    let script = format!("{LIAR}{script}\nprint('lied', flush=True)\nsys.stdin.readline()");
    let mut python = Command::new("python3");
    python.args(["-c", &script]).arg(lock);
    python.args([
        victim.pid().to_string(),
        descriptor.to_string(),
        user.to_string(),
    ]);
    let mut liar = Process::spawn(&mut python);
    assert_eq!(liar.line(), "lied");
    let told = pids(&ask(lock));
    let liar = number(&liar);
    assert!(told.iter().all(|pid| *pid == liar), "{told:?}");
    told
}

/// The descriptor by which a process has a file open.
fn descriptor(process: &Process, path: &Path) -> u32 {
    let links = fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap();
    let mut links = links.flatten().map(|link| link.path());
    let link = links.find(|link| fs::read_link(link).is_ok_and(|target| target == path));
    let number: PathBuf = link.unwrap().file_name().unwrap().into();
    number.to_str().unwrap().parse().unwrap()
}

const OPENS: &str = "fd = os.open(lock, os.O_RDONLY)";

pub(crate) fn what_a_process_tells_of_others_is_not_believed() -> Tried {
    needs("python3")?;
    let place = Place::new();
    let told = |script: &str| told_after(&place, 0, &format!("{OPENS}\n{script}")).len();
    assert_eq!(told("lie(os.getpid(), fd)"), 1, "this is no lie");
    assert_eq!(told("lie(victim, fd)"), 0);
    assert_eq!(told("lie(victim, number)"), 0);
    assert_eq!(told("lie(1, fd)"), 0);
    // The child has the descriptors of its parent, and waits for nothing.
    let forked = "lie(os.getpid(), fd)\nif os.fork() == 0: signal.pause()";
    assert_eq!(told(forked), 1);
    // Of a file that it does not have open.
    assert_eq!(told("lie(os.getpid(), 999)"), 0);
    assert_eq!(told("lie(os.getpid(), os.open('/etc', os.O_RDONLY))"), 0);
    Ok(())
}

pub(crate) fn who_has_no_right_on_the_file_is_not_heard() -> Tried {
    const NOBODY: u32 = 65_534;
    needs_root()?;
    needs("python3")?;
    let place = Place::new();
    create(&place.lock());
    let permit = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    permit(&place.directory(), 0o755).unwrap();
    permit(&place.lock(), 0o600).unwrap();
    let refused = "
try: os.open(lock, os.O_RDONLY); sys.exit('it may open it')
except PermissionError: pass
look = os.open(lock, os.O_PATH)
";
    for lie in [
        "lie(os.getpid(), look, 100)",
        "lie(victim, look)",
        "lie(victim, number)",
        "lie(os.getpid(), number)",
    ] {
        let told = told_after(&place, NOBODY, &format!("{refused}{lie}"));
        assert!(told.is_empty(), "{lie}");
    }
    // With the right to open it, it could wait indeed.
    permit(&place.lock(), 0o644).unwrap();
    let told = told_after(&place, NOBODY, &format!("{OPENS}\nlie(os.getpid(), fd)"));
    assert_eq!(told.len(), 1);
    Ok(())
}

pub(crate) fn a_file_with_the_same_number_elsewhere_is_another_file() -> Tried {
    needs("python3")?;
    let (one, other) = (mounts::tmpfs()?, mounts::tmpfs()?);
    let [lock, same] = [&one, &other].map(|mounted| mounted.places()[0].join("a.lock"));
    create(&lock);
    create(&same);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&lock), inode(&same));
    let holder = held("FLOCK", "exclusive", &lock);
    let told = |path: &Path| {
        let script = format!(
            "lie(os.getpid(), os.open('{}', os.O_RDONLY))",
            path.display()
        );
        told_of(&lock, &holder, 0, 0, &script).len()
    };
    assert_eq!((told(&same), told(&lock)), (0, 1));
    Ok(())
}

pub(crate) fn a_file_on_a_disk_that_is_named_like_a_notice_is_none() -> Tried {
    needs_root()?;
    needs("python3")?;
    let place = Place::new();
    let mount = place.file("mnt");
    fs::create_dir(&mount).unwrap();
    // A file of a mount that is in no namespace any more has a name that begins at its root.
    let script = format!(
        "
import ctypes
fd = os.open(lock, os.O_RDONLY)
c = ctypes.CDLL(None, use_errno=True)
def call(done):
    if done: raise OSError(ctypes.get_errno(), 'a call failed')
mount = b'{mount}'
call(c.unshare(0x20000))
call(c.mount(None, b'/', None, 0x44000, None))
call(c.mount(b'none', mount, b'tmpfs', 0, None))
name = f'{mount}/memfd:touchfile-waits FLOCK shared all {{fd}} {{os.getpid()}}'
kept.append(os.open(name, os.O_RDWR | os.O_CREAT))
os.unlink(name)
call(c.umount2(mount, 2))
link = os.readlink(f'/proc/self/fd/{{kept[0]}}')
if not (link.startswith('/memfd:') and link.endswith(' (deleted)')): sys.exit(link)
",
        mount = mount.display()
    );
    assert!(told_after(&place, 0, &script).is_empty());
    Ok(())
}

pub(crate) fn a_notice_that_another_user_has_sent_is_not_believed() -> Tried {
    needs_root()?;
    needs("python3")?;
    let place = Place::new();
    // The parent has the file open, and takes whatever descriptor its child sends.
    let script = |user: u32| {
        format!(
            "
fd = os.open(lock, os.O_RDONLY)
parent, child = socket.socketpair()
if os.fork() == 0:
    os.setuid({user})
    lie(os.getppid(), fd)
    socket.send_fds(child, [b'.'], kept)
    os._exit(0)
os.wait()
kept.append(socket.recv_fds(parent, 1, 1)[1])
"
        )
    };
    assert!(told_after(&place, 0, &script(65_534)).is_empty());
    let own = told_after(&place, 0, &script(0));
    assert_eq!(
        own.len(),
        1,
        "who has the same user number could do anything"
    );
    Ok(())
}

pub(crate) fn a_process_is_heard_64_times_and_shown_without_control_characters() -> Tried {
    needs("python3")?;
    let place = Place::new();
    let many = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))";
    let script = format!("{many}\n{OPENS}\nlie(os.getpid(), fd, 900)");
    assert_eq!(told_after(&place, 0, &script).len(), 64);

    let holder = place.held(&[]);
    // Its command line is of its own making.
    let mut python = Command::new("python3");
    let lie = "import os, sys\nfd = os.open(sys.argv[1], 0)\n\
               fd = os.memfd_create(f'touchfile-waits FLOCK shared all {fd} {os.getpid()}')\n\
               print('lied', flush=True)\nsys.stdin.readline()";
    python
        .args(["-c", lie])
        .arg(place.lock())
        .arg("\x1b[2J\nroot holds\r");
    let mut liar = Process::spawn(&mut python);
    assert_eq!(liar.line(), "lied");
    until_waiters(&place.lock(), 1);
    let table = who().arg(place.lock()).output().unwrap().stdout;
    let table = String::from_utf8(table).unwrap();
    // The heads, `touchfile run`, its command, and the liar.
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(!table.contains(['\x1b', '\r']), "{table:?}");
    drop(holder);
    Ok(())
}
