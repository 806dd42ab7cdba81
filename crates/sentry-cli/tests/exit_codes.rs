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

/// A file of this process with `text`.
fn file(name: &str, text: &str) -> String {
    let path = std::env::temp_dir().join(format!("sentry-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_backtest_of_a_file_needs_no_aws_and_refuses_what_it_cannot_replay() {
    let limits = file("limits.yaml", "limits:\n  - modelId: default\n    limit: {requests: 0}\n");
    let line = r#"{"message": "request", "timestamp": "2026-11-21T12:00:00Z", "execution_id": "e", "outcome": "Succeeded",
        "model": "m", "model_id": "m", "usage": "known", "input_tokens": 7, "output_tokens": 3, "cost_usd": "0.25", "tags": {"requestId": "r"},
        "asked": {"inputTokens": 9, "maxTokens": 9, "model": {"requested": "m", "modelId": "m"}}}"#;
    let lines = file("lines.jsonl", &format!("{}\n", line.replace('\n', " ")));
    let backtest = |limits: &str, lines: &str, more: &[&str]| {
        let output = sentry(&[&["limits", "backtest", limits, "--audit", lines], more].concat());
        let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), out, error)
    };
    let (code, out, error) = backtest(&limits, &lines, &["--output", "csv"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.lines().nth(1).unwrap().contains(",denied,BudgetExceeded,model#m,2026-11,requests,"), "{out}");
    let (_, summary, _) = backtest(&limits, &lines, &[]);
    assert!(summary.contains("denied        1\n") && summary.contains("saved         $0.25\n"), "{summary}");

    let wrong = file("wrong.yaml", "limits:\n  - modelId: default\n    limits: {requests: 0}\n");
    let (code, _, error) = backtest(&wrong, &lines, &[]);
    assert_eq!((code, error.contains("line 3")), (Some(1), true), "{error}");
    let (code, _, error) = backtest(&limits, &lines, &["--month", "2026-10"]);
    assert_eq!(
        (code, error.contains("no audit line of a request from 2026-10-01 to 2026-10-31")),
        (Some(1), true),
        "{error}"
    );
    let (code, _, error) = backtest(&limits, "no/such/file", &[]);
    assert_eq!((code, error.contains("no/such/file cannot be read")), (Some(1), true), "{error}");
}
