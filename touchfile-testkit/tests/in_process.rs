//! The mock keeps the laws. It needs no worker processes, because its processes are simulated.

use std::process::ExitCode;

use touchfile_testkit::Suite;

fn main() -> ExitCode {
    Suite::in_process("mock", |world, process| world.process(process))
        .source_dir(env!("CARGO_MANIFEST_DIR"))
        .run()
}
