//! The ways to name a model to Bedrock.

/// Longest model name that is accepted, in characters: what a CloudWatch dimension is expected to hold.
const MAX_CHARS: usize = 255;

/// The Region groups of cross-Region inference profile ids, as in `us.anthropic…`.
///
/// Source: Amazon Bedrock User Guide, "Supported Regions and models for inference profiles".
pub const REGION_GROUPS: [&str; 8] = ["us", "us-gov", "eu", "apac", "au", "ca", "jp", "global"];

/// Whether `name` has only characters of model ids and ARNs, and is not longer than a metric can carry.
pub fn is_well_formed(name: &str) -> bool {
    (1..=MAX_CHARS).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'/' | b'_' | b'-'))
}

/// The bare id of an application inference profile, if `name` is such an ARN.
pub fn application_profile_id(name: &str) -> Option<&str> {
    let mut parts = name.splitn(6, ':');
    let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let bare_id = resource.strip_prefix("application-inference-profile/")?;
    let well_formed = arn == "arn"
        && partition.starts_with("aws")
        && service == "bedrock"
        && !region.is_empty()
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && !bare_id.is_empty()
        && bare_id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-'));
    well_formed.then_some(bare_id)
}

/// The model id behind a cross-Region profile id; any other id as it is.
pub fn without_region_group(id: &str) -> &str {
    split(id).map_or(id, |(_, model)| model)
}

/// The Region group of a cross-Region profile id.
pub fn region_group(id: &str) -> Option<&str> {
    split(id).map(|(group, _)| group)
}

fn split(id: &str) -> Option<(&str, &str)> {
    id.split_once('.').filter(|(group, _)| REGION_GROUPS.contains(group))
}

/// The foundation model behind `id`, a model's or a cross-Region profile's; `None` where the name does not tell it, as with an ARN.
pub fn foundation_of(id: &str) -> Option<String> {
    (!id.starts_with("arn:")).then(|| without_region_group(id).to_owned())
}

/// The Region and account of an application inference profile's ARN.
pub fn home_of_profile(arn: &str) -> Option<(&str, &str)> {
    application_profile_id(arn)?;
    let mut parts = arn.splitn(6, ':').skip(3);
    Some((parts.next()?, parts.next()?))
}

/// The id under which the models behind an application inference profile are called: the foundation model itself, or the
/// cross-Region profile that it was copied from. `None` where they are no single model.
///
/// GetInferenceProfile lists a foundation model once for each Region, a global profile's also without a Region.
pub fn source_of_profile<'a>(model_arns: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let models = model_arns.into_iter().map(foundation_model).collect::<Option<Vec<_>>>()?;
    let (first_region, model) = *models.first()?;
    if models.iter().any(|(_, other)| *other != model) {
        return None;
    }
    if models.iter().any(|(region, _)| region.is_empty()) {
        return Some(format!("global.{model}"));
    }
    if models.iter().all(|(region, _)| *region == first_region) {
        return Some(model.to_owned());
    }
    let group = |region: &str| match region.split('-').next() {
        Some("us") if region.starts_with("us-gov-") => Some("us-gov"),
        Some("us") => Some("us"),
        Some("eu") => Some("eu"),
        Some("ca") => Some("ca"),
        Some("ap") => Some("apac"),
        _ => None,
    };
    let group_of_first = group(first_region)?;
    models.iter().all(|(region, _)| group(region) == Some(group_of_first)).then(|| format!("{group_of_first}.{model}"))
}

/// The Region, perhaps empty, and the model of a foundation model's ARN.
fn foundation_model(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (_, partition, service) = (parts.next().filter(|arn| *arn == "arn")?, parts.next()?, parts.next()?);
    let (region, _account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let model = resource.strip_prefix("foundation-model/").filter(|model| is_well_formed(model))?;
    (partition.starts_with("aws") && service == "bedrock").then_some((region, model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_application_inference_profiles_of_an_account_have_a_bare_id() {
        let id = |name| application_profile_id(name);
        assert_eq!(id("arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/ab12cd"), Some("ab12cd"));
        assert_eq!(id("arn:aws-us-gov:bedrock:us-gov-west-1:111122223333:application-inference-profile/x"), Some("x"));
        for other in [
            "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.anthropic.claude-3-haiku",
            "arn:aws:bedrock:us-east-1::application-inference-profile/ab12cd",
            "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/",
            "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a/b",
            "arn:aws:lambda:us-east-1:111122223333:application-inference-profile/a",
            "anthropic.claude-v2:0",
        ] {
            assert_eq!(id(other), None, "{other}");
        }
    }

    #[test]
    fn the_models_of_a_profile_tell_what_it_was_copied_from() {
        let arn = |region: &str, model: &str| format!("arn:aws:bedrock:{region}::foundation-model/{model}");
        let source = |regions: &[&str]| {
            let arns: Vec<String> = regions.iter().map(|region| arn(region, "amazon.nova-lite-v1:0")).collect();
            source_of_profile(arns.iter().map(String::as_str))
        };
        assert_eq!(source(&["us-east-1"]).as_deref(), Some("amazon.nova-lite-v1:0"));
        assert_eq!(source(&["us-east-1", "us-west-2"]).as_deref(), Some("us.amazon.nova-lite-v1:0"));
        assert_eq!(source(&["eu-west-1", "eu-north-1"]).as_deref(), Some("eu.amazon.nova-lite-v1:0"));
        assert_eq!(source(&["us-east-1", ""]).as_deref(), Some("global.amazon.nova-lite-v1:0"));
        assert_eq!(source(&["us-east-1", "eu-west-1"]), None);
        assert_eq!(source(&[]), None);
        let (one, other) = (arn("us-east-1", "amazon.nova-lite-v1:0"), arn("us-east-1", "amazon.nova-pro-v1:0"));
        assert_eq!(source_of_profile([one.as_str(), other.as_str()]), None);
        assert_eq!(source_of_profile(["arn:aws:bedrock:us-east-1:111122223333:custom-model/x"]), None);
    }

    #[test]
    fn every_id_of_a_model_has_one_foundation() {
        for group in REGION_GROUPS {
            assert_eq!(foundation_of(&format!("{group}.anthropic.claude-x")).as_deref(), Some("anthropic.claude-x"));
        }
        assert_eq!(foundation_of("anthropic.claude-x").as_deref(), Some("anthropic.claude-x"));
        let profile = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/ab12cd";
        assert_eq!(foundation_of(profile), None);
    }

    #[test]
    fn only_region_groups_are_cut_off() {
        assert_eq!(without_region_group("us.anthropic.claude"), "anthropic.claude");
        assert_eq!(without_region_group("global.amazon.nova"), "amazon.nova");
        assert_eq!(without_region_group("anthropic.claude"), "anthropic.claude");
        assert_eq!(without_region_group("claude"), "claude");
    }
}
