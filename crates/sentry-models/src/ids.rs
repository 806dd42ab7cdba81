//! The names by which Bedrock knows a model: ids, profile ids and ARNs.

/// Longest accepted model name, in characters. A dimension of CloudWatch is expected to hold this length.
const MAX_CHARS: usize = 255;

/// The Region groups of cross-Region inference profile ids, as in `us.anthropic…`. If a Region belongs to two groups,
/// the narrower one is first.
///
/// Sources: Amazon Bedrock User Guide, "Supported Regions and models for inference profiles"; for `in`, LiteLLM's model
/// map 1.110.2.
pub const REGION_GROUPS: [&str; 9] = ["us-gov", "ca", "jp", "au", "in", "us", "eu", "apac", "global"];

/// The name that the catalogue's files use for ids without a Region group.
pub const BARE: &str = "bare";

/// The Region group whose profiles all commercial Regions serve.
pub const GLOBAL: &str = "global";

/// `true` if `name` has only characters of model ids and ARNs, and is not longer than a metric dimension can hold.
pub fn is_well_formed(name: &str) -> bool {
    (1..=MAX_CHARS).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'/' | b'_' | b'-'))
}

/// The parts of an ARN of Bedrock in any partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// Empty in the ARNs behind `global.` profiles.
    pub region: &'a str,
    /// Twelve digits, or empty for a resource of Amazon.
    pub account: &'a str,
    /// The resource type, such as `inference-profile`.
    pub kind: &'a str,
    /// The part after the resource type.
    pub id: &'a str,
}

impl<'a> Arn<'a> {
    /// Parses an ARN of the form `arn:PARTITION:bedrock:REGION:ACCOUNT:KIND/ID`.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let (kind, id) = resource.split_once('/')?;
        let of_bedrock = arn == "arn" && is_partition(partition) && service == "bedrock" && is_well_formed(text);
        let owned = account.is_empty() || account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        (of_bedrock && owned && !id.is_empty()).then_some(Self { region, account, kind, id })
    }
}

fn is_partition(text: &str) -> bool {
    text.strip_prefix("aws").is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The partition of a Region or of a prefix of Regions: `aws`, `aws-us-gov`, `aws-cn` or `aws-iso`.
#[must_use]
pub fn partition(region: &str) -> &'static str {
    let is_iso = region.split('-').nth(1).is_some_and(|part| part.starts_with("iso"));
    match region {
        _ if is_iso => "aws-iso",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ if region.starts_with("cn-") => "aws-cn",
        _ => "aws",
    }
}

/// The id in the ARN of a foundation model or of a system-defined profile. Any other name is returned unchanged.
pub fn id_of(name: &str) -> &str {
    let inside = Arn::parse(name).filter(|arn| {
        arn.kind == "foundation-model" && arn.account.is_empty()
            || arn.kind == "inference-profile" && !arn.account.is_empty()
    });
    inside.map_or(name, |arn| arn.id)
}

/// The Region in `name`, if `name` is an ARN with a Region.
pub fn region_of(name: &str) -> Option<&str> {
    Arn::parse(name).map(|arn| arn.region).filter(|region| !region.is_empty())
}

/// The id at the end of `name`, if `name` is the ARN of an application inference profile.
pub fn application_profile_id(name: &str) -> Option<&str> {
    application_profile(name).map(|arn| arn.id)
}

fn application_profile(name: &str) -> Option<Arn<'_>> {
    let is_id = |id: &str| id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-'));
    Arn::parse(name).filter(|arn| {
        arn.kind == "application-inference-profile"
            && !arn.region.is_empty()
            && !arn.account.is_empty()
            && is_id(arn.id)
    })
}

/// The model's name in the metrics of `AWS/Bedrock`: the id, or the last part of an ARN.
pub fn metric_of(name: &str) -> &str {
    match Arn::parse(id_of(name)) {
        Some(arn) => arn.id.rsplit('/').next().unwrap_or(arn.id),
        None => id_of(name),
    }
}

/// The model id behind a cross-Region profile id. Any other id is returned unchanged.
#[must_use]
pub fn without_region_group(id: &str) -> &str {
    split(id).map_or(id, |(_, model)| model)
}

