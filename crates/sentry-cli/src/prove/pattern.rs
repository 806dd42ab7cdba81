//! Patterns of IAM, in which `*` stands for any characters and `?` for one character.

/// `true` if some text fits both patterns.
pub fn overlap(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    paired(&a, &b, |a, b| {
        let both = a.zip(b).is_some_and(|(a, b)| a != '*' && b != '*' && (a == '?' || b == '?' || a == b));
        // A star takes characters of the other pattern, or stands for nothing.
        let is_star = a == Some('*') || b == Some('*');
        Step { first: is_star, second: is_star, both }
    })
}

/// `true` if every text that fits `inner` fits `outer`. In rare cases, such as `*?` and `?*`, the answer is `false` although they do.
pub fn covers(outer: &str, inner: &str) -> bool {
    let (outer, inner): (Vec<char>, Vec<char>) = (outer.chars().collect(), inner.chars().collect());
    paired(&outer, &inner, |outer, inner| {
        // A star of `inner` can be any text, so only a star of `outer` takes it.
        let both = outer.zip(inner).is_some_and(|(o, i)| o != '*' && i != '*' && (o == '?' || o == i));
        let is_star = outer == Some('*');
        Step { first: is_star, second: is_star, both }
    })
}

/// The patterns in which the reading can go on by one character.
struct Step {
    first: bool,
    second: bool,
    both: bool,
}

/// `true` if both patterns can be read to their ends, by steps that `step` allows at each pair of characters.
fn paired(a: &[char], b: &[char], step: impl Fn(Option<char>, Option<char>) -> Step) -> bool {
    // From the end: `next` has the answers for the places behind the present character of `a`.
    let mut next = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            let (of_a, of_b) = (a.get(i).copied(), b.get(j).copied());
            let Step { first, second, both } = step(of_a, of_b);
            let below = |j: usize| i < a.len() && next.get(j).copied().unwrap_or_default();
            let beside = |row: &[bool]| row.get(j + 1).copied().unwrap_or_default();
            let found = (of_a.is_none() && of_b.is_none())
                || (first && below(j))
                || (second && beside(&row))
                || (both && below(j + 1));
            if let Some(place) = row.get_mut(j) {
                *place = found;
            }
        }
        next = row;
    }
    next.first().copied().unwrap_or_default()
}

/// `true` if `arn` fits `pattern` as in the condition `ArnLike`: each of the six parts between colons by itself.
pub fn arn_fits(pattern: &str, arn: &str) -> bool {
    parts(pattern).zip(parts(arn)).is_some_and(|(pattern, arn)| pattern.iter().zip(&arn).all(|(p, a)| covers(p, a)))
}

/// `compare` for each part of two ARNs, or for the whole texts if one of them is no ARN with six parts, such as `*`.
///
/// Source: IAM User Guide, "IAM JSON policy elements: Resource", read in November 2026: wildcards stand within a part of an ARN.
pub fn by_part(a: &str, b: &str, compare: fn(&str, &str) -> bool) -> bool {
    match parts(a).zip(parts(b)) {
        Some((a, b)) => a.iter().zip(&b).all(|(a, b)| compare(a, b)),
        None => compare(a, b),
    }
}

/// The six parts of an ARN. The last one can have colons.
fn parts(arn: &str) -> Option<[&str; 6]> {
    arn.splitn(6, ':').collect::<Vec<_>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_overlap_and_cover_as_sets_of_texts() {
        for (a, b, overlaps, is_covered) in [
            ("*", "bedrock:invokemodel*", true, true),
            ("bedrock:*", "bedrock:invokemodel*", true, true),
            ("bedrock:invokemodel", "bedrock:invokemodel*", true, false),
            ("bedrock:invokemodel*", "bedrock:invokemodel", true, true),
            ("bedrock:*stream", "bedrock:invokemodel*", true, false),
            ("bedrock:get*", "bedrock:invokemodel*", false, false),
            ("bedrock:invoke?odel", "bedrock:invokemodel", true, true),
            ("bedrock:invokemodel", "bedrock:invoke?odel", true, false),
            ("a*b*c", "a*c", true, false),
            ("a*c", "a*b*c", true, true),
            ("", "*", true, false),
            ("**", "", true, true),
        ] {
            assert_eq!((overlap(a, b), covers(a, b)), (overlaps, is_covered), "{a} {b}");
            assert_eq!(overlap(b, a), overlaps, "{b} {a}");
        }
    }

    #[test]
    fn a_star_of_an_arn_does_not_cross_a_colon() {
        let role = "arn:aws:iam::111122223333:role/team/a";
        assert!(arn_fits("arn:aws:iam::*:role/*", role) && arn_fits("arn:*:iam::111122223333:role/team/?", role));
        assert!(!arn_fits("arn:aws:*:role/team/a", role) && !arn_fits("*", role));
    }

    /// The definition, for a text: a star takes each number of characters.
    fn fits(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|taken| fits(rest, &text[taken..])),
            Some((c, rest)) => text.split_first().is_some_and(|(t, text)| (*c == '?' || c == t) && fits(rest, text)),
        }
    }

    proptest! {
        #[test]
        fn a_text_is_covered_by_exactly_the_patterns_that_it_fits(pattern in "[ab*?]{0,6}", text in "[ab]{0,6}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(covers(&pattern, &text), fits(&p, &t));
            prop_assert_eq!(overlap(&pattern, &text), fits(&p, &t));
        }

        #[test]
        fn a_covered_pattern_overlaps_and_its_texts_fit(a in "[ab*?]{0,5}", b in "[ab*?]{0,5}", text in "[ab]{0,5}") {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            let (in_a, in_b) = (fits(&chars(&a), &chars(&text)), fits(&chars(&b), &chars(&text)));
            prop_assert!(!(in_a && in_b) || overlap(&a, &b));
            prop_assert!(!(covers(&a, &b) && in_b) || in_a);
        }
    }
}
