//! The command as a whole: help, colours, hints, completions and man pages.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Read;

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin;
use pty_process::blocking::open;

fn touchfile() -> Command {
    Command::new(cargo_bin!("touchfile"))
}

#[test]
fn help_has_examples_and_names_every_command_but_the_hidden_one() {
    let help = touchfile().arg("--help").assert().success().stderr("");
    let help = String::from_utf8(help.get_output().stdout.clone()).unwrap();
    for part in ["Examples:", "conformance", "flock", "run"] {
        assert!(help.contains(part), "{part:?} is missing in {help}");
    }
    assert!(!help.contains("generate"), "{help}");
    assert!(!help.contains('\x1b'), "{help:?}");
    for command in ["conformance", "flock", "run"] {
        let help = touchfile().args([command, "--help"]).assert().success();
        let help = String::from_utf8(help.get_output().stdout.clone()).unwrap();
        assert!(help.contains("Examples:"), "{help}");
        assert!(!help.contains('\x1b'), "{help:?}");
    }
}

#[test]
fn help_is_coloured_on_a_terminal_unless_that_is_not_wanted() {
    let help = |no_color: Option<&str>| {
        let (mut keys, terminal) = open().unwrap();
        let mut command = pty_process::blocking::Command::new(cargo_bin!("touchfile"));
        command = command.arg("--help").env("TERM", "xterm");
        command = command.env_remove("NO_COLOR").env_remove("CLICOLOR");
        if let Some(value) = no_color {
            command = command.env("NO_COLOR", value);
        }
        let mut child = command.spawn(terminal).unwrap();
        let mut shown = Vec::new();
        // Reading fails with EIO after the last process has closed the terminal.
        keys.read_to_end(&mut shown).ok();
        assert!(child.wait().unwrap().success());
        String::from_utf8(shown).unwrap()
    };
    let coloured = help(None);
    assert!(coloured.contains("\x1b["), "{coloured:?}");
    assert!(coloured.contains("Examples:"), "{coloured:?}");
    let plain = help(Some("1"));
    assert!(!plain.contains('\x1b'), "{plain:?}");
    assert!(plain.contains("Examples:"), "{plain:?}");
}

#[test]
fn wrong_usage_is_one_line_with_the_next_step() {
    for (words, says) in [
        (&["rum"][..], "see 'touchfile --help'"),
        (&["run"], "see 'touchfile run --help'"),
        (
            &["run", "--shard", "a", "true"],
            "similar argument exists: '--shared'",
        ),
        (
            &["run", "--timeout", "soon", "a", "true"],
            "see 'touchfile run --help'",
        ),
        (&["conformance"], "see 'touchfile conformance --help'"),
        (
            &["conformance", "--dir"],
            "see 'touchfile conformance --help'",
        ),
        (
            &["generate", "completions", "csh"],
            "see 'touchfile generate --help'",
        ),
    ] {
        let told = touchfile().args(words).assert().code(64).stdout("");
        let told = str::from_utf8(&told.get_output().stderr).unwrap();
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(
            told.starts_with("touchfile: ") && told.contains(says),
            "{told}"
        );
    }
}

#[test]
fn without_words_it_says_what_there_is() {
    let told = touchfile().assert().code(64).stdout("");
    let told = str::from_utf8(&told.get_output().stderr).unwrap();
    assert!(told.contains("Usage:"), "{told}");
}

#[test]
fn completions_know_the_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = touchfile()
            .args(["generate", "completions", shell])
            .assert();
        let script = script.success().stderr("").get_output().stdout.clone();
        let script = String::from_utf8(script).unwrap();
        for option in ["kill-after", "no-inherit", "fcntl", "conflict-exit-code"] {
            assert!(script.contains(option), "{shell}: {option}");
        }
    }
}

