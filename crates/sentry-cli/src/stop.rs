//! `sentry stop`, `sentry resume` and `sentry raise`.

use crate::cli::Global;
use crate::failure::Failure;

#[derive(clap::Args)]
pub struct StopArgs {}

#[derive(clap::Args)]
pub struct ResumeArgs {}

#[derive(clap::Args)]
pub struct RaiseArgs {}

/// Stops a scope.
pub async fn stop(_global: &Global, _args: &StopArgs) -> Result<(), Failure> {
    Err(Failure::Refused("not built yet".to_owned()))
}

/// Ends the stop of a scope.
pub async fn resume(_global: &Global, _args: &ResumeArgs) -> Result<(), Failure> {
    Err(Failure::Refused("not built yet".to_owned()))
}

/// Raises the limits of a scope.
pub async fn raise(_global: &Global, _args: &RaiseArgs) -> Result<(), Failure> {
    Err(Failure::Refused("not built yet".to_owned()))
}
