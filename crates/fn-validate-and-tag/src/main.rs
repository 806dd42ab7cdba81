//! The Lambda function behind the state `Validate And Tag`.

use chrono::Utc;
use fn_validate_and_tag::validate_and_tag;
use sentry_contract::states::ValidateInput;
use sentry_lambda::StartError;
use sentry_models::Catalogue;
use uuid::Uuid;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let catalogue = Catalogue::bundled().map_err(|error| StartError::Unusable(error.to_string()))?;
    let catalogue = &catalogue;
    sentry_lambda::run(move |input: ValidateInput| async move {
        Ok(validate_and_tag(&input.document, catalogue, Utc::now(), Uuid::new_v4()))
    })
    .await
}
