//! The mock keeps the laws: without worker processes, since its processes are simulated.

use std::process::ExitCode;

use touchfile_testkit::Suite;

fn main() -> ExitCode {
    Suite::in_process("mock", |world, process| world.process(process))
        .source_dir(env!("CARGO_MANIFEST_DIR"))
        .run()
}
