//! The bill, from Cost Explorer.

use aws_sdk_costexplorer::Client;
use aws_sdk_costexplorer::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_costexplorer::operation::get_cost_and_usage::{GetCostAndUsageError, GetCostAndUsageOutput};
use aws_sdk_costexplorer::types::{DateInterval, Granularity, Group, GroupDefinition, GroupDefinitionType};
use chrono::{Days, NaiveDate};
use rust_decimal::Decimal;
use sentry_domain::Usd;
use sentry_report::{Bill, Billed, Month, Reading};

/// The metric: what is billed, without spreading fees over time.
const METRIC: &str = "UnblendedCost";
/// The product attribute with Bedrock's name of the model.
///
/// Source: API reference of AWS Cost Explorer, `ProductAttributeValues`, read in November 2026. It has data from September
/// 2026 on, and only for Bedrock.
const MODEL: &str = "model";
/// Decimals of a picodollar.
const DECIMALS: u32 = 12;

type CallError = SdkError<GetCostAndUsageError>;

/// The second key by which the bill is grouped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The model, which only Bedrock's costs have.
    Model,
    /// The service, whose name has the word Bedrock. A model of another vendor is a service of its own.
    Service,
}

/// Asks for the bill of `month` up to `today`, by day, by the cost-allocation tag `tag_key` and by model. If Cost Explorer
/// cannot group by model, it is asked by service.
pub async fn bill(client: &Client, month: Month, today: NaiveDate, tag_key: &str) -> Reading<Bill> {
    let mut requests = 0;
    let by_model = ask(client, month, today, tag_key, By::Model, &mut requests).await;
    let answered = match by_model {
        Err(error) if knows_no_models(&error) => ask(client, month, today, tag_key, By::Service, &mut requests).await,
        answered => answered,
    };
    match answered {
        Ok(bill) => Reading::Known(Bill { requests, ..bill }),
        Err(error) => Reading::Unknown(reason(&error)),
    }
}

/// `true` for a month before September 2026, and for a Cost Explorer that does not know product attributes.
fn knows_no_models(error: &CallError) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    code.is_some_and(|code| ["DataUnavailableException", "ValidationException"].contains(&code))
}

fn reason(error: &CallError) -> String {
    match error.as_service_error() {
        Some(service) => {
            let code = service.code().unwrap_or("an error without a code");
            format!("Cost Explorer answered {code}: {}", service.message().unwrap_or("no message"))
        }
        None => format!("Cost Explorer cannot be reached ({}).", sentry_lambda::cause(error)),
    }
}

async fn ask(
    client: &Client,
    month: Month,
    today: NaiveDate,
    tag_key: &str,
    by: By,
    requests: &mut u32,
) -> Result<Bill, CallError> {
    let end = (today + Days::new(1)).min(month.next().first()).max(month.first() + Days::new(1));
    let mut bill = Bill { tag_key: tag_key.to_owned(), ..Bill::default() };
    let mut page = None;
    loop {
        let second = match by {
            By::Model => definition(GroupDefinitionType::ProductAttribute, MODEL),
            By::Service => definition(GroupDefinitionType::Dimension, "SERVICE"),
        };
        let period = DateInterval::builder().start(month.first().to_string()).end(end.to_string());
        let call = client
            .get_cost_and_usage()
            .time_period(period.build().map_err(SdkError::construction_failure)?)
            .granularity(Granularity::Daily)
            .metrics(METRIC)
            .group_by(definition(GroupDefinitionType::Tag, tag_key))
            .group_by(second)
            .set_next_page_token(page);
        *requests += 1;
        let answer = call.send().await?;
        add(&mut bill, &answer, by);
        page = answer.next_page_token;
        if page.is_none() {
            return Ok(bill);
        }
    }
}

fn definition(kind: GroupDefinitionType, key: &str) -> GroupDefinition {
    GroupDefinition::builder().r#type(kind).key(key).build()
}

fn add(bill: &mut Bill, answer: &GetCostAndUsageOutput, by: By) {
    for result in answer.results_by_time() {
        let day = result.time_period().and_then(|period| period.start().parse().ok());
        let Some(day) = day else { continue };
        result.groups().iter().for_each(|group| add_group(bill, day, group, by));
    }
}

