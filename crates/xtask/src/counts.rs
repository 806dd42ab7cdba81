//! Counts passed, failed, and skipped checks.

use std::ops::AddAssign;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    /// Includes checks that could not run.
    pub failed: u64,
    pub skipped: u64,
}

impl Counts {
    /// The count of one check.
    pub fn one(passed: bool) -> Self {
        Self { passed: u64::from(passed), failed: u64::from(!passed), skipped: 0 }
    }

    /// Adds one failure if a test run ended with an error but reported no failed test, for example because it did not
    /// compile.
    pub fn with_exit(mut self, succeeded: bool) -> Self {
        if !succeeded && self.failed == 0 {
            self.failed = 1;
        }
        self
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The last line of a run.
pub fn summary(counts: Counts) -> String {
    format!("{} passed, {} failed", counts.passed, counts.failed)
}

/// Sums the `test result:` lines of `cargo test`.
pub fn of_cargo_test(output: &str) -> Counts {
    let mut counts = Counts::default();
    for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        counts += Counts {
            passed: number_before(line, " passed"),
            failed: number_before(line, " failed"),
            skipped: number_before(line, " ignored"),
        };
    }
    counts
}

/// The parts of the output of `cargo test` that describe failed tests. With `--show-output` they are not at its end,
/// because the programs that run later write too.
pub fn failures_of_cargo_test(output: &str) -> String {
    let mut failures = String::new();
    let mut inside = false;
    for line in output.lines() {
        inside = line == "failures:" || (inside && !line.starts_with("test result:"));
        if inside {
            failures.push_str(line);
            failures.push('\n');
        }
    }
    failures
}

/// Sums the `<testsuite>` elements of a JUnit report.
pub fn of_junit(report: &str) -> Counts {
    let mut counts = Counts::default();
    for element in report.split("<testsuite ").skip(1) {
        let attributes = element.split('>').next().unwrap_or_default();
        let of = |name: &str| attribute(attributes, name);
        let failed = of("failures") + of("errors");
        let passed = of("tests").saturating_sub(failed + of("skipped"));
        counts += Counts { passed, failed, skipped: of("skipped") };
    }
    counts
}

fn number_before(line: &str, word: &str) -> u64 {
    let before = line.split(word).next().filter(|before| before.len() < line.len());
    before.and_then(|before| before.rsplit([' ', '.']).next()?.parse().ok()).unwrap_or(0)
}

fn attribute(attributes: &str, name: &str) -> u64 {
    let value = attributes.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split('"').next());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_test_lines_are_summed() {
        let output = "running 2 tests\ntest a ... ok\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        assert_eq!(of_cargo_test(output), Counts { passed: 15, failed: 2, skipped: 1 });
        assert_eq!(of_cargo_test("error: could not compile"), Counts::default());
    }

    #[test]
    fn failures_are_found_between_the_outputs_of_programs() {
        let failed = "failures:\n\n---- a stdout ----\npanicked at a.rs\n\n\nfailures:\n    a\n\n";
        let output = format!("test a ... FAILED\n\n{failed}test result: FAILED. 0 passed; 1 failed;\ntest b ... ok\n");
        assert_eq!(failures_of_cargo_test(&output), failed);
        assert_eq!(failures_of_cargo_test("error: could not compile"), "");
    }

    #[test]
    fn junit_suites_are_summed() {
        let report = r#"<?xml version="1.0"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1"
            failures="2" skipped="3" tests="10" time="1.5"><testcase name="a > b" tests="99"/></testsuite></testsuites>"#;
        assert_eq!(of_junit(report), Counts { passed: 4, failed: 3, skipped: 3 });
        assert_eq!(of_junit(""), Counts::default());
    }

    #[test]
    fn an_error_without_a_failed_test_is_a_failure() {
        assert_eq!(Counts::default().with_exit(false), Counts::one(false));
        assert_eq!(Counts::one(true).with_exit(true), Counts::one(true));
        assert_eq!(Counts::one(false).with_exit(false), Counts::one(false));
    }

    #[test]
    fn the_last_line() {
        assert_eq!(summary(Counts { passed: 4, failed: 3, skipped: 3 }), "4 passed, 3 failed");
    }
}
