//! The catalogue of models. It resolves the name that a client uses to a model.

mod addition;
mod entry;
mod error;
pub mod file;
mod known;
mod load;
mod pictures;
mod regions;
mod resolved;
mod takes;

use std::collections::HashMap;

use chrono::{Days, NaiveDate};
use sentry_contract::request::{Family, Model, PriceSource};
use sentry_domain::{Discount, Price, ServiceTier};

pub use self::addition::{Addition, AdditionError};
use self::entry::{ModelItem, OwnDefaults};
pub use self::error::{InvalidCatalogue, InvalidEntry, ResolveError};
use self::file::{Common, Entry, PriceRow, Sourced, TakesRule, fits};
pub use self::known::{Known, PriceOrigin};
pub use self::load::{COMMON, PROVIDERS};
pub use self::pictures::{Patches, PictureRule};
pub use self::resolved::{Replaced, Resolved, Retiring, TokenLimits};
pub use self::takes::{Cache, CachePatch, Reasoning, ReasoningPatch, Sampling, Takes, TakesPatch, Thinking};
use crate::ids::{self, Arn};

/// Notice period before a model ends.
const NOTICE: Days = Days::new(60);
/// Upper bound on the chain of successors. No model has this many.
const MOST_SUCCESSORS: usize = 20;

/// The models that the sentry knows, with their prices and rules.
#[derive(Debug)]
pub struct Catalogue {
    common: Common,
    /// The account's discount, which applies to every price.
    discount: Discount,
    takes: Vec<TakesRule>,
    profile_only: Vec<Sourced>,
    /// The entries, by model id without a Region group.
    models: HashMap<String, Entry>,
    aliases: HashMap<String, Meaning>,
}

/// The meaning of an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    /// The model of an entry, in the form that the Region can call.
    Model(String),
    /// A fixed id or ARN.
    Id(String),
}

/// The id that a name stands for.
struct Named {
    id: String,
    replaced: Option<Replaced>,
}

/// The Region and the day of a call.
#[derive(Clone, Copy)]
struct Here<'a> {
    region: &'a str,
    today: NaiveDate,
}

impl Catalogue {
    /// Returns the catalogue with `discount`, the account's discount. All prices that it returns are net of the
    /// discount.
    #[must_use]
    pub fn with_discount(self, discount: Discount) -> Self {
        Self { discount, ..self }
    }

    /// Resolves `requested` for a client in `region` on the day `today` (UTC). `requested` is an alias, an id or an
    /// ARN.
    ///
    /// # Errors
    /// If the name stands for no model that can be called. [`ResolveError::Profile`] means that only Bedrock knows the
    /// model.
    pub fn resolve(&self, requested: &str, region: &str, today: NaiveDate) -> Result<Resolved, ResolveError> {
        let here = Here { region, today };
        let named = self.named(requested, here)?;
        self.describe(requested, named, None, here)
    }

    /// Describes the model with the id or ARN `model_id`, which a client in `region` calls `requested`.
    ///
    /// # Errors
    /// The same as for [`Self::resolve`].
    pub fn resolve_id(
        &self,
        requested: &str,
        model_id: &str,
        region: &str,
        today: NaiveDate,
    ) -> Result<Resolved, ResolveError> {
        let named = Named { id: model_id.to_owned(), replaced: None };
        self.describe(requested, named, None, Here { region, today })
    }

    /// The key of the item in the catalogue table that can describe `requested`: the id or ARN that the name stands
    /// for. `None` if no item can have this key.
    #[must_use]
    pub fn item_key(&self, requested: &str, region: &str, today: NaiveDate) -> Option<String> {
        let id = self.named(requested, Here { region, today }).map(|named| named.id).ok()?;
        (ids::is_well_formed(&id) && (id.contains('.') || id.starts_with("arn:"))).then_some(id)
    }

