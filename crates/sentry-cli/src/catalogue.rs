//! The catalogue table: every page of it, and writes that lose nobody's change.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use fn_validate_and_tag::{AttributeItem, KEY, read_addition};

use crate::expression::Expression;
use crate::failure::Failure;
use crate::stack::Stack;

/// Prefix of the key of an alias.
const ALIAS: &str = "alias#";
/// The field of an alias with the id or ARN that it stands for.
const TARGET: &str = "modelId";

/// The catalogue table of a stack.
pub struct CatalogueTable {
    client: Client,
    name: String,
}

impl CatalogueTable {
    pub const fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// The catalogue table of `stack`.
    ///
    /// # Errors
    /// If the stack has none.
    pub fn of(stack: &Stack) -> Result<Self, Failure> {
        Ok(Self::new(stack.dynamodb(), stack.output("CatalogueTableName")?.to_owned()))
    }

    /// All items by key, from every page.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn all(&self) -> Result<BTreeMap<String, AttributeItem>, Failure> {
        let mut items = BTreeMap::new();
        let mut start = None;
        loop {
            let scan = self.client.scan().table_name(&self.name).consistent_read(true).set_exclusive_start_key(start);
            let page = scan.send().await;
            let page = page.map_err(|error| Failure::of_call("the catalogue table cannot be read", &error))?;
            let keyed = page.items.unwrap_or_default().into_iter();
            items.extend(keyed.filter_map(|item| Some((item.get(KEY)?.as_s().ok()?.clone(), item))));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// The item under `key`.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn get(&self, key: &str) -> Result<Option<AttributeItem>, Failure> {
        let read = self.client.get_item().table_name(&self.name).key(KEY, text(key)).consistent_read(true);
        let answer = read.send().await;
        Ok(answer.map_err(|error| Failure::of_call(&format!("the entry {key} cannot be read"), &error))?.item)
    }

    /// Writes `item` under `key` if the table still has `before` there.
    ///
    /// # Errors
    /// [`Failure::Conflict`] if somebody else changed the entry meanwhile. Then nothing is written.
    pub async fn put(&self, key: &str, item: AttributeItem, before: Option<&AttributeItem>) -> Result<(), Failure> {
        let unchanged = Expression::unchanged(KEY, before, []);
        let call = self.client.put_item().table_name(&self.name).set_item(Some(item)).item(KEY, text(key));
        let call = call.condition_expression(&unchanged.text);
        let call = call.set_expression_attribute_values(unchanged.given_values());
        let sent = call.set_expression_attribute_names(Some(unchanged.names)).send().await;
        let conflict = |error: &aws_sdk_dynamodb::error::SdkError<_>| is_conflict(error);
        sent.map(drop).map_err(|error| failure(key, "written", conflict(&error), &error))
    }

    /// Removes the entry `key` if it is still `before`.
    ///
    /// # Errors
    /// [`Failure::Conflict`] if somebody else changed the entry meanwhile. Then it stays.
    pub async fn remove(&self, key: &str, before: &AttributeItem) -> Result<(), Failure> {
        let unchanged = Expression::unchanged(KEY, Some(before), []);
        let call = self.client.delete_item().table_name(&self.name).key(KEY, text(key));
        let call = call.condition_expression(&unchanged.text);
        let call = call.set_expression_attribute_values(unchanged.given_values());
        let sent = call.set_expression_attribute_names(Some(unchanged.names)).send().await;
        let conflict = |error: &aws_sdk_dynamodb::error::SdkError<_>| is_conflict(error);
        sent.map(drop).map_err(|error| failure(key, "removed", conflict(&error), &error))
    }
}

fn is_conflict<E: aws_sdk_dynamodb::error::ProvideErrorMetadata, R>(
    error: &aws_sdk_dynamodb::error::SdkError<E, R>,
) -> bool {
    error.as_service_error().and_then(|error| error.code()) == Some("ConditionalCheckFailedException")
}

fn failure<E, R>(key: &str, verb: &str, conflict: bool, error: &aws_sdk_dynamodb::error::SdkError<E, R>) -> Failure
where
    E: aws_sdk_dynamodb::error::ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    if conflict {
        return Failure::Conflict(format!(
            "the entry {key} was not {verb}, because somebody else changed it meanwhile. Look at it with `sentry models list`, and try again"
        ));
    }
    Failure::of_call(&format!("the entry {key} cannot be {verb}"), error)
}

/// The key of the alias `name`.
pub fn alias_key(name: &str) -> String {
    format!("{ALIAS}{name}")
}

/// The item of an alias for `target`.
pub fn alias_item(key: &str, target: &str) -> AttributeItem {
    [(KEY.to_owned(), text(key)), (TARGET.to_owned(), text(target))].into()
}

/// The names of the aliases that stand for `target`.
pub fn aliases_of(items: &BTreeMap<String, AttributeItem>, target: &str) -> Vec<String> {
    let aliases = items.iter().filter_map(|(key, item)| {
        let name = key.strip_prefix(ALIAS)?;
        let addition = read_addition(key, item.clone()).ok()?;
        (addition.target() == Some(target)).then(|| name.to_owned())
    });
    aliases.collect()
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
    use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
    use aws_smithy_mocks::{RuleMode, mock};
    use test_support::mock_client;

    use super::*;

    #[tokio::test]
    async fn a_write_names_every_field_that_was_read() {
        let put = mock!(Client::put_item)
            .match_requests(|request| request.condition_expression() == Some("#n0 = :v0 AND #n1 = :v1"))
            .then_output(|| PutItemOutput::builder().build());
        let table = CatalogueTable::new(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&put]), "t".to_owned());
        let item = |target| alias_item("alias#a", target);
        table.put("alias#a", item("amazon.b"), Some(&item("amazon.a"))).await.unwrap();
    }

    #[tokio::test]
    async fn the_second_of_two_administrators_is_told() {
        let put = mock!(Client::put_item).then_error(|| {
            let meta = ErrorMetadata::builder().code("ConditionalCheckFailedException").build();
            let error = ConditionalCheckFailedException::builder().meta(meta).build();
            PutItemError::ConditionalCheckFailedException(error)
        });
        let table = CatalogueTable::new(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&put]), "t".to_owned());
        let failure = table.put("alias#a", alias_item("alias#a", "amazon.a"), None).await.unwrap_err();
        assert!(matches!(failure, Failure::Conflict(_)), "{failure}");
    }
}
