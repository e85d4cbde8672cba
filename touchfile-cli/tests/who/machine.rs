//! All locks of the machine, and all locks of a process.

use serde_json::Value;

use crate::support::{Place, Process};
use crate::trials::{Tried, needs, needs_root};
use crate::who::{claim, claims, create, held, python, who};

/// The JSON and the exit status of `who`.
fn ask(options: &[&str]) -> (Vec<Value>, Option<i32>) {
    let output = who().arg("--json").args(options).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files = answer["files"].as_array().unwrap().clone();
    (files, output.status.code())
}

fn named<'a>(files: &'a [Value], path: &std::path::Path) -> &'a Value {
    let mut files = files.iter();
    let named = files.find(|file| file["path"].as_str() == path.to_str());
    named.unwrap_or(&Value::Null)
}

fn pid(process: &Process) -> String {
    process.pid().to_string()
}

pub(crate) fn without_a_path_every_locked_file_is_told() -> Tried {
    needs("python3")?;
    let place = Place::new();
    let (one, other, free) = (place.file("one"), place.file("other"), place.file("free"));
    for path in [&one, &other, &free] {
        create(path);
    }
    let (flock, posix) = (
        held("FLOCK", "shared", &one),
        held("POSIX", "exclusive", &other),
    );
    let (files, status) = ask(&[]);
    assert_eq!(status, Some(0));
    let holders = claims(&named(&files, &one)["holders"]);
    assert_eq!(holders, [claim(&flock, "FLOCK", "shared")]);
    let holders = claims(&named(&files, &other)["holders"]);
    assert_eq!(holders, [claim(&posix, "POSIX", "exclusive")]);
    assert!(named(&files, &free).is_null());

    let table = String::from_utf8(who().output().unwrap().stdout).unwrap();
    assert!(table.starts_with("FILE "), "{table}");
    let row = table
        .lines()
        .find(|row| row.starts_with(one.to_str().unwrap()));
    let cells: Vec<_> = row.unwrap().split_whitespace().collect();
    assert_eq!(cells[1], pid(&flock));
    Ok(())
}

pub(crate) fn a_process_is_told_with_what_it_holds_and_waits_for() -> Tried {
    needs("python3")?;
    let place = Place::new();
    let path = place.lock();
    create(&path);
    let holder = held("FLOCK", "exclusive", &path);
    let waiter = python("FLOCK", "exclusive", &path, 0, 0);
    crate::who::until_waiters(&path, 1);
    let (files, status) = ask(&["--pid", &pid(&holder)]);
    assert_eq!((files.len(), status), (1, Some(0)), "{files:?}");
    assert_eq!(files[0]["path"].as_str(), path.to_str());
    assert_eq!(
        claims(&files[0]["holders"]),
        [claim(&holder, "FLOCK", "exclusive")]
    );
    assert!(claims(&files[0]["waiters"]).is_empty());

    // A process that only waits holds nothing.
    let (files, status) = ask(&["-p", &pid(&waiter)]);
    assert_eq!((files.len(), status), (1, Some(1)), "{files:?}");
    assert_eq!(
        claims(&files[0]["waiters"]),
        [claim(&waiter, "FLOCK", "exclusive")]
    );

    let both = [
        path.to_str().unwrap(),
        "-p",
        &pid(&holder),
        "-p",
        &pid(&waiter),
    ];
    let (files, status) = ask(&both);
    assert_eq!(status, Some(0));
    assert_eq!(
        claims(&files[0]["holders"]).len() + claims(&files[0]["waiters"]).len(),
        2
    );

    let none = who()
        .args(["-p", "1", path.to_str().unwrap()])
        .assert()
        .code(1);
    none.stdout("no lock of pid 1 is seen\n");
    who().args(["--pid", "0"]).assert().code(64);
    Ok(())
}

pub(crate) fn a_table_without_heads_has_rows_alone() {
    let place = Place::new();
    let holder = place.held(&[]);
    for option in ["-n", "--noheadings"] {
        let output = who().arg(option).arg(place.lock()).output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(!table.contains("PID") && !table.is_empty(), "{table}");
        assert!(table.starts_with(&format!("{} ", pid(&holder))), "{table}");
    }
}

pub(crate) fn a_file_that_only_strangers_have_open_is_told_by_its_number() -> Tried {
    needs_root()?;
    needs("python3")?;
    let place = Place::new();
    create(&place.lock());
    let holder = held("FLOCK", "exclusive", &place.lock());
    let table = crate::strangers::asked_by_nobody(&place, &["-p", &pid(&holder)]);
    let row = table.lines().nth(1).unwrap_or_else(|| panic!("{table}"));
    assert!(row.starts_with("(inode "), "{row}");
    assert!(row.contains(&format!("  {}?  ", pid(&holder))), "{row}");
    Ok(())
}