fn add_group(bill: &mut Bill, day: NaiveDate, group: &Group, by: By) {
    let [tag, second] = group.keys() else { return };
    let second = value(second);
    let is_of_bedrock = match by {
        By::Model => !second.is_empty(),
        By::Service => second.to_lowercase().contains("bedrock"),
    };
    let amount = group.metrics().and_then(|metrics| metrics.get(METRIC)?.amount()).and_then(picodollars);
    let Some((usd, is_negative)) = amount.filter(|_| is_of_bedrock) else { return };
    if is_negative {
        bill.credits = bill.credits + usd;
        return;
    }
    let model = (by == By::Model).then(|| second.to_owned());
    bill.lines.push(Billed { day, tag: value(tag).to_owned(), model, usd });
}

/// The value of a key such as `costCenter$sales` or `model$Claude Haiku 4.5`. A dimension has no name before its value.
fn value(key: &str) -> &str {
    key.split_once('$').map_or(key, |(_, value)| value)
}

/// The amount without its sign, and whether it is negative. Decimals past the twelfth are cut off.
fn picodollars(amount: &str) -> Option<(Usd, bool)> {
    // `parse` rounds digits that a decimal cannot hold.
    let decimal: Decimal = amount.parse().or_else(|_| Decimal::from_scientific(amount)).ok()?;
    let size = decimal.abs().trunc_with_scale(DECIMALS);
    let usd = size.to_string().parse().ok()?;
    Some((usd, decimal.is_sign_negative() && !size.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_costexplorer::types::MetricValue;

    fn group(keys: [&str; 2], amount: &str) -> Group {
        let metric = MetricValue::builder().amount(amount).unit("USD").build();
        Group::builder().set_keys(Some(keys.map(str::to_owned).to_vec())).metrics(METRIC, metric).build()
    }

    #[test]
    fn an_amount_is_read_exactly() {
        let read = |text: &str| picodollars(text).map(|(usd, negative)| (usd.to_string(), negative));
        assert_eq!(read("12.3456789012"), Some(("12.3456789012".to_owned(), false)));
        assert_eq!(read("0.00000000000199"), Some(("0.000000000001".to_owned(), false)));
        assert_eq!(read("1.2E-7"), Some(("0.000000120".to_owned(), false)));
        assert_eq!(read("-3"), Some(("3.000000000".to_owned(), true)));
        assert_eq!(read("-0"), Some(("0.000000000".to_owned(), false)));
        let long = "1.00000000000000000000000000000000000001";
        assert_eq!(read(long), Some(("1.000000000".to_owned(), false)));
        assert_eq!(read("three"), None);
    }

    #[test]
    fn only_what_is_of_bedrock_is_on_the_bill() {
        let day = "2026-11-21".parse().unwrap();
        let mut bill = Bill::default();
        // The form of the keys is that of the API reference, `GetCostAndUsage`: `costCenter$` has no value.
        for (keys, amount) in [
            (["costCenter$sales", "model$Claude Haiku 4.5"], "2.5"),
            (["costCenter$", "model$Nova Lite"], "1"),
            (["costCenter$", "model$"], "4000"),
            (["costCenter$sales", "model$Nova Lite"], "-0.5"),
        ] {
            add_group(&mut bill, day, &group(keys, amount), By::Model);
        }
        let lines: Vec<(&str, Option<&str>, String)> =
            bill.lines.iter().map(|line| (line.tag.as_str(), line.model.as_deref(), line.usd.to_string())).collect();
        assert_eq!(
            lines,
            [
                ("sales", Some("Claude Haiku 4.5"), "2.500000000".to_owned()),
                ("", Some("Nova Lite"), "1.000000000".to_owned())
            ]
        );
        assert_eq!(bill.credits.to_string(), "0.500000000");
        let mut by_service = Bill::default();
        for service in ["Amazon Bedrock", "Claude Haiku 4.5 (Amazon Bedrock Edition)", "Amazon EC2"] {
            add_group(&mut by_service, day, &group(["costCenter$sales", service], "1"), By::Service);
        }
        assert_eq!(by_service.lines.len(), 2);
    }
}
