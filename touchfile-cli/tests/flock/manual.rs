//! The features of the newest manual that an older flock(1) does not have: `--fcntl`, ranges and `--fd`.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::Command;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::support::{Place, Process, STAY, touchfile};
use crate::{flock, ours};

/// Runs `script` in a new directory, with `flock` as the program under test, and returns its words.
fn words(script: &str) -> String {
    let (ours, place) = (ours(), Place::new());
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(place.directory())
        .env("PATH", format!("{}:{path}", ours.directory().display()))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_lock_of_fcntl_excludes_its_like_and_not_those_of_flock() {
    assert_eq!(
        words("flock --fcntl a flock --fcntl -n a true; echo $?"),
        "1\n"
    );
    assert_eq!(words("flock --fcntl a flock -n a echo inside"), "inside\n");
    assert_eq!(words("flock a flock --fcntl -n a echo inside"), "inside\n");
    assert_eq!(
        words("flock --fcntl -s a flock --fcntl -sn a echo inside"),
        "inside\n"
    );
    assert_eq!(
        words("flock --fcntl -s a flock --fcntl -n a true; echo $?"),
        "1\n"
    );
    assert_eq!(
        words("flock --fcntl a true; flock --fcntl -n a echo inside"),
        "inside\n"
    );
}

#[test]
fn a_lock_of_fcntl_is_one_of_the_open_file_description_and_of_the_whole_file() {
    let (ours, place) = (ours(), Place::new());
    let holder = |options: &[&str]| {
        let mut command = flock(&ours);
        command.args(options).arg(place.lock()).args(STAY);
        let mut process = Process::spawn(&mut command);
        assert_eq!(process.line(), "inside");
        process
    };
    let mut process = holder(&["--fcntl"]);
    let lock = held_on(&place);
    assert_eq!(i32::from(lock.l_type), libc::F_WRLCK);
    assert_eq!((lock.l_start, lock.l_len, lock.l_pid), (0, 0, -1));
    assert!(process.finish().success());
    assert_eq!(i32::from(held_on(&place).l_type), libc::F_UNLCK);

    let mut process = holder(&["--shared", "--start", "1KiB", "--length=2K"]);
    let lock = held_on(&place);
    assert_eq!(i32::from(lock.l_type), libc::F_RDLCK);
    assert_eq!((lock.l_start, lock.l_len, lock.l_pid), (1024, 2048, -1));
    assert!(process.finish().success());
}

/// The lock that conflicts with an exclusive lock on the whole file.
fn held_on(place: &Place) -> libc::flock {
    let file = File::options().write(true).open(place.lock()).unwrap();
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock)).unwrap();
    lock
}

#[test]
fn ranges_exclude_each_other_where_they_overlap() {
    let range = |start, length| format!("--start {start} --length {length}");
    let outer = range(10, 10);
    for (inner, free) in [
        (range(0, 10), true),
        (range(20, 5), true),
        (range(0, 11), false),
        (range(19, 1), false),
        ("--start 20".to_owned(), true),
        ("--start 5".to_owned(), false), // to the end
        ("--length 10".to_owned(), true),
        ("--fcntl".to_owned(), false),
    ] {
        let told = words(&format!("flock {outer} a flock {inner} -n a echo inside"));
        assert_eq!(told == "inside\n", free, "{inner}: {told}");
    }
}

#[test]
fn a_range_that_is_none_is_refused() {
    for wrong in ["x", "-1", "1X", "''", "9E"] {
        let told = words(&format!("flock --start {wrong} a true; echo $?; ls"));
        assert!(
            told.starts_with("flock: invalid as start offset: '"),
            "{told}"
        );
        assert!(told.ends_with("\n64\n"), "{told}");
        let told = words(&format!("flock --length {wrong} a true; echo $?; ls"));
        assert!(
            told.starts_with("flock: invalid as length of lock range: '"),
            "{told}"
        );
        assert!(told.ends_with("\n64\n"), "{told}");
    }
}

#[test]
fn an_exclusive_lock_of_fcntl_needs_a_file_that_can_be_written() {
    let told = words("mkdir d; flock --fcntl d true; echo $?; flock --fcntl -s d echo inside");
    assert_eq!(told, "flock: d: Bad file descriptor\n65\ninside\n");
    let told = words("echo > a; exec 9< a; flock --fcntl 9; echo $?");
    assert_eq!(told, "flock: 9: Bad file descriptor\n65\n");
    assert_eq!(words("exec 9> a; flock --fcntl -n 9; echo $?"), "0\n");
}

