//! The DynamoDB capacity that the calls of a request consume.
//!
//! The rules are those of "DynamoDB read and write operations" in the Amazon DynamoDB Developer Guide. A write of an
//! item up to 1 KB is one unit, even if its condition fails. A strongly consistent read of an item up to 4 KB is one
//! unit, and another read is half a unit. In a transaction, both are two units. A query reads all items that it finds
//! as one item. All items here are below 1 KB, see [`largest`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemInput, BatchGetItemOutput};
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemInput, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::transact_get_items::{TransactGetItemsInput, TransactGetItemsOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// The calls, and the capacity that they consumed.
#[derive(Debug, Default)]
pub struct Bill {
    /// Write units by the rules.
    pub writes: usize,
    /// Read units by the rules.
    pub reads: f64,
    /// Units that the engine reports. It reports none for a write whose condition fails.
    pub reported: f64,
    calls: BTreeMap<&'static str, usize>,
}

impl Bill {
    /// The calls in one line.
    pub fn calls(&self) -> String {
        self.calls.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
    }

    fn add(&mut self, name: &'static str, writes: usize, reads: f64) {
        *self.calls.entry(name).or_default() += 1;
        self.writes += writes;
        self.reads += reads;
    }
}

/// Counts calls, and asks for the capacity that they consumed.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Bill>>);

impl Meter {
    /// A copy of the client with a meter.
    pub fn attach(client: Client) -> (Client, Self) {
        let meter = Self::default();
        let config = client.config().to_builder().interceptor(meter.clone()).build();
        (Client::from_conf(config), meter)
    }

    /// The calls and the capacity since the last `take`.
    pub fn take(&self) -> Bill {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (input, mut bill) = (context.input_mut(), self.0.lock().unwrap());
        let total = Some(ReturnConsumedCapacity::Total);
        if let Some(put) = input.downcast_mut::<PutItemInput>() {
            put.return_consumed_capacity = total;
            bill.add("PutItem", 1, 0.0);
        } else if let Some(delete) = input.downcast_mut::<DeleteItemInput>() {
            delete.return_consumed_capacity = total;
            bill.add("DeleteItem", 1, 0.0);
        } else if let Some(update) = input.downcast_mut::<UpdateItemInput>() {
            update.return_consumed_capacity = total;
            bill.add("UpdateItem", 1, 0.0);
        } else if let Some(get) = input.downcast_mut::<GetItemInput>() {
            get.return_consumed_capacity = total;
            bill.add("GetItem", 0, strength(get.consistent_read));
        } else if let Some(query) = input.downcast_mut::<QueryInput>() {
            query.return_consumed_capacity = total;
            bill.add("Query", 0, 0.0);
        } else if let Some(write) = input.downcast_mut::<TransactWriteItemsInput>() {
            write.return_consumed_capacity = total;
            let items = write.transact_items.as_ref().map_or(0, Vec::len);
            bill.add("TransactWriteItems", 2 * items, 0.0);
        } else if let Some(get) = input.downcast_mut::<TransactGetItemsInput>() {
            get.return_consumed_capacity = total;
            let items = get.transact_items.as_ref().map_or(0, Vec::len);
            bill.add("TransactGetItems", 0, 2.0 * items as f64);
        } else if let Some(get) = input.downcast_mut::<BatchGetItemInput>() {
            get.return_consumed_capacity = total;
            let tables = get.request_items.iter().flat_map(HashMap::values);
            let units = tables.map(|table| table.keys.len() as f64 * strength(table.consistent_read)).sum();
            bill.add("BatchGetItem", 0, units);
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Ok(output) = context.output_or_error() else { return Ok(()) };
        if let Some(found) = output.downcast_ref::<QueryOutput>() {
            let bytes: usize = found.items().iter().map(bytes_of).sum();
            self.0.lock().unwrap().reads += bytes.div_ceil(4_096).max(1) as f64 * strength(None);
        }
        let one = None
            .or_else(|| output.downcast_ref::<PutItemOutput>()?.consumed_capacity())
            .or_else(|| output.downcast_ref::<DeleteItemOutput>()?.consumed_capacity())
            .or_else(|| output.downcast_ref::<UpdateItemOutput>()?.consumed_capacity())
            .or_else(|| output.downcast_ref::<GetItemOutput>()?.consumed_capacity());
        let many = None
            .or_else(|| Some(output.downcast_ref::<TransactWriteItemsOutput>()?.consumed_capacity()))
            .or_else(|| Some(output.downcast_ref::<BatchGetItemOutput>()?.consumed_capacity()))
            .or_else(|| Some(output.downcast_ref::<TransactGetItemsOutput>()?.consumed_capacity()));
        let units = one.into_iter().chain(many.into_iter().flatten()).filter_map(ConsumedCapacity::capacity_units);
        self.0.lock().unwrap().reported += units.sum::<f64>();
        Ok(())
    }
}

/// Units of a read of up to 4 KB.
const fn strength(consistent: Option<bool>) -> f64 {
    if matches!(consistent, Some(true)) { 1.0 } else { 0.5 }
}

/// Bytes of the table's largest item.
pub async fn largest(client: &Client, table: &str) -> usize {
    let items = client.scan().table_name(table).send().await.unwrap();
    items.items().iter().map(bytes_of).max().unwrap_or_default()
}

/// Bytes of an item by DynamoDB's rules: names and values. A number takes half a byte per digit, and one more byte.
pub fn bytes_of(item: &HashMap<String, AttributeValue>) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len().div_ceil(2) + 1,
        AttributeValue::Bool(_) => 1,
        other => panic!("the ledger writes no such value: {other:?}"),
    };
    item.iter().map(|(name, each)| name.len() + value(each)).sum()
}
