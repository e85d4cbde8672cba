//! Directed cases, each about one law and one known way to break it.

/// Cases about one law each, named by the law and the function, with what they need.
macro_rules! cases {
    ($($law:ident::$function:ident $([$($need:ident),+])?),+ $(,)?) => {
        vec![$($crate::directed::case(
            $crate::Law::$law,
            stringify!($function),
            &[$($($crate::case::Need::$need),+)?],
            $function,
        )),+]
    };
}

mod cancelling;
mod capabilities;
mod converting;
mod demands;
mod driver;
mod errors;
mod exclusion;
mod fairness;
mod false_busy;
mod fencing;
mod foreign;
mod forking;
mod identity;
mod liveness;
mod losing;
mod release;
mod scripted;
mod signals;
mod times;

use self::driver::Driver;
use crate::Law;
use crate::case::{Case, Context, Need, Undone};

/// All directed cases. Those that take longest come first.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(scripted::cases());
    cases.extend(fairness::cases());
    cases.extend(times::cases());
    cases.extend(liveness::cases());
    cases.extend(cancelling::cases());
    cases.extend(forking::cases());
    cases.extend(release::cases());
    cases.extend(exclusion::cases());
    cases.extend(converting::cases());
    cases.extend(false_busy::cases());
    cases.extend(signals::cases());
    cases.extend(foreign::cases());
    cases.extend(identity::cases());
    cases.extend(fencing::cases());
    cases.extend(losing::cases());
    cases.extend(errors::cases());
    cases.extend(capabilities::cases());
    cases
}

/// A case about one law. Its function returns how often something was tried.
fn case(
    law: Law,
    sentence: &str,
    needs: &'static [Need],
    play: impl Fn(&mut Driver<'_>) -> Result<u64, Undone> + Send + Sync + 'static,
) -> Case {
    let run = move |context: &Context<'_>| {
        let mut driver = Driver::new(context, law)?;
        let tried = play(&mut driver)?;
        Ok(driver.close(tried))
    };
    Case {
        name: format!("{law}::{sentence}"),
        law: Some(law),
        needs,
        run: Box::new(run),
    }
}
