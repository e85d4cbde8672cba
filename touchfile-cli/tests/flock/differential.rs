//! Runs the same command lines with this program and with flock(1) of util-linux, and compares statuses,
//! output and effects.
//!
//! Each script runs in a new directory. `flock` is one of the two programs, and `$OTHER` is one of the two
//! as well. If `$OTHER` holds a lock while `flock` tries to take it, all four pairs are tried, so that each
//! program must exclude the other on the same file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::ours;
use crate::support::Place;

/// Defines `hold ARG…`, which lets `$OTHER` hold a lock until `let_go` is called.
const PRELUDE: &str = r#"
hold() {
    mkfifo up down
    "$OTHER" "$@" sh -c 'echo up > up; read word < down' &
    holder=$!
    read word < up
}
let_go() { echo down > down; wait $holder; }
# Whatever happens, it does not stay: opened like this, a FIFO waits for nobody.
trap '[ ! -p down ] || echo down 1<> down' EXIT
"#;

const SCRIPTS: &[&str] = &[
    // The command and its exit status.
    "flock a echo inside",
    "flock a true",
    "flock a false",
    "flock a sh -c 'exit 77'",
    "flock a sh -c 'kill -TERM $$'",
    "flock a sh -c 'kill -KILL $$'",
    "flock a cat < /etc/passwd",
    "flock a sh -c 'echo err >&2; exit 3'",
    "flock a printf '%s|' -n --verbose -- '' '*'",
    "flock -- a echo inside",
    "flock a -- true",
    "flock a -x true",
    "flock a no-such-command",
    "flock a ./no-such-command",
    "flock a /",
    "flock a ''",
    "echo 'echo \"$0\" \"$@\"; exit 4' > script; flock a ./script 1; chmod +x script; flock a ./script 1 2",
    "echo 'echo \"$@\"' > script; chmod +x script; PATH=.:$PATH flock a script '1 2' 3",
    "trap '' CHLD; flock a sh -c 'exit 5'",
    "trap '' HUP; flock a sh -c 'kill -HUP $$; echo alive'",
    // A command of the shell.
    "flock a -c 'echo \"$0\"; exit 3'",
    "flock a --command 'echo inside'",
    "flock a -c",
    "flock a -c one two",
    "flock a --command one two three",
    "flock -c true a",
    "SHELL=/bin/echo flock a -c inside",
    "SHELL= flock a -c 'echo inside'",
    "SHELL=/no/shell flock a -c 'echo inside'",
    "unset SHELL; flock a -c 'echo inside'",
    // The file that is locked.
    "mkdir d; flock d echo inside",
    "ln -s target link; flock link true; ls -F",
    "umask 027; flock new true; stat -c %a new",
    "echo precious > a; flock a true; cat a",
    "flock no/such/directory true",
    "flock '' true",
    "echo > file; flock file/a true",
    "flock /dev/null echo inside",
    "flock / echo inside",
    "flock \"$(printf 'odd\\377')\" echo inside; ls | od -c",
    "flock 9 echo inside; ls",
    // Descriptors.
    "exec 9> a; flock 9; flock -n 9",
    "exec 9> a; flock -n 9; flock -n a echo inside; flock -u 9; flock -n a echo again",
    "exec 9> a; flock -s 9; flock -sn a echo inside; flock -n a echo again",
    "exec 9> a 8> a; flock -n 9; flock -n 8; echo $?; flock -u 9; flock -n 8",
    "exec 9< .; flock 9; flock -n . true",
    "exec 9> a; (flock -n 9); flock -n a true; echo $?; exec 9>&-; flock -n a true",
    "(flock -n 9 || exit 1; echo inside) 9> a; flock -n a echo again",
    "flock 99",
    "flock -n 99",
    "flock -u 99",
    "flock -- -1",
    "flock 0 < /dev/null",
    "flock ' +1'",
    "flock a",
    "flock 9z",
    "flock 1.5",
    "flock 99999999999",
    "exec 9> a; flock -w 1 9; flock -E 3 -xn 9",
    // Another process holds the lock.
    "hold a; flock -n a echo inside; echo $?; let_go; flock -n a echo again",
    "hold a; flock -nE 7 a echo inside; echo $?; let_go",
    "hold a; flock -sn a echo inside; echo $?; let_go",
    "hold -s a; flock -sn a echo inside; flock -n a echo again; echo $?; let_go",
    "hold a; flock -w 0 a echo inside; echo $?; let_go",
    "hold a; flock -w 0.05 a echo inside; echo $?; let_go",
    "hold a; flock --timeout=.05 -E 0 a echo inside; echo $?; let_go",
    "hold a; flock --wait .05 --conflict-exit-code 255 a -c 'echo inside'; echo $?; let_go",
    "hold a; flock --verbose -n a true; echo $?; let_go",
    "hold a; flock --verbose -w .05 a true; echo $?; let_go",
    "hold a; flock -sw .05 a echo inside; echo $?; let_go",
    "hold a; (sleep .1; echo down > down) & flock a echo inside; wait",
    "hold a; (sleep .1; echo down > down) & flock -w 60 a echo inside; wait",
    "hold a; (sleep .1; echo down > down) & flock -sw 60 a echo inside; wait",
    "hold a; exec 9> a; flock -w .05 9; echo $?; let_go; flock -n a echo free",
    "hold a; exec 9> a; (sleep .1; echo down > down) & flock -w 60 9; echo $?; wait; flock -n a true",
    "hold .; flock -n . true; echo $?; let_go",
    "exec 9> a; $OTHER 9; flock -n a true; echo $?; $OTHER -u 9; flock -n a echo inside",
    "$OTHER a flock -n a true; echo $?; $OTHER -o a flock -n a true",
    // The process that keeps the lock.
    "flock a sh -c 'ls /proc/self/fd | wc -l'; flock -o a sh -c 'ls /proc/self/fd | wc -l'",
    "flock a sh -c 'sleep 60 > /dev/null 2>&1 & echo $! > pid'; flock -n a true; echo $?; kill $(cat pid)",
    "flock -o a sh -c 'sleep 60 > /dev/null 2>&1 & echo $! > pid'; flock -n a true; echo $?; kill $(cat pid)",
    "flock -o a flock -n a true",
    // Some shells print how a job has ended.
    "exec 2> /dev/null; mkfifo up
     flock a sh -c 'echo $$ > pid; echo > up; exec sleep 60' > /dev/null & flock=$!
     read word < up; kill $flock; wait $flock; echo $?; flock -n a true; echo $?; kill $(cat pid)",
    "flock -F a sh -c 'exit 6'",
    "flock -F a flock -n a true",
    "flock -F a no-such-command",
    "flock --no-fork -s a echo inside",
    "flock -oF a true",
    "flock --close --no-fork a true",
    // The parsing of options.
    "flock",
    "flock -x",
    "flock --",
    "flock -xsn a echo inside",
    "flock -sxe a echo inside",
    "flock -w5 a echo inside",
    "flock -nw 5 a echo inside",
    "flock --bogus a true",
    "flock -Z a true",
    "flock -1",
    "flock -w",
    "flock --timeout",
    "flock --shared=1 a true",
    "flock --version=1",
    "flock -?",
    "flock --no a true",
    "flock --n a true",
    "flock --non a echo inside",
    "flock --c a true",
    "flock --co a true",
    "flock --exc --clo --verb a true",
    "flock --unlock a echo inside",
    "flock -V --bogus > /dev/null",
    "flock --help > /dev/null; flock -h > /dev/null",
    "flock -E 0x10 a true",
    "flock -E 256 a true",
    "flock -E -1 a true",
    "flock -E '' a true",
    "flock -E 5x a true",
    "flock -E ' +010' a echo inside",
    "flock -E 99999999999 a true",
    "flock -w x a true",
    "flock -w '' a true",
    "flock -w 1s a true",
    "flock -w 1,5 a true",
    "flock -w . a true",
    "flock -w '1 ' a true",
    "flock -w -1 a true; ls",
    "for time in ' 1' +1 1. .5 1e1 0x1 1e-9 -0; do flock -w \"$time\" a echo inside; done",
    // Messages.
    "flock --verbose a true",
    "flock --verbose -n 0 < /dev/null",
    "flock --verbose a no-such-command",
    "flock --verbose a sh -c 'exit 9'",
    "flock --verbose a true > /dev/full",
    "flock --help > /dev/full",
    "flock --verbose a true >&-",
    "flock a echo inside <&- 2>&-",
];

