//! Which end-to-end tests run on which local AWS, and with which parameters of the stack.

/// Short times for the end-to-end tests, which wait for a model that hangs and for configuration changes to take
/// effect. The tests have more applications than the default ceiling of metric values. The watch of ungoverned usage
/// does not run by itself, because it would look at the models of all tests.
pub const PARAMETERS: [&str; 5] = [
    "ModelTimeoutSeconds=3",
    "UsageCacheSeconds=0",
    "MetricsWindowSeconds=1",
    "MetricValuesCeiling=5000",
    "WatchUsageEvery=1 hour",
];
pub const SIMULATOR: [&str; 2] = ["--metrics-delay-seconds=1", "--record=10000"];

/// Stack names, each with its value of `ModelInvocation`. In a `lambda` stack, the functions wait for the model. In a
/// `native` stack, Step Functions calls the model.
pub const STACKS: [(&str, &str); 2] = [("cost-sentry", "lambda"), ("cost-sentry-native", "native")];
/// Tests for the second stack: those that call models, and those that check the whole run. All other tests have the
/// same result on both stacks.
pub const NATIVE_TESTS: [&str; 9] = [
    "tests/test_native.py",
    "tests/test_router.py",
    "tests/test_requests.py",
    "tests/test_model_failures.py",
    "tests/test_families.py",
    "tests/test_rich_prompts.py",
    "tests/test_numbers.py",
    "tests/test_wire_shapes.py",
    "tests/test_logs.py",
];

/// The gateway, which serves HTTPS.
const GATEWAY: &str = "Gateway=on";
/// Profiles by the tags of a request, where there are any.
const PROFILES_BY_TAGS: &str = "ProfilePolicy=preferred";
/// The request queue, and the queue to which the tests want answers sent.
const QUEUE: [&str; 2] =
    ["AsyncConcurrency=10", "ReplyQueueArns=arn:aws:sqs:us-east-1:000000000000:cost-sentry-e2e-replies"];

/// Tests that run alone, because they need both processors: a hundred clients at once, and a campaign of crashes that
/// must happen before the caller gives up. They would also delay every other test.
pub const ALONE: [&str; 2] = ["tests/test_hard_budget.py", "tests/test_crash_campaign.py"];
/// Number of groups that run at the same time, beside the tests that are in no group. With more, requests exceed their
/// timeouts on two processors.
pub const AT_ONCE: usize = 4;
/// Tests that run beside the others, each group on a local AWS of its own, whose functions it may change. Much of their
/// time they wait: for timeouts, retries, and holds that expire. The longest groups come first.
pub const ASIDE: [Aside; 10] = [
    Aside {
        label: "Outages, degrading, the ledger and scopes, beside the others (pytest)",
        files: &["tests/test_degrading.py", "tests/test_ledger.py", "tests/test_outages.py", "tests/test_scopes.py"],
        native: false,
        parameters: &[],
    },
    Aside {
        label: "Models, responses and sizes, beside the others (pytest)",
        files: &["tests/test_models.py", "tests/test_responses.py", "tests/test_sizes.py"],
        native: false,
        parameters: &[],
    },
    Aside {
        label: "Crashes at each step, and late settlements, beside the others (pytest)",
        files: &["tests/test_crash_steps.py", "tests/test_late_settlement.py"],
        native: false,
        parameters: &[],
    },
    Aside {
        label: "Rich prompts, beside the others (pytest)",
        files: &["tests/test_rich_prompts.py"],
        native: true,
        parameters: &[QUEUE[0], QUEUE[1]],
    },
    Aside {
        label: "Alerts and ungoverned usage, beside the others (pytest)",
        files: &["tests/test_alerts.py", "tests/test_ungoverned.py"],
        native: false,
        parameters: &[],
    },
    Aside {
        label: "Profiles by tags, and every form of the command, beside the others (pytest)",
        files: &["tests/test_cli_forms.py", "tests/test_profile_policy.py"],
        native: false,
        parameters: &[PROFILES_BY_TAGS, QUEUE[0], QUEUE[1]],
    },
    Aside {
        label: "The request queue and kept answers, beside the others (pytest)",
        files: &["tests/test_queue.py", "tests/test_replay.py", "tests/test_three_doors.py"],
        native: false,
        parameters: &[GATEWAY, QUEUE[0], QUEUE[1]],
    },
    Aside {
        label: "Clients and callers of the gateway, beside the others (pytest)",
        files: &[
            "tests/test_clients.py",
            "tests/test_gateway_callers.py",
            "tests/test_gateway_invoke.py",
            "tests/test_gateway_openai.py",
            "tests/test_team_entry.py",
        ],
        native: false,
        parameters: &[GATEWAY, "GatewayIam=on", QUEUE[0], QUEUE[1]],
    },
    Aside {
        label: "The gateway, beside the others (pytest)",
        files: &[
            "tests/test_gateway.py",
            "tests/test_gateway_campaign.py",
            "tests/test_gateway_fuzz.py",
            "tests/test_gateway_keys.py",
            "tests/test_gateway_stream.py",
        ],
        native: false,
        parameters: &[GATEWAY, QUEUE[0], QUEUE[1]],
    },
    Aside {
        label: "The command of administrators, beside the others (pytest)",
        files: &[
            "tests/test_cli_ask.py",
            "tests/test_cli_backtest.py",
            "tests/test_cli_limits.py",
            "tests/test_cli_profiles.py",
            "tests/test_cli_prove.py",
            "tests/test_cli_status.py",
            "tests/test_report.py",
        ],
        native: false,
        parameters: &[PROFILES_BY_TAGS, QUEUE[0], QUEUE[1]],
    },
];
/// Tests that check everything that happened on a local AWS, so they run on each.
pub const CLOSING_TESTS: [&str; 2] = ["tests/test_wire_shapes.py", "tests/test_logs.py"];

/// Tests that run beside the others.
pub struct Aside {
    pub label: &'static str,
    pub files: &'static [&'static str],
    /// Afterwards, the tests of the native stack run on the same local AWS.
    pub native: bool,
    /// Parameters of the stack beside [`PARAMETERS`].
    pub parameters: &'static [&'static str],
}