    /// Describes the model of the item `addition`, which a client calls `requested`. The fields of the item take
    /// precedence over the catalogue. `None` if the item is an alias.
    ///
    /// The price of the item is the price in the Region of the table. The returned price is net of the account's
    /// discount.
    ///
    /// # Errors
    /// If the model has no family, is retired, or is not offered in `region`.
    pub fn resolve_added(
        &self,
        requested: &str,
        addition: &Addition,
        region: &str,
        today: NaiveDate,
    ) -> Result<Option<Resolved>, AdditionError> {
        let Some(item) = addition.model() else { return Ok(None) };
        let here = Here { region, today };
        let replaced = self.named(requested, here).ok().filter(|named| named.id == item.id);
        let named = Named { id: item.id.clone(), replaced: replaced.and_then(|named| named.replaced) };
        match self.describe(requested, named, Some(item), here) {
            Err(ResolveError::Unknown) => {
                let problem = "is required: no pattern of the catalogue fits the id";
                Err(AdditionError::Entry(InvalidEntry::new(&item.id, "family", problem)))
            }
            described => Ok(Some(described?)),
        }
    }

    /// Applies the item `addition` to the model `resolved`. This is for an item under the ARN of an application
    /// inference profile that does not name the family. An alias changes nothing.
    #[must_use]
    pub fn overlaid(&self, mut resolved: Resolved, addition: &Addition) -> Resolved {
        let Some(item) = addition.model() else { return resolved };
        self.overlay(&mut resolved, item);
        resolved
    }

    /// The price of `model_id` when it is called from `region`, net of the account's discount. `None` if no price is
    /// known there.
    #[must_use]
    pub fn price(&self, model_id: &str, region: &str) -> Option<Price> {
        let (entry, row) = self.price_row(ids::id_of(model_id), region)?;
        let at_input = self.common.cache_write_at_input.iter().any(|fact| fact.fits(&entry.model));
        let price = if at_input { row.price.with_writes_at_input() } else { row.price };
        Some(price.less(self.discount))
    }

    /// The row of the entry with the price of `id` in `region`.
    fn price_row(&self, id: &str, region: &str) -> Option<(&Entry, &PriceRow)> {
        let (entry, form) = (self.entry_of(id)?, ids::form(id));
        let rows = || entry.prices.iter().filter(|row| self.row_holds(entry, row, form, region));
        let row = rows().find(|row| !row.regions.is_empty()).or_else(|| rows().next())?;
        Some((entry, row))
    }

    /// The `max_tokens` of a request to `model_id` that does not set it, in tokens.
    #[must_use]
    pub fn max_tokens(&self, model_id: &str) -> u32 {
        let entry = self.entry_of(ids::id_of(model_id));
        let thinks = self.takes_of(model_id).reasoning.is_some_and(|reasoning| reasoning.default != Thinking::Off);
        self.limited_max_tokens(entry.and_then(|entry| entry.max_tokens), thinks, entry.and_then(|it| it.output_limit))
    }

    /// The client's name for `model_id`: its first alias in alphabetical order, or the id if it has no alias.
    #[must_use]
    pub fn name_of<'s>(&'s self, model_id: &'s str) -> &'s str {
        let entry = self.entry_of(ids::id_of(model_id));
        entry.and_then(|entry| entry.aliases.iter().min()).map_or(model_id, String::as_str)
    }