#[test]
fn both_do_the_same_with_the_same_words() {
    let Some(theirs) = theirs() else {
        println!("skipped: there is no flock(1) of util-linux to compare with");
        return;
    };
    let ours = ours();
    let programs = [theirs.file("flock"), ours.file("flock")];
    let different: String = thread::scope(|scope| {
        let parts = SCRIPTS.chunks(SCRIPTS.len().div_ceil(4));
        let parts: Vec<_> = parts
            .map(|part| scope.spawn(|| compare_all(part, &programs)))
            .collect();
        let parts = parts.into_iter().map(|part| part.join().unwrap());
        parts.collect()
    });
    assert!(different.is_empty(), "{different}");
}

fn compare_all(scripts: &[&str], programs: &[PathBuf; 2]) -> String {
    let compared = scripts.iter().map(|script| compare(script, programs));
    compared.collect()
}

/// The differences between the two results, as text.
fn compare(script: &str, programs: &[PathBuf; 2]) -> String {
    let others = if script.contains("OTHER") || script.contains("hold") {
        &programs[..]
    } else {
        &programs[..1]
    };
    let mut different = String::new();
    for other in others {
        let [expected, found] = programs
            .each_ref()
            .map(|program| done(script, program, other));
        if expected != found {
            different.push_str(&format!(
                "\n{script}\n  $OTHER is {}\n  theirs: {expected}\n  ours:   {found}\n",
                other.display()
            ));
        }
    }
    different
}

