//! The limits table and the table of its changes. An item and the record of its change are written together or not at all.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fn_lookup_limit::{Item, KEY, attributes};

use super::change::{Change, UPDATED_AT, UPDATED_BY, as_text, differences};
use crate::expression::Expression;
use crate::failure::Failure;
use crate::stack::Stack;

/// Days that a change is kept if the stack has no parameter `HistoryDays`.
const HISTORY_DAYS: i64 = 400;
/// Attempts to write an item that others write at the same moment.
const ATTEMPTS: u32 = 4;
const CHANGES_TABLE: &str = "LimitChangesTable";
/// Attributes of a change.
const CHANGED_AT: &str = "changedAt";
const BEFORE: &str = "before";
const AFTER: &str = "after";
const BY: &str = "by";
const WHAT: &str = "what";
const EXPIRES_AT: &str = "expiresAt";

/// The limits table of a stack.
pub struct Store {
    client: Client,
    table: String,
    history_days: i64,
}

/// The table of changes, and the identity of the administrator.
pub struct Writer<'s> {
    store: &'s Store,
    changes: String,
    by: String,
}

/// A change that was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub at: String,
    pub by: String,
    /// The command, such as `set` or `stop`.
    pub what: String,
    pub before: Option<Item>,
    pub after: Option<Item>,
}

impl Store {
    /// The limits table of `stack`.
    ///
    /// # Errors
    /// If the stack has none.
    pub fn of(stack: &Stack) -> Result<Self, Failure> {
        let history_days = stack.parameter("HistoryDays").and_then(|days| days.parse().ok()).unwrap_or(HISTORY_DAYS);
        Ok(Self { client: stack.dynamodb(), table: stack.output("LimitsTableName")?.to_owned(), history_days })
    }

    /// All items by key, from every page.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn all(&self) -> Result<BTreeMap<String, Item>, Failure> {
        let mut items = BTreeMap::new();
        let mut start = None;
        loop {
            let scan = self.client.scan().table_name(&self.table).consistent_read(true).set_exclusive_start_key(start);
            let page = scan.send().await.map_err(|error| Failure::of_call("the limits cannot be read", &error))?;
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
    pub async fn get(&self, key: &str) -> Result<Option<Item>, Failure> {
        let read = self.client.get_item().table_name(&self.table).key(KEY, text(key)).consistent_read(true);
        let answer = read.send().await;
        Ok(answer.map_err(|error| Failure::of_call(&format!("the item {key} cannot be read"), &error))?.item)
    }

    /// The recorded changes of the item under `key`, the latest first, from every page.
    ///
    /// # Errors
    /// If the table of changes cannot be read.
    pub async fn history(&self, stack: &Stack, key: &str) -> Result<Vec<Recorded>, Failure> {
        let changes = changes_table(stack).await?;
        let mut recorded = Vec::new();
        let mut start = None;
        loop {
            let query = self.client.query().table_name(&changes).key_condition_expression("#key = :key");
            let query = query.expression_attribute_names("#key", KEY).expression_attribute_values(":key", text(key));
            let query = query.consistent_read(true).scan_index_forward(false).set_exclusive_start_key(start);
            let page = query.send().await.map_err(|error| Failure::of_call("the history cannot be read", &error))?;
            recorded.extend(page.items.unwrap_or_default().into_iter().map(Recorded::of));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(recorded);
            }
        }
    }

    /// Prepares to write: finds the table of changes and the caller's identity.
    ///
    /// # Errors
    /// If AWS cannot be reached, or the stack has no table of changes.
    pub async fn writer(&self, stack: &Stack) -> Result<Writer<'_>, Failure> {
        let changes = changes_table(stack).await?;
        Ok(Writer { store: self, changes, by: stack.caller().await? })
    }
}

