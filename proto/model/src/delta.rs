//! Delta compression as an app configures it: per pattern of channel names.

use std::sync::Arc;

/// How a difference is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeltaAlgorithm {
    /// Fossil's delta format, with a checksum over the result.
    #[default]
    Fossil,
    /// VCDIFF (RFC 3284) without checksum.
    Xdelta3,
}

impl DeltaAlgorithm {
    /// All algorithms.
    pub const ALL: [Self; 2] = [Self::Fossil, Self::Xdelta3];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fossil => "fossil",
            Self::Xdelta3 => "xdelta3",
        }
    }

    /// The algorithm of that name in any case; `vcdiff` is another name of xdelta3.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("vcdiff") {
            return Some(Self::Xdelta3);
        }
        Self::ALL.into_iter().find(|algorithm| name.eq_ignore_ascii_case(algorithm.name()))
    }
}

/// Channel names of one shape: a name, or one `*` for any number of characters: `prefix*`,
/// `*suffix`, `pre*suf`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelPattern {
    text: Arc<str>,
    star: Option<usize>,
}

/// A pattern has at most one `*`, and between 1 and [`ChannelPattern::BYTES_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidChannelPattern {
    /// Bytes of the refused text.
    pub bytes: usize,
    /// Its wildcards.
    pub stars: usize,
}

impl ChannelPattern {
    /// The longest pattern.
    pub const BYTES_MAX: usize = 256;

    /// Accepts at most one `*`.
    pub fn parse(text: &str) -> Result<Self, InvalidChannelPattern> {
        let stars = text.matches('*').count();
        if text.is_empty() || text.len() > Self::BYTES_MAX || stars > 1 {
            return Err(InvalidChannelPattern { bytes: text.len(), stars });
        }
        Ok(Self { text: text.into(), star: text.find('*') })
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a channel's name has this shape.
    #[must_use]
    pub fn fits(&self, channel: &str) -> bool {
        let Some(star) = self.star else {
            return channel == &*self.text;
        };
        let (prefix, suffix) = (&self.text[..star], &self.text[star + 1..]);
        channel.strip_prefix(prefix).is_some_and(|rest| rest.ends_with(suffix))
    }

    /// Of two patterns that fit, the one with more of this counts: a name before any wildcard, then
    /// the one that says more of the name.
    fn weight(&self) -> (bool, usize) {
        (self.star.is_none(), self.text.len())
    }
}

impl std::fmt::Display for InvalidChannelPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (most, Self { bytes, stars }) = (ChannelPattern::BYTES_MAX, self);
        write!(
            f,
            "a channel pattern has 1 to {most} bytes and at most one * (this one has {bytes} and {stars})"
        )
    }
}

impl std::error::Error for InvalidChannelPattern {}

/// Delta settings of the channels of one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelDelta {
    /// Of which channels.
    pub pattern: ChannelPattern,
    /// Whether events are compressed that do not say themselves.
    pub enabled: bool,
    /// For clients that leave the choice to the server.
    pub algorithm: DeltaAlgorithm,
    /// Dotted path to what tells entities in a mixed stream apart.
    pub conflation_key: Option<Arc<str>>,
    /// Earlier messages kept per key, for subscribers that are behind.
    pub messages_per_key_max: u32,
    /// Keys whose messages are kept per channel.
    pub conflation_keys_max: u32,
    /// Whether clients receive the tags of events; `None`: as the app says.
    pub tags_delivered: Option<bool>,
}

impl ChannelDelta {
    /// Unless the app says otherwise.
    pub const MESSAGES_PER_KEY_MAX: u32 = 10;
    /// Unless the app says otherwise.
    pub const CONFLATION_KEYS_MAX: u32 = 100;

    /// The documented defaults for the channels of a pattern.
    #[must_use]
    pub fn new(pattern: ChannelPattern) -> Self {
        Self {
            pattern,
            enabled: true,
            algorithm: DeltaAlgorithm::default(),
            conflation_key: None,
            messages_per_key_max: Self::MESSAGES_PER_KEY_MAX,
            conflation_keys_max: Self::CONFLATION_KEYS_MAX,
            tags_delivered: None,
        }
    }

    /// The settings that count for a channel: of the patterns that fit, the most exact one.
    #[must_use]
    pub fn find<'a>(settings: &'a [Self], channel: &str) -> Option<&'a Self> {
        let fitting = settings.iter().filter(|delta| delta.pattern.fits(channel));
        fitting.max_by_key(|delta| delta.pattern.weight())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, channel: &str, fits: bool| {
            let parsed = ChannelPattern::parse(pattern).unwrap();
            assert_eq!(parsed.fits(channel), fits, "{pattern} {channel}");
        };
        check("market", "market", true);
        check("market", "market-1", false);
        check("market-*", "market-", true);
        check("market-*", "market", false);
        check("*-ticks", "btc-ticks", true);
        check("*-ticks", "btc-tick", false);
        check("a*b", "ab", true);
        check("a*b", "a-b", true);
        check("ab*bc", "abc", false);
        check("*", "", true);
        for bad in ["", "a*b*", "**", &"x".repeat(257)] {
            assert!(ChannelPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_most_exact_pattern_counts() {
        let settings = ["*", "market-*", "market-btc", "*-btc-longer*"]
            .map(|pattern| ChannelPattern::parse(pattern).map(ChannelDelta::new));
        let settings: Vec<_> = settings.into_iter().filter_map(Result::ok).collect();
        let found = |channel| ChannelDelta::find(&settings, channel).map(|d| d.pattern.as_str());
        assert_eq!(found("market-btc"), Some("market-btc"));
        assert_eq!(found("market-eth"), Some("market-*"));
        assert_eq!(found("x"), Some("*"));
        assert_eq!(ChannelDelta::find(&settings[1..], "x"), None);
    }

    #[test]
    fn algorithms_by_name() {
        assert_eq!(DeltaAlgorithm::named("Fossil"), Some(DeltaAlgorithm::Fossil));
        assert_eq!(DeltaAlgorithm::named("VCDIFF"), Some(DeltaAlgorithm::Xdelta3));
        assert_eq!(DeltaAlgorithm::named("gzip"), None);
    }
}
