//! `sentry profiles create`: a profile and its alias, or nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use aws_sdk_bedrock::Client;
use aws_sdk_bedrock::types::{InferenceProfileModelSource, InferenceProfileStatus, Tag};
use chrono::Utc;
use sentry_contract::request::Tags;
use sentry_models::{Addition, ResolveError, home_of_profile, partition, region_group};

use super::directory;
use super::rules;
use crate::catalogue::{CatalogueTable, alias_item, alias_key};
use crate::confirm::confirm;
use crate::failure::Failure;
use crate::options::Global;
use crate::output;
use crate::stack::Stack;

#[derive(clap::Args)]
pub struct CreateArgs {
    /// Cost center: the value of the tag `costCenter`
    #[arg(long, value_name = "NAME")]
    pub cost_center: String,
    /// Application: the value of the tag `applicationId`
    #[arg(long, value_name = "ID")]
    pub application: Option<String>,
    /// Environment: the value of the tag `environment`
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// Alias, model id, or id of a system-defined profile, such as claude-haiku-4-5 or us.amazon.nova-lite-v1:0
    #[arg(long, value_name = "MODEL")]
    pub model: String,
    /// Name of the profile [default: made from the tags and the model]
    #[arg(long)]
    pub name: Option<String>,
    /// Name that requests use as their model
    #[arg(long, value_name = "NAME")]
    pub alias: Option<String>,
    /// Another tag. Can be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = rules::pair)]
    pub tags: Vec<(String, String)>,
}

impl CreateArgs {
    /// The tags of the profile. The keys are those of a request's tags.
    fn all_tags(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut tags = BTreeMap::from([(Tags::COST_CENTER.to_owned(), self.cost_center.clone())]);
        let dimensions = [(Tags::APPLICATION_ID, &self.application), (Tags::ENVIRONMENT, &self.environment)];
        tags.extend(dimensions.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))));
        for (key, value) in &self.tags {
            if tags.insert(key.clone(), value.clone()).is_some() {
                return Err(Failure::Usage(format!("the tag {key} is given twice")));
            }
        }
        rules::check_tags(&tags)?;
        Ok(tags)
    }

    fn profile_name(&self) -> Result<String, Failure> {
        let parts = [Some(&self.cost_center), self.application.as_ref(), self.environment.as_ref(), Some(&self.model)];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        let name = self.name.clone().unwrap_or_else(|| rules::name_of(&parts));
        rules::check_name(&name)?;
        Ok(name)
    }
}

/// A profile to create.
#[derive(Debug)]
pub struct Wanted {
    pub name: String,
    /// ARN of the model or system-defined profile.
    pub source: String,
    pub tags: BTreeMap<String, String>,
    pub alias: Option<String>,
}

/// Runs `sentry profiles create`.
pub async fn run(global: &Global, args: &CreateArgs) -> Result<(), Failure> {
    let (tags, name) = (args.all_tags()?, args.profile_name()?);
    if let Some(alias) = args.alias.as_deref().filter(|alias| Addition::alias_key(alias).is_none()) {
        return Err(Failure::Usage(format!(
            "{alias:?} cannot be an alias; use letters of ASCII, digits, hyphens and dots, and no model id"
        )));
    }
    let stack = Stack::find(global).await?;
    let (bedrock, table) = (stack.bedrock(), CatalogueTable::of(&stack)?);
    if let Some(alias) = &args.alias {
        check_alias_is_free(&stack, &table, alias).await?;
    }
    let source = source(&stack, &args.model).await?;
    if let Some(profile) = directory::profiles(&bedrock).await?.into_iter().find(|profile| profile.name == name) {
        return Err(Failure::Refused(format!(
            "there is a profile {name} already, {}. Nothing was changed. Choose another name with --name",
            profile.arn
        )));
    }
    let wanted = Wanted { name, source, tags, alias: args.alias.clone() };
    let shown: Vec<String> = wanted.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let alias = wanted.alias.as_ref().map(|alias| format!(" and the alias {alias}")).unwrap_or_default();
    confirm(
        global,
        &format!("Create the profile {} of {} with {}{alias}?", wanted.name, wanted.source, shown.join(", ")),
    )?;
    let arn = create(&bedrock, &table, &wanted).await?;
    let fields = [
        ("name", wanted.name.clone()),
        ("arn", arn),
        ("source", wanted.source.clone()),
        ("tags", shown.join(" ")),
        ("alias", wanted.alias.clone().unwrap_or_default()),
    ];
    output::print(&super::record(&fields, global.output))
}

