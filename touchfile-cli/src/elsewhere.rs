//! Commands that Windows does not have.

use std::ffi::OsString;

/// Of another system
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Whatever it is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}
