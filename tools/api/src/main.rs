//! Lists what the published crates offer, a line for each public item, in `docs/api`.
//!
//! `cargo run -p touchfile-api` writes the lists anew, and `cargo run -p touchfile-api -- --check`
//! fails if they are not what the crates offer. So each change of the interface is a line of a diff.
//!
//! The items come from rustdoc, the text of their signatures from the sources.
#![forbid(unsafe_code)]

mod items;

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

const CRATES: [&str; 7] = [
    "touchfile",
    "touchfile-core",
    "touchfile-fcntl",
    "touchfile-file",
    "touchfile-flock",
    "touchfile-mock",
    "touchfile-testkit",
];

/// Where rustdoc writes. The build is one of its own: with `RUSTC_BOOTSTRAP` some crates are not built
/// as they are without.
const TARGET: &str = "target/api";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let check = env::args().nth(1).as_deref() == Some("--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    document(&root)?;
    let mut changed = false;
    for name in CRATES {
        let list = format!("docs/api/{name}.txt");
        let json = root.join(format!("{TARGET}/doc/{}.json", name.replace('-', "_")));
        let items = items::list(&root, &serde_json::from_slice(&fs::read(json)?)?)?;
        let before = fs::read_to_string(root.join(&list)).unwrap_or_default();
        let before: BTreeSet<String> = before.lines().map(str::to_owned).collect();
        for gone in before.difference(&items) {
            println!("{list}: - {gone}");
        }
        for new in items.difference(&before) {
            println!("{list}: + {new}");
        }
        changed |= items != before;
        if !check {
            fs::create_dir_all(root.join("docs/api"))?;
            let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
            fs::write(root.join(&list), lines)?;
        }
    }
    if check && changed {
        eprintln!("the interface has changed: look at it, and run `cargo run -p touchfile-api`");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn document(root: &Path) -> Result<(), Box<dyn Error>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["doc", "--no-deps", "--all-features", "--lib", "--quiet"])
        .args(["--target-dir", TARGET])
        .args(CRATES.iter().flat_map(|name| ["-p", name]))
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "RUSTDOCFLAGS",
            "-Z unstable-options --output-format json --cap-lints allow",
        )
        .current_dir(root);
    match command.status()?.success() {
        true => Ok(()),
        false => Err("rustdoc failed".into()),
    }
}