#[test]
fn a_lock_of_fcntl_is_waited_for_and_given_up() {
    let held = "mkfifo up down; flock --fcntl a sh -c 'echo > up; read w < down' & read w < up; ";
    let told = words(&format!(
        "{held} flock --fcntl -w .05 -E 7 a true; echo $?; echo > down; wait"
    ));
    assert_eq!(told, "7\n");
    let told = words(&format!(
        "{held} (sleep .1; echo > down) & flock --fcntl -w 60 a echo inside; wait"
    ));
    assert_eq!(told, "inside\n");
    let told = words(&format!(
        "{held} (sleep .1; echo > down) & flock --fcntl a echo inside; wait"
    ));
    assert_eq!(told, "inside\n");
}

#[test]
fn a_lock_of_fcntl_on_a_descriptor_stays_with_it() {
    let told = words(
        "exec 9> a; flock --fcntl 9; flock --fcntl -n a true; echo $?
         flock --fcntl --unlock 9; flock --fcntl -n a echo inside",
    );
    assert_eq!(told, "1\ninside\n");
}

#[test]
fn an_inherited_descriptor_is_locked_and_a_command_run() {
    // The descriptor keeps the lock, as with a number as argument.
    let told = words(
        "exec 9> a
         flock --fd 9 sh -c 'flock -n a true; echo $?; exit 4'; echo $?
         flock -n a true; echo $?; flock -u --fd 9; flock -n a echo inside",
    );
    assert_eq!(told, "1\n4\n1\ninside\n");
    assert_eq!(
        words("exec 9> a; flock --fd=9 -c 'echo inside; exit 3'; echo $?"),
        "inside\n3\n"
    );
    assert_eq!(
        words("exec 9> a; flock -F --fd 9 sh -c 'echo inside'"),
        "inside\n"
    );
    assert_eq!(
        words("exec 9> a; flock --fd 9; flock -n a true; echo $?"),
        "1\n"
    );
    assert_eq!(
        words("exec 9> a; flock --fcntl --fd 9 flock -n a echo inside"),
        "inside\n"
    );
    assert_eq!(
        words("flock --fd 99 true; echo $?"),
        "flock: 99: Bad file descriptor\n65\n"
    );
    assert_eq!(
        words("flock --fd x true; echo $?"),
        "flock: bad file descriptor: 'x'\n64\n"
    );
    assert_eq!(
        words("flock a true; exec 9< a; flock --fd 9 echo 1; ls"),
        "1\na\n"
    );
}

#[test]
fn a_descriptor_is_closed_for_the_command_if_that_is_wanted() {
    let sees_it = "sh -c 'test -e /proc/self/fd/9; echo $?'";
    assert_eq!(words(&format!("exec 9> a; flock --fd 9 {sees_it}")), "0\n");
    assert_eq!(
        words(&format!("exec 9> a; flock -o --fd 9 {sees_it}")),
        "1\n"
    );
}

#[test]
fn under_its_other_name_it_is_the_same() {
    let place = Place::new();
    let both = |words: &[&str]| {
        let ours = ours();
        let run = |command: &mut Command| {
            command
                .current_dir(place.directory())
                .args(words)
                .output()
                .unwrap()
        };
        let one = run(&mut flock(&ours));
        let other = run(Command::new(touchfile()).arg("flock"));
        assert_eq!(one, other);
        one
    };
    assert_eq!(both(&["a", "echo", "inside"]).stdout, b"inside\n");
    assert_eq!(both(&[]).status.code(), Some(64));
    assert_eq!(both(&["--bogus"]).status.code(), Some(64));
    let version = both(&["--version"]).stdout;
    assert!(version.starts_with(b"flock from touchfile "));
    let help = String::from_utf8(both(&["--help"]).stdout).unwrap();
    for part in [
        "Usage:\n flock [options] <file>|<directory> <command>",
        "--fcntl",
        "Examples:",
    ] {
        assert!(help.contains(part), "{help}");
    }
}

#[test]
fn a_lock_of_touchfile_run_is_the_same_as_one_of_flock() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let ours = ours();
    let try_lock = || {
        let mut command = flock(&ours);
        command.arg("-n").arg(place.lock()).arg("true");
        command.status().unwrap().code()
    };
    assert_eq!(try_lock(), Some(1));
    assert!(held.finish().success());
    assert_eq!(try_lock(), Some(0));
    assert!(fs::read(place.lock()).unwrap().is_empty());
}
