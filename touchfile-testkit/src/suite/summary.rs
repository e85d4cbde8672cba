//! The report as text.

use std::collections::BTreeMap;
use std::fmt;

use super::report::{CaseReport, Report, Verdict};
use crate::Law;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            suite,
            backend,
            seed,
            ..
        } = self;
        let seconds = self.elapsed.as_secs_f64();
        writeln!(
            f,
            "{suite} (backend {backend}), seed {seed}, {seconds:.1} s"
        )?;
        writeln!(f, "{:26}{:>7}{:>10}  verdict", "law", "cases", "tried")?;
        for law in Law::ALL.map(Some).into_iter().chain([None]) {
            self.write_row(f, law)?;
        }
        for case in &self.cases {
            case.measured
                .iter()
                .try_for_each(|line| writeln!(f, "measured: {line}"))?;
        }
        for (why, names) in self.skipped() {
            writeln!(f, "skipped: {why}")?;
            names
                .iter()
                .try_for_each(|name| writeln!(f, "    {name}"))?;
        }
        let slow: Vec<_> = self.too_slow().collect();
        if !slow.is_empty() {
            let (number, all) = (
                slow.len(),
                self.cases.iter().filter(|case| ran(case)).count(),
            );
            writeln!(f, "too slow to judge: {number} of {all} cases")?;
        }
        for (case, why) in slow {
            writeln!(f, "    {}: {why}", case.name)?;
        }
        for case in &self.cases {
            match &case.verdict {
                Verdict::Broken(finding) => {
                    writeln!(
                        f,
                        "\n{} is broken ({}):\n{}",
                        finding.law, case.name, finding.trace
                    )?;
                }
                Verdict::Failed(why) => writeln!(f, "\nthe suite failed ({}): {why}", case.name)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Report {
    /// The names of the skipped cases, by the reason.
    fn skipped(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut skipped = BTreeMap::<_, Vec<_>>::new();
        for case in &self.cases {
            if let Verdict::Skipped(why) = &case.verdict {
                skipped
                    .entry(why.as_str())
                    .or_default()
                    .push(case.name.as_str());
            }
        }
        skipped
    }

    /// The cases that were too slow to judge, and how many repetitions they did.
    fn too_slow(&self) -> impl Iterator<Item = (&CaseReport, &str)> {
        self.cases.iter().filter_map(|case| match &case.verdict {
            Verdict::TooSlow(why) => Some((case, why.as_str())),
            _ => None,
        })
    }

    fn write_row(&self, f: &mut fmt::Formatter<'_>, law: Option<Law>) -> fmt::Result {
        let cases: Vec<_> = self.cases.iter().filter(|case| case.law == law).collect();
        let ran: Vec<_> = cases.iter().filter(|case| ran(case)).collect();
        let tried: u64 = ran.iter().map(|case| case.tried).sum();
        let broken = match law {
            Some(law) => self.findings().filter(|finding| finding.law == law).count(),
            None => {
                let found = |case: &&&CaseReport| matches!(case.verdict, Verdict::Broken(_));
                cases.iter().filter(found).count()
            }
        };
        let failed = |case: &&CaseReport| matches!(case.verdict, Verdict::Failed(_));
        let verdict = if broken > 0 {
            "BROKEN"
        } else if cases.iter().copied().any(|case| failed(&case)) {
            "unknown: the suite failed"
        } else if ran.is_empty() {
            "not tried"
        } else if ran.iter().all(|case| is_too_slow(case)) {
            "unknown: too slow to judge"
        } else if ran.iter().any(|case| is_too_slow(case)) {
            "holds, as far as there was time"
        } else {
            "holds"
        };
        let name = law.map_or("all (schedules and races)", Law::name);
        writeln!(f, "{name:26}{:>7}{tried:>10}  {verdict}", ran.len())
    }
}

fn is_too_slow(case: &CaseReport) -> bool {
    matches!(case.verdict, Verdict::TooSlow(_))
}

fn ran(case: &CaseReport) -> bool {
    !matches!(case.verdict, Verdict::NotRun | Verdict::Skipped(_))
}
