//! The environment variables of clients, engine, and functions.

use crate::network::local_url;
use std::collections::BTreeMap;
use std::process::Command;

/// The variables that a client of the local AWS needs. `cargo xtask up` prints the same variables for the AWS CLI.
pub fn of_clients(port: u16) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        // Without this variable, StartSyncExecution would go to a host named sync-127.0.0.1.
        ("AWS_DISABLE_HOST_PREFIX_INJECTION", "true".to_owned()),
        ("AWS_ENDPOINT_URL", local_url(port)),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
    ])
}

/// Points a program to the local AWS, and hides the user's own AWS settings from it.
pub fn isolate(command: &mut Command, port: u16) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.envs(of_clients(port)).env("AWS_REGION", "us-east-1");
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_CONFIG_FILE", "/dev/null");
    command.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    for name in ["NO_PROXY", "no_proxy"] {
        command.env(name, without_proxy(std::env::var(name).ok()));
    }
}

/// The user's list of hosts that need no proxy, plus this machine.
fn without_proxy(list: Option<String>) -> String {
    let own = "127.0.0.1,localhost";
    match list {
        Some(list) if !list.is_empty() => format!("{list},{own}"),
        _ => own.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_never_behind_a_proxy() {
        assert_eq!(without_proxy(None), "127.0.0.1,localhost");
        assert_eq!(without_proxy(Some("intra.example".into())), "intra.example,127.0.0.1,localhost");
    }
}
