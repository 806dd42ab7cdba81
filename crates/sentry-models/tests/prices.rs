//! Every price of the catalogue is recomputed from the extract of the AWS Price List that it cites.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has to stop")]

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;

const CATALOGUE: &str = include_str!("../catalogue.json");
const EXTRACT: &str = include_str!("../prices/us-east-1.json");

/// A product's rate: offer, product, scope, component.
type Key = [String; 4];

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}")).to_owned()
}

/// Dollars per million tokens.
fn per_million(row: &Value) -> Decimal {
    let tokens = match row["unit"].as_str() {
        Some("1K tokens") => 1_000,
        Some("1M tokens") => 1_000_000,
        unit => panic!("{unit:?} in {row}"),
    };
    text(row, "usd").parse::<Decimal>().unwrap() * Decimal::from(1_000_000 / tokens)
}

fn rows(extract: &Value) -> BTreeMap<Key, Decimal> {
    let mut rows = BTreeMap::new();
    for row in extract["rows"].as_array().unwrap() {
        let key = ["offer", "product", "scope", "component"].map(|key| text(row, key));
        assert!(rows.insert(key, per_million(row)).is_none(), "twice: {row}");
    }
    rows
}

#[test]
fn every_price_is_the_one_of_the_rows_that_it_cites() {
    let (catalogue, extract): (Value, Value) =
        (serde_json::from_str(CATALOGUE).unwrap(), serde_json::from_str(EXTRACT).unwrap());
    assert_eq!(catalogue["priceRegion"], extract["region"]);
    let mut rows = rows(&extract);
    let mut checked = 0;
    for model in catalogue["models"].as_array().unwrap() {
        let Some(price) = model["price"].as_object() else { continue };
        let source = &model["priceSource"];
        assert_eq!(source["published"], extract["offers"][text(source, "offer")]["published"], "{model}");
        for (component, rate) in price {
            let [offer, product, scope] = ["offer", "product", "scope"].map(|key| text(source, key));
            let cited = rows.remove(&[offer, product, scope, component.clone()]);
            let cited = cited.unwrap_or_else(|| panic!("no row for {component} of {model}"));
            assert_eq!(rate.as_str().unwrap().parse::<Decimal>().unwrap(), cited, "{component} of {model}");
            checked += 1;
        }
    }
    assert!(checked >= 18, "only {checked} prices were checked");
    assert!(rows.is_empty(), "rows that no price cites: {rows:?}");
}