/// The result of a script, as text.
fn done(script: &str, flock: &Path, other: &Path) -> String {
    let place = Place::new();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", flock.parent().unwrap().display());
    let output = Command::new("sh")
        .args(["-c", &format!("{PRELUDE}{script}")])
        .current_dir(place.directory())
        .env("PATH", path)
        .env("OTHER", other)
        .env("SHELL", "/bin/sh")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut stdout: Vec<String> = text(&output.stdout).lines().map(without_time).collect();
    if script.contains("--verb") {
        stdout.sort(); // flock(1) buffers its output, which comes after that of the command
    }
    format!(
        "{}, stdout {stdout:?}, stderr {:?}, files {:?}",
        output.status,
        text(&output.stderr),
        place.contents()
    )
}

fn without_time(line: &str) -> String {
    match line.split_once(" took ") {
        Some((start, time)) if time.ends_with(" seconds") => format!("{start} took a time"),
        _ => line.to_owned(),
    }
}

/// The installed flock(1) in a directory of its own, if it is that of util-linux.
fn theirs() -> Option<Place> {
    let path = std::env::var_os("PATH")?;
    let found: PathBuf = std::env::split_paths(&path)
        .map(|directory| directory.join("flock"))
        .find(|file| file.is_file())?;
    let version = Command::new(&found).arg("--version").output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).contains("util-linux") {
        return None;
    }
    // The results are those of version 2.38 and later.
    let place = Place::new();
    symlink(fs::canonicalize(found).ok()?, place.file("flock")).ok()?;
    Some(place)
}

#[test]
fn there_are_enough_command_lines() {
    let lines = SCRIPTS.iter().map(|script| script.matches("flock").count());
    assert!(SCRIPTS.len() >= 60 && lines.sum::<usize>() >= 60);
}
