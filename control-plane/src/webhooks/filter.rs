//! Whether a webhook is told of a channel.

use model::WebhookFilter;
use regex::{Regex, RegexBuilder};

/// A compiled expression; the default of the regex crate is ten times this.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;

/// What a channel's name may begin with before its namespace.
const PREFIXES: [&str; 4] = ["private-", "encrypted-", "presence-", "cache-"];

/// A filter that is ready to be asked.
#[derive(Debug)]
pub(super) struct Filter {
    conditions: WebhookFilter,
    expression: Option<Regex>,
}

/// Compiles an expression, within bounds.
pub(crate) fn expression(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .size_limit(EXPRESSION_BYTES_MAX)
        .dfa_size_limit(EXPRESSION_BYTES_MAX)
        .build()
}

impl Filter {
    pub(super) fn new(conditions: &WebhookFilter) -> Result<Self, regex::Error> {
        let expression = conditions.pattern.as_deref().map(expression).transpose()?;
        Ok(Self { conditions: conditions.clone(), expression })
    }

    /// Whether all conditions hold.
    pub(super) fn matches(&self, channel: &str) -> bool {
        let WebhookFilter { prefix, suffix, namespaces, .. } = &self.conditions;
        channel.starts_with(prefix.as_str())
            && channel.ends_with(suffix.as_str())
            && (namespaces.is_empty()
                || namespace(channel).is_some_and(|name| namespaces.iter().any(|one| one == name)))
            && self.expression.as_ref().is_none_or(|expression| expression.is_match(channel))
    }
}

/// What stands before the first colon, behind what says the channel's kind.
fn namespace(channel: &str) -> Option<&str> {
    let (mut name, _) = channel.split_once(':')?;
    for prefix in PREFIXES {
        name = name.strip_prefix(prefix).unwrap_or(name);
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: WebhookFilter, channel: &str, expected: bool) {
        let filter = Filter::new(&filter).unwrap();
        assert_eq!(filter.matches(channel), expected, "{filter:?} {channel}");
    }

    #[test]
    fn all_conditions_must_hold() {
        let any = WebhookFilter::default;
        let both = || WebhookFilter { prefix: "presence-".into(), suffix: "-eu".into(), ..any() };
        check(any(), "room", true);
        check(both(), "presence-a-eu", true);
        check(both(), "presence-a", false);
        check(both(), "a-eu", false);
        let pattern = |pattern: &str| WebhookFilter { pattern: Some(pattern.into()), ..any() };
        check(pattern("^room-[0-9]+$"), "room-12", true);
        check(pattern("^room-[0-9]+$"), "room-x", false);
        check(pattern("oo"), "room", true);
    }

    #[test]
    fn namespaces_stand_before_the_colon() {
        let chat = || WebhookFilter { namespaces: vec!["chat".into()], ..Default::default() };
        for inside in ["chat:a", "private-chat:a", "private-encrypted-cache-chat:a:b"] {
            check(chat(), inside, true);
        }
        for outside in ["chat", "chatter:a", "a:chat", "private-chats:a"] {
            check(chat(), outside, false);
        }
    }

    #[test]
    fn an_expression_is_bounded() {
        assert!(expression("(").is_err());
        assert!(expression(r"\w{1000}{1000}").is_err());
    }
}