impl Writer<'_> {
    /// Writes `change` and its record, if the item is still as it was read. `what` names the command.
    ///
    /// # Errors
    /// [`Failure::Conflict`] with the difference if somebody else changed the item meanwhile. Then nothing is written.
    pub async fn write(&self, change: &Change, what: &str) -> Result<(), Failure> {
        let doing = format!("{} cannot be written", change.key);
        for attempt in 1.. {
            let now = Utc::now();
            let item = self.action(change, now).map_err(|error| Failure::Refused(format!("{doing}: {error}")))?;
            let record =
                self.record(change, what, now).map_err(|error| Failure::Refused(format!("{doing}: {error}")))?;
            let call = self.store.client.transact_write_items().transact_items(item).transact_items(record);
            let Err(error) = call.send().await else { break };
            let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
                return Err(unknown_end(Failure::of_call(&doing, &error), &change.key));
            };
            let reasons = canceled.cancellation_reasons();
            let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason.code()).collect();
            if let Some(conflict) = self.conflict(change).await? {
                return Err(conflict);
            }
            // The item is as it was read, so another writer was only busy with it.
            if attempt >= ATTEMPTS || !codes.iter().any(|code| code.contains("Conflict") || code.contains("Condition"))
            {
                return Err(Failure::Refused(format!("{doing}: AWS answered {}", codes.join(", "))));
            }
        }
        Ok(())
    }

    /// The conflict with the item that is there now. `None` if it is still as it was read.
    async fn conflict(&self, change: &Change) -> Result<Option<Failure>, Failure> {
        let now = self.store.get(&change.key).await?;
        if now == change.before {
            return Ok(None);
        }
        let changes = differences(change.before.as_ref(), now.as_ref());
        let who = now.as_ref().and_then(|item| item.get(UPDATED_BY)?.as_s().ok()).filter(|_| now != change.before);
        let who = who.map_or_else(|| "somebody".to_owned(), Clone::clone);
        let difference = match (&now, changes.is_empty()) {
            (None, _) => "it was removed".to_owned(),
            (Some(_), true) => "only its form, or who changed it and when".to_owned(),
            (Some(_), false) => as_text(&changes),
        };
        let key = &change.key;
        Ok(Some(Failure::Conflict(format!(
            "{key} was changed meanwhile by {who}, so this change was not written. Since it was read: {difference}. Look at it with \
             `sentry limits get {key}`, and run the command again if the change is still right"
        ))))
    }

    fn action(
        &self,
        change: &Change,
        now: DateTime<Utc>,
    ) -> Result<TransactWriteItem, aws_sdk_dynamodb::error::BuildError> {
        let condition = Expression::unchanged(KEY, change.before.as_ref(), attributes());
        let action = TransactWriteItem::builder();
        let table = &self.store.table;
        let Some(after) = &change.after else {
            let delete = Delete::builder().table_name(table).key(KEY, text(&change.key));
            let delete = delete.condition_expression(condition.text);
            let delete = delete.set_expression_attribute_names(Some(condition.names));
            let values = Some(condition.values).filter(|values| !values.is_empty());
            return Ok(action.delete(delete.set_expression_attribute_values(values).build()?).build());
        };
        let stamped = self.stamped(after, now);
        let Expression { text: condition, names, values } = condition;
        let mut update = Expression { text: String::new(), names, values };
        update.assign(KEY, change.before.as_ref(), &stamped);
        let write = Update::builder().table_name(table).key(KEY, text(&change.key)).update_expression(update.text);
        let write = write.condition_expression(condition).set_expression_attribute_names(Some(update.names));
        Ok(action.update(write.set_expression_attribute_values(Some(update.values)).build()?).build())
    }

    /// `item` with who wrote it and when.
    fn stamped(&self, item: &Item, now: DateTime<Utc>) -> Item {
        let mut stamped: Item = item.clone();
        stamped.retain(|_, value| !value.is_null());
        stamped.insert(UPDATED_BY.to_owned(), text(&self.by));
        stamped.insert(UPDATED_AT.to_owned(), text(&now.to_rfc3339_opts(SecondsFormat::Secs, true)));
        stamped
    }

    fn record(
        &self,
        change: &Change,
        what: &str,
        now: DateTime<Utc>,
    ) -> Result<TransactWriteItem, aws_sdk_dynamodb::error::BuildError> {
        let expires = now + TimeDelta::days(self.store.history_days);
        let mut put = Put::builder()
            .table_name(&self.changes)
            .item(KEY, text(&change.key))
            .item(CHANGED_AT, text(&now.to_rfc3339_opts(SecondsFormat::Micros, true)))
            .item(BY, text(&self.by))
            .item(WHAT, text(what))
            .item(EXPIRES_AT, AttributeValue::N(expires.timestamp().to_string()));
        if let Some(before) = &change.before {
            put = put.item(BEFORE, AttributeValue::M(before.clone()));
        }
        if let Some(after) = &change.after {
            put = put.item(AFTER, AttributeValue::M(self.stamped(after, now)));
        }
        let put = put.condition_expression("attribute_not_exists(#key)").expression_attribute_names("#key", KEY);
        Ok(TransactWriteItem::builder().put(put.build()?).build())
    }
}