    /// The foundation model id under which Bedrock counts the tokens of a prompt to `model_id`. `None` if Bedrock does
    /// not count tokens for this model.
    ///
    /// `CountTokens` rejects the ids of cross-Region profiles, and it does not know application inference profiles.
    #[must_use]
    pub fn counted_as<'m>(&self, model_id: &'m str) -> Option<&'m str> {
        let bare = ids::without_region_group(ids::id_of(model_id));
        self.common.count_tokens.iter().any(|counted| counted.fits(bare)).then_some(bare)
    }

    /// Returns the id that `requested` stands for. The model may be retired.
    fn named(&self, requested: &str, here: Here<'_>) -> Result<Named, ResolveError> {
        let meant = match self.aliases.get(requested) {
            None => return Ok(Named { id: requested.to_owned(), replaced: None }),
            Some(Meaning::Id(id)) => return Ok(Named { id: id.clone(), replaced: None }),
            Some(Meaning::Model(model)) => self.models.get(model).ok_or(ResolveError::Unknown)?,
        };
        let lasts = self.common.lasting.iter().any(|alias| alias == requested);
        let entry = if lasts { self.heir(meant, here.today) } else { meant };
        let replaced = meant.ends.filter(|_| entry.model != meant.model).map(|ended| Replaced {
            requested: requested.to_owned(),
            model: meant.model.clone(),
            ended,
            by: name_of_entry(entry),
        });
        if let Some(id) = self.callable(entry, here.region) {
            Ok(Named { id, replaced })
        } else {
            self.not_retired(requested, entry, entry.ends, None, here.today)?;
            Err(ResolveError::Elsewhere {
                model_id: entry.model.clone(),
                region: here.region.to_owned(),
                offered: self.regions_of(entry),
            })
        }
    }

    /// Combines the facts of the item and of the catalogue about the model `named`.
    fn describe(
        &self,
        requested: &str,
        named: Named,
        item: Option<&ModelItem>,
        here: Here<'_>,
    ) -> Result<Resolved, ResolveError> {
        let Named { id: model_id, replaced } = named;
        let id = ids::id_of(&model_id);
        let family = item.and_then(|item| item.family).or_else(|| self.family_of(id));
        let family = family.ok_or_else(|| without_family(&model_id))?;
        let described = |price: bool| (!price).then_some("its item has no `price`");
        if let Some(missing) = Arn::parse(id)
            .filter(|_| ids::application_profile_id(id).is_none())
            .and_then(|_| described(item.is_some_and(|item| item.price.is_some())))
        {
            return Err(ResolveError::Undescribed { arn: model_id, missing });
        }
        let entry = self.entry_of(id);
        let ends = item.and_then(|item| item.ends).or_else(|| entry.and_then(|entry| entry.ends));
        if let Some(entry) = entry {
            self.not_retired(requested, entry, ends, item, here.today)?;
        } else if let (Some(item), Some(since)) = (item, ends.filter(|ends| *ends <= here.today)) {
            let replacement = item.successor.clone().unwrap_or_else(|| "another model".to_owned());
            return Err(ResolveError::Retired { name: requested.to_owned(), since, replacement });
        }
        self.offered(&model_id, item, here.region)?;
        let takes = self.takes_of(id);
        let limits = self.limits(id);
        let thinks = takes.reasoning.as_ref();
        let max_tokens = self.max_tokens(id);
        let mut resolved = Resolved {
            model: Model {
                requested: requested.to_owned(),
                model_metric: ids::metric_of(&model_id).to_owned(),
                foundation: ids::foundation_of(&model_id),
                family,
                price: self.price(id, here.region),
                price_source: PriceSource::Catalogue,
                reasoning: thinks.and_then(|reasoning| reasoning.style),
                model_id: model_id.clone(),
            },
            defaults: OwnDefaults::default().parameters(max_tokens),
            thinking_max_tokens: self.limited_max_tokens(None, true, limits.output).max(max_tokens),
            limits,
            takes,
            listed: item.is_some() || entry.is_some_and(|entry| self.has_form(entry, ids::form(id), here.region)),
            fallback: entry.and_then(|entry| self.fallback(entry, ids::form(id), here)),
            ends,
            successor: entry.and_then(|entry| self.successor(entry, here.today)),
            retiring: None,
            replaced,
        };
        resolved.takes.service_tiers = tiers(resolved.model.price);
        if let Some(item) = item {
            self.overlay(&mut resolved, item);
        }
        resolved.retiring = retiring(&resolved, here.today);
        Ok(resolved)
    }

    /// Replaces the facts of the catalogue with those of the item.
    fn overlay(&self, resolved: &mut Resolved, item: &ModelItem) {
        let Resolved { model, limits, takes, .. } = resolved;
        model.family = item.family.unwrap_or(model.family);
        if let Some(price) = item.price {
            (model.price, model.price_source) = (Some(price.less(self.discount)), PriceSource::CatalogueTable);
        }
        limits.context_window = item.context_window.or(limits.context_window);
        limits.output = item.output_limit.or(limits.output);
        limits.picture = item.picture.or(limits.picture);
        takes.apply(&item.takes);
        takes.service_tiers = tiers(model.price);
        model.reasoning = takes.reasoning.as_ref().and_then(|reasoning| reasoning.style);
        let thinks = takes.reasoning.as_ref().is_some_and(|reasoning| reasoning.default != Thinking::Off);
        let own = item.defaults.max_tokens.or(resolved.defaults.max_tokens.filter(|_| item.takes.reasoning.is_none()));
        let max_tokens = self.limited_max_tokens(own, thinks, limits.output);
        resolved.defaults = item.defaults.parameters(max_tokens);
        resolved.thinking_max_tokens = self.limited_max_tokens(None, true, limits.output).max(max_tokens);
        resolved.fallback = item.fallback.clone().or_else(|| resolved.fallback.take());
        resolved.ends = item.ends.or(resolved.ends);
        resolved.successor = item.successor.clone().or_else(|| resolved.successor.take());
        resolved.listed = true;
    }

    /// The entry of the model with this id. The Region group of the id is ignored.
    fn entry_of(&self, id: &str) -> Option<&Entry> {
        self.models.get(ids::without_region_group(id))
    }

    /// The entry that `name`, an alias or an id, stands for.
    fn entry_named(&self, name: &str) -> Option<&Entry> {
        match self.aliases.get(name) {
            Some(Meaning::Model(model)) => self.models.get(model),
            Some(Meaning::Id(id)) => self.entry_of(id),
            None => self.entry_of(name),
        }
    }

    /// The family of the first pattern that matches the id without its Region group.
    ///
    /// An application inference profile has no family, because its ARN does not name the model.
    fn family_of(&self, id: &str) -> Option<Family> {
        let bare = ids::without_region_group(id);
        let pattern = self.common.families.iter().find(|entry| fits(&entry.pattern, bare));
        pattern.map(|entry| entry.family).filter(|_| ids::is_well_formed(id))
    }

    /// The capabilities of `model_id`. The entry (from a data set) applies first. The rules (from the vendor's pages)
    /// override it.
    fn takes_of(&self, model_id: &str) -> Takes {
        let bare = ids::without_region_group(ids::id_of(model_id));
        let mut takes = Takes::default();
        if let Some(entry) = self.models.get(bare) {
            takes.apply(&entry.takes);
        }
        for rule in self.takes.iter().filter(|rule| rule.models.iter().any(|pattern| fits(pattern, bare))) {
            takes.apply(&rule.takes);
        }
        takes
    }

    /// The token limits of `id`. They come from its entry, except the picture rule: this is that of the first pattern
    /// that matches the id without its Region group.
    fn limits(&self, id: &str) -> TokenLimits {
        let bare = ids::without_region_group(id);
        let entry = self.models.get(bare);
        let pattern =
            self.common.pictures.iter().find(|entry| entry.patterns.iter().any(|pattern| fits(pattern, bare)));
        TokenLimits {
            context_window: entry.and_then(|entry| entry.context_window),
            output: entry.and_then(|entry| entry.output_limit),
            picture: pattern.map(|entry| entry.rule),
        }
    }

    fn limited_max_tokens(&self, own: Option<u32>, thinks: bool, limit: Option<u32>) -> u32 {
        let defaults = self.common.defaults;
        let common = if thinks { defaults.thinking_max_tokens } else { defaults.max_tokens };
        own.unwrap_or(common).min(limit.unwrap_or(u32::MAX))
    }

    /// Returns `entry` if it has not ended. Otherwise returns its first successor that has not ended, or else its last
    /// successor.
    fn heir<'s>(&'s self, entry: &'s Entry, today: NaiveDate) -> &'s Entry {
        let next = |entry: &&'s Entry| {
            entry.ends.filter(|ends| *ends <= today)?;
            self.entry_named(entry.successor.as_deref()?)
        };
        std::iter::successors(Some(entry), next).take(MOST_SUCCESSORS).last().unwrap_or(entry)
    }

    /// The name of the first successor of `entry` that has not ended on the day `today`, or else of the last successor.
    fn successor(&self, entry: &Entry, today: NaiveDate) -> Option<String> {
        let successor = self.entry_named(entry.successor.as_deref()?)?;
        Some(name_of_entry(self.heir(successor, today)))
    }

    fn not_retired(
        &self,
        requested: &str,
        entry: &Entry,
        ends: Option<NaiveDate>,
        item: Option<&ModelItem>,
        today: NaiveDate,
    ) -> Result<(), ResolveError> {
        let Some(since) = ends.filter(|ends| *ends <= today) else { return Ok(()) };
        let own = item.and_then(|item| item.successor.clone());
        let replacement = own.or_else(|| self.successor(entry, today)).unwrap_or_else(|| "another model".to_owned());
        Err(ResolveError::Retired { name: requested.to_owned(), since, replacement })
    }

    /// The id of the cheaper model for `entry` that can be called here. It has the same `form` if possible, because a
    /// call in Europe must be answered in Europe. Otherwise only the Region's own profile or the bare id is used, and
    /// only if `form` is `bare` or `global`.
    fn fallback(&self, entry: &Entry, form: &str, here: Here<'_>) -> Option<String> {
        let other = self.entry_named(entry.fallback.as_deref()?)?;
        if other.ends.is_some_and(|ends| ends <= here.today) {
            return None;
        }
        if self.has_form(other, form, here.region) {
            return Some(ids::in_form(&other.model, form));
        }
        let own = || self.callable(other, here.region).filter(|id| ids::form(id) != ids::GLOBAL);
        [ids::BARE, ids::GLOBAL].contains(&form).then(own).flatten()
    }

    /// The id under which `region` calls the model: the profile of its own group, else the global profile, else the
    /// bare id.
    fn callable(&self, entry: &Entry, region: &str) -> Option<String> {
        let forms = ids::REGION_GROUPS.into_iter().chain([ids::BARE]);
        forms.into_iter().find(|form| self.has_form(entry, form, region)).map(|form| ids::in_form(&entry.model, form))
    }
}

