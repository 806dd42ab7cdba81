//! The Lambda function behind the state `Read Answer`.

use std::time::Duration;

use fn_read_answer::Reader;
use sentry_lambda::{StartError, env};
use sentry_models::Catalogue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let seconds = env::parsed("SENTRY_MODEL_TIMEOUT_SECONDS", "a whole number of seconds")?;
    let region = env::required("AWS_REGION")?;
    let discount = env::parsed("SENTRY_DISCOUNT_PERCENT", "a percentage from 0 to 99.99")?;
    let catalogue = Catalogue::bundled().map_err(|error| StartError::Invalid(error.to_string()))?;
    let catalogue = catalogue.with_discount(discount);
    let reader = &Reader::new(catalogue, region, Duration::from_secs(seconds));
    sentry_lambda::run(move |input| async move { Ok(reader.read(input)) }).await
}
