//! What README.md shows as code compiles as it is copied.
//!
//! Its blocks of Rust are doctests of the crate. The code in its tables is in `rows.rs`, to the letter.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use touchfile::{FcntlBackend, LockMode, LockSet, TouchFile};
use touchfile_mock::World;

#[rustfmt::skip]
mod rows;

const README: &str = include_str!("../../README.md");
const ROWS: &str = include_str!("rows.rs");

/// The code in the second column of the table that begins with `head`.
fn code_of_table(head: &str) -> Vec<String> {
    let table = README.split_once(head).expect("the table is there").1;
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| {
        let row = row.replace("\\|", "\u{1}");
        row.split('|').nth(2).expect("a second column").to_owned()
    });
    let code = cells.flat_map(|cell| {
        let pieces: Vec<_> = cell
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        pieces
    });
    code.map(|code| code.replace('\u{1}', "|")).collect()
}

/// Whether it is a name and no code, such as that of a type.
fn is_a_name(code: &str) -> bool {
    code.chars()
        .all(|c| c.is_alphanumeric() || "_:-".contains(c))
}

#[test]
fn the_code_in_the_tables_compiles_as_it_is_copied() {
    let mut checked = 0;
    for head in ["| you want | you write |\n", "| what if | you write |\n"] {
        for code in code_of_table(head) {
            if !is_a_name(&code) {
                assert!(ROWS.contains(&code), "rows.rs does not compile `{code}`");
                checked += 1;
            }
        }
    }
    assert!(checked > 25, "only {checked} pieces of code were found");
}

#[test]
fn no_block_of_code_shows_lines_that_are_meant_to_be_hidden() {
    let mut in_rust = false;
    for line in README.lines() {
        if let Some(language) = line.strip_prefix("```") {
            in_rust = language.starts_with("rust");
        }
        assert!(!(in_rust && line.starts_with("# ")), "{line}");
    }
}

#[test]
fn the_rows_that_need_nobody_else_run() {
    let dir = tempfile::tempdir().unwrap();
    rows::settings(&dir.path().join("a.lock")).unwrap();
    let touch = TouchFile::open_temporary().unwrap();
    let shared = Arc::new(TouchFile::open_temporary().unwrap());
    rows::blocking(&touch, &shared, LockMode::Shared).unwrap();
    rows::faults(&World::new());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let in_a_minute = Instant::now() + Duration::from_secs(60);
    runtime.block_on(async {
        rows::waiting(&touch, LockMode::Shared, in_a_minute)
            .await
            .unwrap();
        rows::owned(shared, LockMode::Shared).await.unwrap();
        rows::counting(&dir.path().join("b.lock")).await.unwrap();
        let fcntl = FcntlBackend::range(0, 1).unwrap();
        let touch = TouchFile::new(fcntl, dir.path().join("b.lock")).unwrap();
        rows::converting(&touch).await.unwrap();
        let all = LockSet::new().exclusive(TouchFile::open_temporary().unwrap());
        let [one, other] = [(); 2].map(|()| TouchFile::open_temporary().unwrap());
        drop(rows::several(one, other, all));
    });
    // It waits for a loss that does not come.
    let touch = TouchFile::open(dir.path().join("c.lock")).unwrap();
    drop(rows::asking(&touch, dir.path()));
}
