//! The ways to name a model to Bedrock.

/// Longest model name that is accepted, in characters: what a CloudWatch dimension is expected to hold.
const MAX_CHARS: usize = 255;

/// The Region groups of cross-Region inference profile ids, as in `us.anthropic…`.
///
/// Source: Amazon Bedrock User Guide, "Supported Regions and models for inference profiles".
const REGION_GROUPS: [&str; 8] = ["us", "us-gov", "eu", "apac", "au", "ca", "jp", "global"];

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
    match id.split_once('.') {
        Some((group, model)) if REGION_GROUPS.contains(&group) => model,
        _ => id,
    }
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
    fn only_region_groups_are_cut_off() {
        assert_eq!(without_region_group("us.anthropic.claude"), "anthropic.claude");
        assert_eq!(without_region_group("global.amazon.nova"), "amazon.nova");
        assert_eq!(without_region_group("anthropic.claude"), "anthropic.claude");
        assert_eq!(without_region_group("claude"), "claude");
    }
}