/// Refuses an alias that would replace a name, or that no request would reach.
async fn check_alias_is_free(stack: &Stack, table: &CatalogueTable, alias: &str) -> Result<(), Failure> {
    let catalogue = stack.catalogue()?;
    let known = catalogue.resolve(alias, &stack.region, Utc::now().date_naive());
    if !matches!(known, Err(ResolveError::Unknown)) && !catalogue.gives_way(alias) {
        return Err(Failure::Refused(format!(
            "{alias} is a name of the catalogue already, so no request would reach the profile. Choose another --alias"
        )));
    }
    if table.get(&alias_key(alias)).await?.is_some() {
        return Err(Failure::Refused(format!(
            "there is an alias {alias} already. Nothing was changed. See `sentry models show {alias}`, or choose another --alias"
        )));
    }
    Ok(())
}

/// The ARN of the model or system-defined profile that a request for `model` calls.
async fn source(stack: &Stack, model: &str) -> Result<String, Failure> {
    let resolver = stack.resolver()?;
    let answer = resolver.resolve(model, Utc::now().date_naive(), Instant::now()).await;
    let resolved = answer
        .map_err(|failure| Failure::Refused(format!("the model {model} cannot be looked up: {failure}")))?
        .map_err(|refusal| {
            Failure::Refused(format!("{model} names no model that can be called: {}", refusal.problem()))
        })?;
    let id = resolved.model.model_id;
    if home_of_profile(&id).is_some() {
        return Err(Failure::Refused(format!(
            "{model} is the application inference profile {id}. A profile is made from a model or from a system-defined profile"
        )));
    }
    if id.starts_with("arn:") {
        return Ok(id);
    }
    if region_group(&id).is_none() {
        return Ok(format!("arn:{}:bedrock:{}::foundation-model/{id}", partition(&stack.region), stack.region));
    }
    let answer = stack.bedrock().get_inference_profile().inference_profile_identifier(&id).send().await;
    let profile = answer.map_err(|error| Failure::of_call(&format!("the profile {id} cannot be found"), &error))?;
    Ok(profile.inference_profile_arn().to_owned())
}

/// Creates the profile, checks it and its tags, and writes its alias. Undoes all of it if a step fails.
///
/// # Errors
/// The failure of the step. Its text says what remains if undoing fails too.
pub async fn create(bedrock: &Client, table: &CatalogueTable, wanted: &Wanted) -> Result<String, Failure> {
    // The SDK sends a `clientRequestToken` of its own that is the same in each attempt. A token made from the name would
    // give back a profile that was deleted meanwhile.
    let mut call = bedrock
        .create_inference_profile()
        .inference_profile_name(&wanted.name)
        .model_source(InferenceProfileModelSource::CopyFrom(wanted.source.clone()));
    for (key, value) in &wanted.tags {
        let tag = Tag::builder().key(key).value(value).build();
        call = call.tags(tag.map_err(|error| Failure::Usage(format!("the tag {key} cannot be sent: {error}")))?);
    }
    let arn = match call.send().await {
        Ok(answer) => answer.inference_profile_arn().to_owned(),
        Err(error) => {
            let failure = Failure::of_call("the profile cannot be created, and no alias was written", &error);
            // Bedrock may have created it although its answer was lost.
            let is_refused = error.raw_response().is_some_and(|answer| answer.status().is_client_error());
            return Err(if is_refused { failure } else { lost(bedrock, table, wanted, failure).await });
        }
    };
    match finish(bedrock, table, wanted, &arn).await {
        Ok(()) => Ok(arn),
        Err(failure) => Err(undo(bedrock, table, wanted, &arn, failure).await),
    }
}

