//! What an app says about the deltas of one channel.

use model::{App, ChannelDelta, ChannelKind, ChannelName, DeltaAlgorithm};

use super::key::KeyPath;

/// How the events of one channel are compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaSettings {
    /// Whether events are compressed that do not say themselves.
    pub enabled: bool,
    /// For clients that leave the choice to the server.
    pub algorithm: DeltaAlgorithm,
    /// What tells entities in a mixed stream apart.
    pub conflation_key: Option<KeyPath>,
    /// Earlier messages kept per key, for subscribers that are behind.
    pub messages_per_key_max: usize,
    /// Keys whose messages are kept.
    pub conflation_keys_max: usize,
    /// After so many deltas in a row follows a full frame: what a client that could not decode one
    /// and does not say so has to wait for. Sockudo has 10, which costs a tenth of what deltas save.
    pub full_message_interval: u32,
    /// Frames shorter than this are sent in full.
    pub frame_bytes_min: usize,
    /// All earlier messages of the channel together; above it the oldest are forgotten, and who
    /// would have needed them gets a full frame.
    pub bases_bytes_max: usize,
}

impl Default for DeltaSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            algorithm: DeltaAlgorithm::default(),
            conflation_key: None,
            messages_per_key_max: ChannelDelta::MESSAGES_PER_KEY_MAX as usize,
            conflation_keys_max: ChannelDelta::CONFLATION_KEYS_MAX as usize,
            full_message_interval: 100,
            frame_bytes_min: 100,
            bases_bytes_max: 1 << 20,
        }
    }
}

impl DeltaSettings {
    /// Those of a channel; `None` where nothing is ever compressed: the app has it switched off, the
    /// channel is encrypted (and so never like what it was), or a user's own.
    #[must_use]
    pub fn of(app: &App, channel: &ChannelName) -> Option<Self> {
        match channel.kind() {
            ChannelKind::Public | ChannelKind::Private | ChannelKind::Presence => {}
            ChannelKind::Encrypted | ChannelKind::User => return None,
        }
        let default = app.features.delta_compression.then(Self::default)?;
        let Some(delta) = ChannelDelta::find(&app.channel_deltas, channel.as_str()) else {
            return Some(default);
        };
        Some(Self {
            enabled: delta.enabled,
            algorithm: delta.algorithm,
            conflation_key: delta.conflation_key.as_deref().map(KeyPath::new),
            messages_per_key_max: delta.messages_per_key_max.max(1) as usize,
            conflation_keys_max: delta.conflation_keys_max.max(1) as usize,
            ..default
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppId, AppSecret, ChannelPattern, Secrets};

    fn app() -> App {
        let btc = ChannelDelta {
            algorithm: DeltaAlgorithm::Xdelta3,
            conflation_key: Some("asset".into()),
            enabled: false,
            ..ChannelDelta::new(ChannelPattern::parse("market-*").unwrap())
        };
        let secrets = Secrets::one(AppSecret::new("s"));
        App { channel_deltas: vec![btc], ..App::new(AppId::parse("a").unwrap(), "k", secrets) }
    }

    fn of(app: &App, channel: &str) -> Option<DeltaSettings> {
        DeltaSettings::of(app, &ChannelName::trusted(channel))
    }

    #[test]
    fn settings_of_channels() {
        let app = app();
        assert_eq!(of(&app, "room"), Some(DeltaSettings::default()));
        let market = of(&app, "market-btc").unwrap();
        assert!(!market.enabled && market.algorithm == DeltaAlgorithm::Xdelta3);
        assert_eq!(market.conflation_key, Some(KeyPath::new("asset")));
    }

    #[test]
    fn channels_without_deltas() {
        let mut app = app();
        assert_eq!(of(&app, "private-encrypted-x"), None);
        assert_eq!(of(&app, "private-encrypted-cache-x"), None);
        assert_eq!(of(&app, "#server-to-user-1"), None);
        app.features.delta_compression = false;
        assert_eq!(of(&app, "room"), None);
    }
}
