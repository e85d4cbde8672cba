//! Runs scenarios one by one, and prints the result of each.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use crate::lab::Lab;
use crate::outcome::{Outcome, Undone};

/// A scenario: a sentence that is true or not.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) run: Box<dyn Fn(&Lab) -> Outcome>,
}

impl Scenario {
    pub(crate) fn new(name: impl Into<String>, run: impl Fn(&Lab) -> Outcome + 'static) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

/// Runs the scenarios whose names contain one of `words`, or all if there are none.
pub(crate) fn run(lab: &Lab, scenarios: &[Scenario], words: &[String]) -> ExitCode {
    let (options, parts): (Vec<_>, Vec<_>) = words.iter().partition(|word| word.starts_with("--"));
    let chosen: Vec<_> = scenarios
        .iter()
        .filter(|scenario| {
            parts.is_empty() || parts.iter().any(|part| scenario.name.contains(*part))
        })
        .collect();
    match options.as_slice() {
        [] => {}
        [list] if *list == "--list" => {
            for scenario in chosen {
                println!("{}", scenario.name);
            }
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("usage: nfs-lab/suite [--list] [NAME…]");
            return ExitCode::from(64);
        }
    }
    if chosen.is_empty() {
        eprintln!("there is no scenario of that name");
        return ExitCode::from(64);
    }
    println!("{} scenarios on NFS {}", chosen.len(), lab.version());
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    for scenario in chosen {
        print!("{} ... ", scenario.name);
        // Standard output may be a pipe, whose reader follows the progress.
        io::stdout().flush().ok();
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (scenario.run)(lab)))
            .unwrap_or_else(|_| Err(Undone::Failed("it panicked".into())));
        let seconds = begun.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                println!("ok ({seconds:.1} s)");
                passed += 1;
            }
            Err(Undone::Skipped(why)) => {
                println!("skipped: {why}");
                skipped += 1;
            }
            Err(Undone::Failed(why)) => {
                println!("FAILED ({seconds:.1} s)\n{why}");
                failed.push(&scenario.name);
            }
        }
    }
    for name in &failed {
        println!("failed: {name}");
    }
    println!(
        "NFS {}: {passed} passed, {} failed, {skipped} skipped",
        lab.version(),
        failed.len()
    );
    ExitCode::from(u8::from(!failed.is_empty()))
}
