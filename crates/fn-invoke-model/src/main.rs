//! The Lambda function behind the state `Invoke Model`.

use std::time::Duration;

use fn_invoke_model::{Invoker, client};
use sentry_lambda::{StartError, env};
use sentry_models::Catalogue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let seconds = env::parsed("SENTRY_MODEL_TIMEOUT_SECONDS", "a whole number of seconds")?;
    let timeout = Duration::from_secs(seconds);
    let region = env::required("AWS_REGION")?;
    let discount = env::parsed("SENTRY_DISCOUNT_PERCENT", "a percentage from 0 to 99.99")?;
    let catalogue = Catalogue::bundled().map_err(|error| StartError::Invalid(error.to_string()))?;
    let catalogue = catalogue.with_discount(discount);
    // The invoker enforces the timeout. The SDK's own limits are longer, so a timeout always has the same message.
    let later = timeout + Duration::from_secs(1);
    let client = client(&sentry_lambda::aws_config(later, later).await);
    let invoker = &Invoker::new(client, catalogue, region, timeout);
    sentry_lambda::run(move |event| async move { Ok(invoker.invoke(event).await) }).await
}
