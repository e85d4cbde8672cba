//! Tries in the lab what touchfile promises on NFS: `nfs-lab/run nfs-lab/suite [--list] [NAME…]`.
//!
//! Each scenario is a sentence. Its processes are this program, executed again: [workers](worker) with a
//! `TouchFile` that execute commands, or workers of the conformance suite.
#![forbid(unsafe_code)]

mod conformance;
mod lab;
mod outcome;
mod runner;
mod scenarios;
mod worker;

use std::env;
use std::process::ExitCode;

use crate::lab::Lab;

fn main() -> ExitCode {
    conformance::work();
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [role, rest @ ..] = arguments.as_slice()
        && role == worker::ROLE
    {
        return worker::main(rest);
    }
    let mut scenarios = scenarios::all();
    scenarios.extend(conformance::scenarios());
    match Lab::from_environment() {
        Ok(lab) => runner::run(&lab, &scenarios, &arguments),
        Err(error) => {
            eprintln!("this is not the lab: {error}; it is started by nfs-lab/run");
            ExitCode::from(77)
        }
    }
}