#[test]
fn completions_do_not_offer_what_is_hidden() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = touchfile()
            .args(["generate", "completions", shell])
            .assert();
        let script = script.success().get_output().stdout.clone();
        let script = String::from_utf8(script).unwrap();
        for hidden in [
            "doctor-worker",
            "doctor-examiner",
            "generate",
            "lock-keeper",
        ] {
            assert!(!script.contains(hidden), "{shell}: {hidden}");
        }
    }
}

#[test]
fn bash_completes_the_command_after_the_dashes() {
    if std::process::Command::new("bash")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("skipped: bash is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("touchfile");
    let script = touchfile()
        .args(["generate", "completions", "bash"])
        .assert();
    fs::write(&file, &script.get_output().stdout).unwrap();
    let complete = |words: &[&str]| {
        // Bash does this when Tab is pressed at the end of the last word.
        let ask = r#"
            source "$0"
            COMP_WORDS=("$@")
            COMP_CWORD=$(($# - 1))
            how=$(complete -p touchfile)
            [[ $how =~ -F\ ([a-z_]+) ]]
            "${BASH_REMATCH[1]}" touchfile "${@: -1}" "${@: -2:1}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", ask]).arg(&file).args(words);
        let answer = bash.assert().success().get_output().stdout.clone();
        let answer = String::from_utf8(answer).unwrap();
        answer.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let has = |words: &[&str], word: &str| complete(words).contains(&word.to_owned());
    assert!(has(&["touchfile", ""], "run"));
    assert!(has(&["touchfile", "run", "--no"], "--nonblock"));
    assert!(has(&["touchfile", "run", "a.lock", "--", "env"], "env"));
    assert!(has(
        &["touchfile", "run", "-n", "a.lock", "b.lock", "--", "env"],
        "env"
    ));
    assert!(!has(
        &["touchfile", "run", "a.lock", "--", "env", "--no"],
        "--nonblock"
    ));
}

#[test]
fn completions_are_what_their_shell_can_read() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "fish", "zsh"] {
        if std::process::Command::new(shell)
            .arg("-c")
            .arg("true")
            .output()
            .is_err()
        {
            println!("skipped: {shell} is not installed");
            continue;
        }
        let script = touchfile()
            .args(["generate", "completions", shell])
            .assert();
        let file = dir.path().join(shell);
        fs::write(&file, &script.get_output().stdout).unwrap();
        Command::new(shell)
            .arg("-n")
            .arg(&file)
            .assert()
            .success()
            .stderr("");
    }
}

#[test]
fn man_pages_are_written_for_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let man = dir.path().join("share/man1");
    touchfile()
        .args(["generate", "man"])
        .arg(&man)
        .assert()
        .success()
        .stdout("")
        .stderr("");
    for (page, says, environment) in [
        ("touchfile.1", "touchfile", true),
        ("touchfile-conformance.1", "laws of locking", false),
        ("touchfile-doctor.1", "file system", false),
        ("touchfile-flock.1", "drop\\-in", true),
        ("touchfile-run.1", "SIGKILL", true),
        ("touchfile-who.1", "lslocks", true),
    ] {
        let text = fs::read_to_string(man.join(page)).unwrap();
        assert!(
            text.contains(".TH touchfile") && text.contains(says),
            "{page}: {text}"
        );
        for section in ["EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
            let heading = format!("\n.SH {section}\n");
            assert!(text.contains(&heading), "{page}: {section}");
        }
        assert_eq!(text.contains("\n.SH ENVIRONMENT\n"), environment, "{page}");
        assert!(!text.contains("EXTRA"), "{page}");
        // Examples are printed without filling, so that they can be copied.
        assert!(text.contains("\n.SH EXAMPLES\n.nf\n"), "{page}");
    }
    assert_eq!(fs::read_dir(&man).unwrap().count(), 6);
    let told = touchfile()
        .args(["generate", "man", "/dev/null/man"])
        .assert()
        .code(73);
    let told = str::from_utf8(&told.get_output().stderr).unwrap();
    assert!(
        told.contains("/dev/null/man") && told.lines().count() == 1,
        "{told}"
    );
}