/// The first alias of the model, or its id if it has no alias.
fn name_of_entry(entry: &Entry) -> String {
    entry.aliases.first().unwrap_or(&entry.model).clone()
}

fn without_family(model_id: &str) -> ResolveError {
    if ids::application_profile_id(model_id).is_some() {
        ResolveError::Profile(model_id.to_owned())
    } else if Arn::parse(model_id).is_some() && ids::id_of(model_id) == model_id {
        ResolveError::Undescribed { arn: model_id.to_owned(), missing: "no item says the `family`" }
    } else {
        ResolveError::Unknown
    }
}

/// The service tiers that `price` has rates for, without the standard tier.
fn tiers(price: Option<Price>) -> Vec<ServiceTier> {
    let Some(Price { tiers, .. }) = price else { return Vec::new() };
    let tiers = [(ServiceTier::Flex, tiers.flex), (ServiceTier::Priority, tiers.priority)];
    tiers.into_iter().filter_map(|(tier, rates)| rates.map(|_| tier)).collect()
}

fn retiring(resolved: &Resolved, today: NaiveDate) -> Option<Retiring> {
    let ends = resolved.ends.filter(|ends| today.checked_add_days(NOTICE).is_none_or(|soon| *ends <= soon))?;
    let successor = resolved.successor.clone().unwrap_or_else(|| "another model".to_owned());
    Some(Retiring { model_id: resolved.model.model_id.clone(), ends, successor })
}

#[cfg(test)]
mod tests;