/// The Region group of a cross-Region profile id.
#[must_use]
pub fn region_group(id: &str) -> Option<&str> {
    split(id).map(|(group, _)| group)
}

/// The form of an id in the catalogue's files: its Region group, or [`BARE`].
pub fn form(id: &str) -> &str {
    region_group(id).unwrap_or(BARE)
}

/// The id of `model` in `form`.
pub fn in_form(model: &str, form: &str) -> String {
    if form == BARE { model.to_owned() } else { format!("{form}.{model}") }
}

fn split(id: &str) -> Option<(&str, &str)> {
    id.split_once('.').filter(|(group, _)| REGION_GROUPS.contains(group))
}

/// The foundation model behind `name`, an id or ARN of a model or of a cross-Region profile. `None` if the name does
/// not contain it.
pub fn foundation_of(name: &str) -> Option<String> {
    let id = id_of(name);
    (!id.starts_with("arn:")).then(|| without_region_group(id).to_owned())
}

/// The Region and the account in the ARN of an application inference profile.
#[must_use]
pub fn home_of_profile(arn: &str) -> Option<(&str, &str)> {
    application_profile(arn).map(|arn| (arn.region, arn.account))
}

/// The id under which an application inference profile calls its models: the foundation model, or the cross-Region
/// profile from which it was copied. `None` if they are not a single foundation model, or if their Regions have no
/// common group.
///
/// `GetInferenceProfile` lists a foundation model once per Region. For a global profile, it also lists the model without
/// a Region.
pub fn source_of_profile<'a>(model_arns: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let models = model_arns.into_iter().map(foundation_model).collect::<Option<Vec<_>>>()?;
    let (first_region, model) = *models.first()?;
    if models.iter().any(|(_, other)| *other != model) {
        return None;
    }
    if models.iter().any(|(region, _)| region.is_empty()) {
        return Some(in_form(model, GLOBAL));
    }
    if models.iter().all(|(region, _)| *region == first_region) {
        return Some(model.to_owned());
    }
    let group = group_of_region(first_region)?;
    models.iter().all(|(region, _)| group_of_region(region) == Some(group)).then(|| in_form(model, group))
}

/// The Region group of the cross-Region profiles that `region` has, as far as its name tells.
fn group_of_region(region: &str) -> Option<&'static str> {
    match region.split('-').next() {
        Some("us") if region.starts_with("us-gov-") => Some("us-gov"),
        Some("us") => Some("us"),
        Some("eu") => Some("eu"),
        Some("ca") => Some("ca"),
        Some("ap") => Some("apac"),
        _ => None,
    }
}

/// The Region, which may be empty, and the model in the ARN of a foundation model.
fn foundation_model(arn: &str) -> Option<(&str, &str)> {
    Arn::parse(arn).filter(|arn| arn.kind == "foundation-model").map(|arn| (arn.region, arn.id))
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
            "arn:awsome:bedrock:us-east-1:111122223333:application-inference-profile/a",
            "anthropic.claude-v2:0",
        ] {
            assert_eq!(id(other), None, "{other}");
        }
    }

    #[test]
    fn the_arn_of_a_model_or_of_a_system_profile_stands_for_its_id_in_every_partition() {
        for partition in ["aws", "aws-us-gov", "aws-cn", "aws-iso", "aws-iso-b"] {
            let model = format!("arn:{partition}:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0");
            let profile = format!("arn:{partition}:bedrock:eu-west-1:111122223333:inference-profile/eu.acme.x-v1:0");
            assert_eq!((id_of(&model), metric_of(&model)), ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"));
            assert_eq!((id_of(&profile), form(id_of(&profile))), ("eu.acme.x-v1:0", "eu"));
            assert_eq!(foundation_of(&profile).as_deref(), Some("acme.x-v1:0"));
        }
        let other = "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/ab12";
        assert_eq!((id_of(other), metric_of(other), foundation_of(other)), (other, "ab12", None));
        assert_eq!(
            ["us-east-1", "us-gov-west-1", "cn-north-1", "us-isob-east-1", "us-*"].map(partition),
            ["aws", "aws-us-gov", "aws-cn", "aws-iso", "aws"]
        );
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