impl Recorded {
    fn of(mut record: Item) -> Self {
        let mut taken = |name: &str| record.remove(name);
        let mut side = |name: &str| taken(name).and_then(|value| value.as_m().ok().cloned());
        let (before, after) = (side(BEFORE), side(AFTER));
        let mut said =
            |name: &str| record.remove(name).and_then(|value| value.as_s().ok().cloned()).unwrap_or_default();
        Self { at: said(CHANGED_AT), by: said(BY), what: said(WHAT), before, after }
    }
}

/// The table of changes. A stack of an older version has none.
async fn changes_table(stack: &Stack) -> Result<String, Failure> {
    stack.resource(CHANGES_TABLE).await.map_err(|failure| match failure {
        Failure::Refused(message) => {
            Failure::Refused(format!("{message}. If the stack is older than this command, deploy its present version"))
        }
        other => other,
    })
}

/// Adds to the failure of a call that may have arrived what is not known.
fn unknown_end(failure: Failure, key: &str) -> Failure {
    match failure {
        Failure::Unreachable(message) => Failure::Unreachable(format!(
            "{message}. It is not known whether the change arrived; `sentry limits get {key}` shows it"
        )),
        other => other,
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::file::parse_item;
    use super::*;

    fn item(text: &str) -> Item {
        parse_item(text, None).unwrap().item
    }

    #[test]
    fn the_condition_compares_what_was_read_and_excludes_what_was_absent() {
        let condition = Expression::unchanged(KEY, Some(&item("{modelId: a, limit: {usd: 5}, _own: x}")), attributes());
        let name = |name: &str| {
            condition.names.iter().find(|(_, other)| *other == name).map(|(placeholder, _)| placeholder.as_str())
        };
        for read in ["modelId", "limit", "_own"] {
            assert!(condition.text.contains(&format!("{} = :v", name(read).unwrap())), "{read}");
        }
        for absent in attributes().filter(|name| *name != "limit") {
            assert!(condition.text.contains(&format!("attribute_not_exists({})", name(absent).unwrap())), "{absent}");
        }
        assert!(condition.text.len() < 2_000, "DynamoDB takes 4 KB");
        assert_eq!(Expression::unchanged(KEY, None, attributes()).text, "attribute_not_exists(#n0)");
    }

    #[test]
    fn only_attributes_that_differ_are_written() {
        let mut update = Expression::default();
        update.assign(
            KEY,
            Some(&item("{modelId: a, limit: {usd: 5}, note: x, owner: jo}")),
            &item("{modelId: a, limit: {usd: 6}, owner: jo}"),
        );
        assert_eq!(update.text, "SET #n0 = :v0 REMOVE #n1");
        assert_eq!(update.names["#n0"], "limit");
        assert_eq!(update.names["#n1"], "note");
    }
}
