//! The Regions from which a model can be called.

use std::collections::BTreeSet;

use super::Catalogue;
use super::entry::ModelItem;
use super::error::ResolveError;
use super::file::{Entry, PriceRow, fits};
use crate::ids;

impl Catalogue {
    /// `true` if the model can be called in `form` from `region`.
    pub(super) fn has_form(&self, entry: &Entry, form: &str, region: &str) -> bool {
        entry.prices.iter().any(|row| self.row_holds(entry, row, form, region))
            || entry.forms.iter().any(|other| other == form) && self.is_form_of(form, region)
    }

    /// `true` if the price of `row` applies to `form` in `region`.
    pub(super) fn row_holds(&self, entry: &Entry, row: &PriceRow, form: &str, region: &str) -> bool {
        if !row.r#for.iter().any(|other| other == form) {
            return false;
        }
        if !row.regions.is_empty() {
            return row.regions.iter().any(|at| is_at(at, region));
        }
        self.is_form_of(form, region) && !(form == ids::BARE && self.is_profile_only(&entry.model))
    }

    /// `true` if ids of `form` can be called from `region`: bare ids in commercial Regions, profiles in the Regions of
    /// their group.
    fn is_form_of(&self, form: &str, region: &str) -> bool {
        match self.common.region_groups.get(form) {
            Some(regions) => regions.iter().any(|at| is_at(at, region)),
            None => form == ids::BARE && ids::partition(region) == "aws",
        }
    }

    fn is_profile_only(&self, model: &str) -> bool {
        self.profile_only.iter().any(|fact| fact.fits(model))
    }

    /// All Regions, or prefixes of Regions, from which the model can be called.
    pub(super) fn regions_of(&self, entry: &Entry) -> Vec<String> {
        let mut regions = self.regions_of_forms(&entry.forms);
        for row in &entry.prices {
            if row.regions.is_empty() {
                regions.extend(self.regions_of_forms(&row.r#for));
            } else {
                regions.extend_from_slice(&row.regions);
            }
        }
        regions.sort();
        regions.dedup();
        regions
    }

    /// The Regions from which ids of these forms can be called. A bare id counts like a global one.
    fn regions_of_forms<'a>(&self, forms: impl IntoIterator<Item = &'a String>) -> Vec<String> {
        let mut regions = Vec::new();
        for form in forms {
            let group = if form == ids::BARE { ids::GLOBAL } else { form };
            regions.extend(self.common.region_groups.get(group).into_iter().flatten().cloned());
        }
        regions
    }

    /// Checks that the id or ARN can be called from `region`, as far as the catalogue knows.
    pub(super) fn offered(&self, model_id: &str, item: Option<&ModelItem>, region: &str) -> Result<(), ResolveError> {
        let id = ids::id_of(model_id);
        let of_arn: Vec<String> = ids::region_of(model_id).map(str::to_owned).into_iter().collect();
        let of_item = item.map_or([].as_slice(), |item| &item.regions);
        let of_group = ids::region_group(id).and_then(|group| self.common.region_groups.get(group));
        let known = [of_arn.as_slice(), of_item, of_group.map_or([].as_slice(), Vec::as_slice)];
        let here = |offered: &&[String]| offered.is_empty() || offered.iter().any(|at| is_at(at, region));
        if let Some(offered) = known.into_iter().find(|offered| !here(offered)) {
            let (model_id, region) = (model_id.to_owned(), region.to_owned());
            return Err(ResolveError::Elsewhere { model_id, region, offered: offered.to_vec() });
        }
        let profile_needed = ids::form(id) == ids::BARE && ids::partition(region) == "aws" && self.is_profile_only(id);
        match self.entry_of(id) {
            Some(entry) if profile_needed && item.is_none() && !self.has_form(entry, ids::BARE, region) => {
                Err(ResolveError::ProfileOnly { model_id: model_id.to_owned(), profiles: self.profiles(entry, region) })
            }
            _ => Ok(()),
        }
    }

    /// The profiles of the model that `region` can call. If there are none, all profiles of the model.
    fn profiles(&self, entry: &Entry, region: &str) -> Vec<String> {
        let forms: BTreeSet<&String> =
            entry.forms.iter().chain(entry.prices.iter().flat_map(|row| &row.r#for)).collect();
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for form in ids::REGION_GROUPS {
            if forms.iter().any(|own| *own == form) {
                let profiles = if self.has_form(entry, form, region) { &mut here } else { &mut elsewhere };
                profiles.push(ids::in_form(&entry.model, form));
            }
        }
        if here.is_empty() { elsewhere } else { here }
    }
}

/// `true` if `region` matches `at`, a Region or a prefix of Regions, in the same partition.
fn is_at(at: &str, region: &str) -> bool {
    fits(at, region) && ids::partition(at) == ids::partition(region)
}
