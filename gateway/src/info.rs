//! Which counts a caller asks for: the comma list `info`. Pure.

/// Whether the list has the word; blanks do not matter, and words that nobody knows are ignored.
pub(crate) fn asks(list: &str, word: &str) -> bool {
    list.split(',').any(|item| item.trim() == word)
}

/// Those of the `known` words that the list has.
pub(crate) fn asked<'a>(list: Option<&str>, known: &[&'a str]) -> Vec<&'a str> {
    let list = list.unwrap_or_default();
    known.iter().copied().filter(|word| asks(list, word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_trimmed_and_unknown_ones_ignored() {
        let check = |list: Option<&str>, expected: &[&str]| {
            assert_eq!(asked(list, &["subscription_count", "cache"]), expected, "{list:?}");
        };
        check(None, &[]);
        check(Some(""), &[]);
        check(Some("cache"), &["cache"]);
        check(Some(" cache ,subscription_count,, other"), &["subscription_count", "cache"]);
        check(Some("Cache,subscription_counts,user_count"), &[]);
    }
}
