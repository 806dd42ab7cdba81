//! Publishes the `AWS/Bedrock` metrics of successful calls. They arrive late, as on Bedrock.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::{
    Client,
    config::{BehaviorVersion, Config, Credentials, Region},
    error::DisplayErrorContext,
    primitives::DateTime,
    types::{Dimension, MetricDatum, StandardUnit},
};

use crate::tokens::Usage;

const NAMESPACE: &str = "AWS/Bedrock";

/// Sends metrics to one CloudWatch endpoint.
pub struct Publisher {
    client: Client,
}

impl Publisher {
    /// A publisher for an endpoint without TLS. It uses the credentials that local AWS emulators accept.
    pub fn new(endpoint: &str, region: &str) -> Self {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(endpoint)
            .region(Region::new(region.to_owned()))
            .credentials_provider(Credentials::new("test", "test", None, None, "bedrock-sim"))
            .build();
        Self { client: Client::from_conf(config) }
    }

    /// Publishes the metrics of a call in the background after `delay`. Their timestamp is the time of the call.
    pub fn publish_later(&self, model_id: &str, usage: Usage, called_at: SystemTime, delay: Duration) {
        let request = self
            .client
            .put_metric_data()
            .namespace(NAMESPACE)
            .set_metric_data(Some(metric_data(model_id, usage, called_at)));
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if let Err(error) = request.send().await {
                eprintln!("bedrock-sim: metrics were not published: {}", DisplayErrorContext(error));
            }
        });
    }
}

fn metric_data(model_id: &str, usage: Usage, called_at: SystemTime) -> Vec<MetricDatum> {
    let dimension = Dimension::builder().name("ModelId").value(model_id).build();
    let figures = [
        ("Invocations", Some(1)),
        ("InputTokenCount", Some(usage.input)),
        ("OutputTokenCount", Some(usage.output)),
        ("CacheReadInputTokens", usage.cache_read),
        ("CacheWriteInputTokens", usage.cache_write),
    ];
    let datum = |(name, figure): (&str, Option<u64>)| {
        // Token counts fit in 32 bits (`tokens::MAX_TOKENS`).
        let value = f64::from(u32::try_from(figure?).unwrap_or(u32::MAX));
        let datum = MetricDatum::builder().metric_name(name).value(value).unit(StandardUnit::Count);
        Some(datum.timestamp(DateTime::from(called_at)).dimensions(dimension.clone()).build())
    };
    figures.into_iter().filter_map(datum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_its_metrics_under_its_model_and_time() {
        let called_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let usage = Usage { input: 21, output: 143, cache_read: Some(5), ..Usage::default() };
        let data = metric_data("abc123xyz", usage, called_at);
        let figures: Vec<_> = data.iter().map(|datum| (datum.metric_name().unwrap(), datum.value().unwrap())).collect();
        assert_eq!(
            figures,
            [
                ("Invocations", 1.0),
                ("InputTokenCount", 21.0),
                ("OutputTokenCount", 143.0),
                ("CacheReadInputTokens", 5.0)
            ]
        );
        for datum in &data {
            assert_eq!(datum.timestamp().unwrap().secs(), 1_700_000_000);
            let dimension = datum.dimensions().first().unwrap();
            assert_eq!((dimension.name(), dimension.value()), (Some("ModelId"), Some("abc123xyz")));
        }
    }
}
