//! The Lambda function behind the state `Prepare Call`.

use fn_prepare_call::Preparer;
use sentry_lambda::StartError;
use sentry_models::Catalogue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let catalogue = Catalogue::bundled().map_err(|error| StartError::Invalid(error.to_string()))?;
    let preparer = &Preparer::new(catalogue);
    sentry_lambda::run(move |event: Box<_>| async move { Ok(preparer.prepare(&event)) }).await
}
