//! The command as a process: exit codes and messages, without AWS.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

/// Runs the command with credentials, and without any AWS configuration of this machine.
fn sentry(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sentry"))
        .env_clear()
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "us-east-1")])
        .envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")])
        .args(arguments)
        .output()
        .unwrap()
}

fn code_and_message(arguments: &[&str]) -> (Option<i32>, String) {
    let output = sentry(arguments);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_wrong_argument_is_exit_code_2_and_is_named() {
    for (arguments, word) in [
        (vec!["report", "--mont", "2026-11"], "--mont"),
        (vec!["report", "--month", "november"], "november"),
        (vec!["report", "--month", "2999-01"], "has not begun"),
        (vec!["usage", "--by", "a#b"], "a#b"),
        (vec!["usage", "--from", "2026-11-02", "--to", "2026-11-01"], "is after"),
        (vec!["trace", "a\"b"], "requestId"),
        (vec![], "Usage"),
    ] {
        let (code, message) = code_and_message(&arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {message}");
        assert!(message.contains(word), "{arguments:?}: {message}");
    }
}

#[test]
fn an_aws_that_cannot_be_reached_is_exit_code_3_and_says_what_to_check() {
    // Port 9 of this machine is the discard service, which nobody runs.
    let (code, message) = code_and_message(&["--endpoint-url", "http://127.0.0.1:9", "usage"]);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("--endpoint-url") && message.contains("the stack cost-sentry"), "{message}");
}

#[test]
fn the_help_says_what_the_bill_costs_and_what_exit_codes_mean() {
    let help = |arguments: &[&str]| String::from_utf8(sentry(arguments).stdout).unwrap();
    assert!(help(&["report", "--help"]).contains("$0.01"));
    assert!(help(&["--help"]).contains("Exit codes"));
}
