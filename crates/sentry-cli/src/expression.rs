//! Expressions of DynamoDB for items that somebody else can change at the same time.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

/// An expression of DynamoDB, with its names and values.
#[derive(Debug, Default, PartialEq)]
pub struct Expression {
    /// The text, with placeholders.
    pub text: String,
    /// Names of attributes by placeholder.
    pub names: HashMap<String, String>,
    /// The values of the text's placeholders.
    pub values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// The condition that the item is as it was read: it has every attribute of `before`, and no other one of `known`. If
    /// `before` is `None`, that there is no item. `key` is the key attribute. An item that was edited by hand has no
    /// version, so its content is compared.
    pub fn unchanged<'a>(
        key: &str,
        before: Option<&HashMap<String, AttributeValue>>,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut condition = Self::default();
        let Some(before) = before else {
            let key = condition.name(key);
            condition.text = format!("attribute_not_exists({key})");
            return condition;
        };
        let mut attributes: Vec<&str> = known.into_iter().filter(|name| !before.contains_key(*name)).collect();
        attributes.sort_unstable();
        let mut read: Vec<(&String, &AttributeValue)> = before.iter().collect();
        read.sort_unstable_by_key(|(name, _)| *name);
        let mut parts: Vec<String> = Vec::with_capacity(read.len() + attributes.len());
        for (name, value) in read {
            let (name, value) = (condition.name(name), condition.value(value));
            parts.push(format!("{name} = {value}"));
        }
        for name in attributes {
            let name = condition.name(name);
            parts.push(format!("attribute_not_exists({name})"));
        }
        condition.text = parts.join(" AND ");
        condition
    }

    /// Adds the assignments that make `after` of `before`. Only attributes that differ are touched.
    pub fn assign(
        &mut self,
        key: &str,
        before: Option<&HashMap<String, AttributeValue>>,
        after: &HashMap<String, AttributeValue>,
    ) {
        let old = |name: &str| before.and_then(|before| before.get(name));
        let mut changed: Vec<(&String, &AttributeValue)> =
            after.iter().filter(|(name, value)| *name != key && old(name) != Some(value)).collect();
        changed.sort_unstable_by_key(|(name, _)| *name);
        let mut removed: Vec<&String> = before
            .into_iter()
            .flat_map(HashMap::keys)
            .filter(|name| *name != key && !after.contains_key(*name))
            .collect();
        removed.sort_unstable();
        let set: Vec<String> = changed
            .into_iter()
            .map(|(name, value)| {
                let (name, value) = (self.name(name), self.value(value));
                format!("{name} = {value}")
            })
            .collect();
        let remove: Vec<String> = removed.into_iter().map(|name| self.name(name)).collect();
        self.text = format!("SET {}", set.join(", "));
        if !remove.is_empty() {
            self.text += &format!(" REMOVE {}", remove.join(", "));
        }
    }

    /// The values for a call, which accepts no empty map.
    pub fn given_values(&self) -> Option<HashMap<String, AttributeValue>> {
        Some(self.values.clone()).filter(|values| !values.is_empty())
    }

    /// The placeholder of an attribute's name.
    pub fn name(&mut self, name: &str) -> String {
        if let Some((placeholder, _)) = self.names.iter().find(|(_, other)| *other == name) {
            return placeholder.clone();
        }
        let placeholder = format!("#n{}", self.names.len());
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    /// A placeholder of a value.
    pub fn value(&mut self, value: &AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value.clone());
        placeholder
    }
}
