//! The IAM principal that a record can stand for, instead of a key.

use crate::key::KeyHash;

/// A role or a user of IAM, as `arn:aws:iam::123456789012:role/helper`. It has neither a path nor a session: the path is
/// not in the ARN of a session, and names are unique in an account without it (AWS IAM User Guide, "IAM identifiers").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(String);

impl Principal {
    /// The principal of `arn`, which is the ARN of a role, a session of a role, or a user. `None` for any other text, and
    /// for the root user and federated users.
    #[must_use]
    pub fn parse(arn: &str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let mut next = || parts.next();
        let ("arn", partition, service, "", account, resource) = (next()?, next()?, next()?, next()?, next()?, next()?)
        else {
            return None;
        };
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let (kind, names) = resource.split_once('/')?;
        let (kind, name) = match (service, kind) {
            ("iam", "role" | "user") => (kind, names.rsplit('/').next()?),
            ("sts", "assumed-role") => ("role", names.split_once('/')?.0),
            _ => return None,
        };
        let fits = is_account && partition.starts_with("aws") && !name.is_empty() && name.chars().all(is_of_name);
        fits.then(|| Self(format!("arn:{partition}:iam::{account}:{kind}/{name}")))
    }

    /// The ARN of the role or user, without the name of a session.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.0
    }

    /// The hash under which the record is stored. No key has it: the text of a key begins with another prefix.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

/// Source: IAM API Reference, `CreateRole` and `CreateUser`: `[\w+=,.@-]+`.
fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_+=,.@-".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_role_and_a_path_does_not_count() {
        let role = "arn:aws:iam::123456789012:role/helper";
        for arn in [
            role,
            "arn:aws:iam::123456789012:role/teams/support/helper",
            "arn:aws:sts::123456789012:assumed-role/helper/i-0123456789",
            "arn:aws:sts::123456789012:assumed-role/helper/jo@example.com",
        ] {
            assert_eq!(Principal::parse(arn).unwrap().arn(), role, "{arn}");
        }
        let user = Principal::parse("arn:aws-cn:iam::123456789012:user/jo").unwrap();
        assert_eq!(user.arn(), "arn:aws-cn:iam::123456789012:user/jo");
        assert_ne!(user.hash(), Principal::parse(role).unwrap().hash());
    }

    #[test]
    fn a_role_and_a_user_of_one_name_and_two_accounts_are_different() {
        let hash = |arn| Principal::parse(arn).unwrap().hash();
        let role = hash("arn:aws:iam::123456789012:role/jo");
        assert_ne!(role, hash("arn:aws:iam::123456789012:user/jo"));
        assert_ne!(role, hash("arn:aws:iam::123456789013:role/jo"));
    }

    #[test]
    fn anything_else_is_no_principal() {
        for arn in [
            "",
            "arn:aws:iam::123456789012:root",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:group/jo",
            "arn:aws:iam::12345678901:role/jo",
            "arn:aws:iam:us-east-1:123456789012:role/jo",
            "arn:aws:iam::123456789012:role/*",
            "arn:aws:sts::123456789012:assumed-role/jo",
            "arn:aws:sts::123456789012:federated-user/jo",
            "arn:aws:iam::123456789012:assumed-role/jo/x",
            "arn:aws:sts::123456789012:role/jo",
        ] {
            assert_eq!(Principal::parse(arn), None, "{arn}");
        }
    }
}
