//! Catches the headers of an answer, which the SDK does not hand on.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_bedrockruntime::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_bedrockruntime::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_bedrockruntime::error::BoxError;

use super::headers::HeaderCounts;

/// Keeps the counts of the answer that passes.
#[derive(Clone, Debug, Default)]
pub struct CountKeeper(Arc<Mutex<HeaderCounts>>);

impl CountKeeper {
    pub fn counts(&self) -> HeaderCounts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for CountKeeper {
    fn name(&self) -> &'static str {
        "CountKeeper"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = HeaderCounts::read(|name| headers.get(name));
        Ok(())
    }
}