/// The steps after the creation.
async fn finish(bedrock: &Client, table: &CatalogueTable, wanted: &Wanted, arn: &str) -> Result<(), Failure> {
    let answer = bedrock.get_inference_profile().inference_profile_identifier(arn).send().await;
    let profile = answer.map_err(|error| Failure::of_call("the new profile cannot be read", &error))?;
    if *profile.status() != InferenceProfileStatus::Active || profile.models().is_empty() {
        return Err(Failure::Refused(format!("the new profile is {} and not ACTIVE with a model", profile.status())));
    }
    let tags = directory::tags_of(bedrock, arn).await?;
    if let Some((key, value)) = wanted.tags.iter().find(|(key, value)| tags.get(*key) != Some(*value)) {
        return Err(Failure::Refused(format!("the new profile does not have the tag {key}={value}")));
    }
    let Some(alias) = &wanted.alias else { return Ok(()) };
    let key = alias_key(alias);
    table.put(&key, alias_item(&key, arn), None).await
}

/// Removes what a failed creation of `wanted` left, and says what remains.
async fn undo(bedrock: &Client, table: &CatalogueTable, wanted: &Wanted, arn: &str, failure: Failure) -> Failure {
    let mut remains = Vec::new();
    if let Some(alias) = &wanted.alias {
        let key = alias_key(alias);
        let removed = async {
            let written = table.get(&key).await?.filter(|item| *item == alias_item(&key, arn));
            if let Some(item) = written { table.remove(&key, &item).await } else { Ok(()) }
        };
        if let Err(error) = removed.await {
            remains.push(format!("the alias {alias} may remain ({error}); remove it with `sentry models rm '{key}'`"));
        }
    }
    if let Err(error) = directory::delete(bedrock, arn).await {
        remains.push(format!("the profile {arn} remains ({error}); remove it with `sentry profiles delete {arn}`"));
    }
    reworded(failure, |text| match remains.as_slice() {
        [] => format!("{text}. The profile was removed again, so nothing was changed"),
        _ => format!("{text}. It could not be undone: {}", remains.join("; ")),
    })
}

/// Removes a profile whose creation was not answered. A profile with other tags is somebody else's.
async fn lost(bedrock: &Client, table: &CatalogueTable, wanted: &Wanted, failure: Failure) -> Failure {
    let found = async {
        let profiles = directory::profiles(bedrock).await?.into_iter();
        for profile in profiles.filter(|profile| profile.name == wanted.name) {
            if directory::tags_of(bedrock, &profile.arn).await? == wanted.tags {
                return Ok(Some(profile.arn));
            }
        }
        Ok::<_, Failure>(None)
    };
    match found.await {
        Ok(Some(arn)) => undo(bedrock, table, wanted, &arn, failure).await,
        Ok(None) => failure,
        Err(_) => reworded(failure, |text| {
            format!(
                "{text}. The profile {name} may exist nevertheless; look with `sentry profiles show {name}`, and remove it with \
                 `sentry profiles delete {name}`",
                name = wanted.name
            )
        }),
    }
}

fn reworded(failure: Failure, reword: impl FnOnce(String) -> String) -> Failure {
    match failure {
        Failure::Refused(text) => Failure::Refused(reword(text)),
        Failure::Usage(text) => Failure::Usage(reword(text)),
        Failure::Unreachable(text) => Failure::Unreachable(reword(text)),
        Failure::Conflict(text) => Failure::Conflict(reword(text)),
    }
}

#[cfg(test)]
mod tests;
