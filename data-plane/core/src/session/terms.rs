//! How a client wants its events: filtered, as deltas. Source: spec/websocket.md 7 and 8.1.

use model::{App, ChannelName, DeltaAlgorithm};

use super::{Effect, Session};
use crate::{
    Filter, Terms,
    delta::{DeltaFormat, DeltaSettings, DeltaWish, common_format, delta_compression_enabled},
};

/// What a client asks for with a subscription. The app's settings make [`Terms`] of it.
#[derive(Debug, Default)]
pub(super) struct Wish {
    pub(super) filter: Option<Filter>,
    /// Length of the filter's text.
    pub(super) filter_bytes: usize,
    pub(super) delta: Option<DeltaWish>,
}

impl Wish {
    /// The texts of all filters of a connection. In memory a filter may be ten times as long as its
    /// text: a value of one byte takes 64.
    pub(super) const FILTER_BYTES_MAX: usize = 256 << 10;
}

/// What a client asks for beyond plain events. Most ask for nothing: this is kept apart from the
/// session.
///
/// There is at most one wish per channel that the client is in, and filters are bounded together.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// What the connection has agreed on for subscriptions that do not say themselves.
    connection: Option<DeltaFormat>,
    /// Sorted by channel; without those who ask for nothing.
    pub(super) channels: Vec<(ChannelName, Wish)>,
}

impl Wishes {
    /// Keeps the hub's copy of a channel's name.
    pub(super) fn share_name(&mut self, channel: &ChannelName) {
        if let Ok(place) = self.place(channel.as_str()) {
            self.channels[place].0 = channel.clone();
        }
    }

    fn place(&self, channel: &str) -> Result<usize, usize> {
        self.channels.binary_search_by(|(name, _)| name.as_str().cmp(channel))
    }

    fn of(&self, channel: &str) -> Option<&Wish> {
        self.place(channel).ok().map(|place| &self.channels[place].1)
    }

    /// What the app's settings make of the wishes for a channel.
    fn terms(&self, app: &App, channel: &ChannelName) -> Terms {
        let filter = self.of(channel.as_str()).and_then(|wish| wish.filter.as_ref());
        Terms {
            filter: filter.filter(|_| app.features.tag_filtering).cloned(),
            delta: self.delta(app, channel, self.connection),
        }
    }

    fn delta(
        &self,
        app: &App,
        channel: &ChannelName,
        connection: Option<DeltaFormat>,
    ) -> Option<DeltaFormat> {
        let wish = self.of(channel.as_str()).and_then(|wish| wish.delta);
        let settings = DeltaSettings::of(app, channel)?;
        DeltaWish::agreed(wish, connection, settings.algorithm)
    }
}

impl Session {
    /// How the client wants the events of a channel that it is in, confirmed or not.
    #[must_use]
    pub fn terms(&self, channel: &ChannelName) -> Terms {
        match &self.wishes {
            Some(wishes) if self.place(channel.as_str()).is_ok() => {
                wishes.terms(&self.app, channel)
            }
            Some(_) | None => Terms::default(),
        }
    }

    /// The client wishes this for the channel, and nothing that it has wished before.
    pub(super) fn begin_wish(&mut self, channel: &ChannelName, wish: Wish) {
        if wish.filter.is_none() && wish.delta.is_none() {
            return self.end_wish(channel.as_str());
        }
        let wishes = self.wishes.get_or_insert_default();
        match wishes.place(channel.as_str()) {
            Ok(place) => wishes.channels[place].1 = wish,
            Err(place) => wishes.channels.insert(place, (channel.clone(), wish)),
        }
    }

    /// The texts of the filters of all channels but this one.
    pub(super) fn filter_bytes_but_of(&self, channel: &str) -> usize {
        let others = self.wishes.iter().flat_map(|wishes| &wishes.channels);
        let others = others.filter(|(name, _)| name.as_str() != channel);
        others.map(|(_, wish)| wish.filter_bytes).sum()
    }

    /// The client wishes nothing for the channel.
    pub(super) fn end_wish(&mut self, channel: &str) {
        if let Some(wishes) = &mut self.wishes
            && let Ok(place) = wishes.place(channel)
        {
            wishes.channels.remove(place);
        }
        self.drop_empty_wishes();
    }

    /// The client wants deltas wherever a subscription does not say itself. It may say so again: it
    /// then has nothing that deltas could be based on.
    ///
    /// Where the app has deltas switched off, the client is told nothing. Its wish counts, as those
    /// of subscriptions do, as soon as the app switches them on.
    pub(super) fn enable_deltas(&mut self, data: Option<&str>, effects: &mut Vec<Effect>) {
        let agreed = common_format(data, DeltaAlgorithm::default());
        let wishes = self.wishes.get_or_insert_default();
        let before = std::mem::replace(&mut wishes.connection, agreed);
        if self.app.features.delta_compression {
            effects.push(Effect::Send(delta_compression_enabled(None, agreed)));
            for channel in &self.channels {
                let terms = wishes.terms(&self.app, channel);
                if terms.delta.or_else(|| wishes.delta(&self.app, channel, before)).is_some() {
                    effects.push(Effect::SetTerms { channel: channel.clone(), terms });
                }
            }
        }
        self.drop_empty_wishes();
    }

    /// The client lacks what a delta of the channel is based on.
    pub(super) fn resync(&self, channel: &str) -> Option<Effect> {
        let channel = &self.channels[self.place(channel).ok()?];
        self.terms(channel).delta.map(|_| Effect::Resync(channel.clone()))
    }

    /// What a client that has asked for deltas with its subscription is told, after the success
    /// frame. It is told nothing where there are none.
    pub(super) fn confirm_deltas(&self, channel: &ChannelName) -> Option<Effect> {
        self.wishes.as_ref()?.of(channel.as_str())?.delta?;
        let format = self.terms(channel).delta?;
        let confirmation = delta_compression_enabled(Some(channel.as_str()), Some(format));
        Some(Effect::Send(confirmation))
    }

    /// Other settings than before may make other terms of the same wishes.
    pub(super) fn renew_terms(&self, before: &App, effects: &mut Vec<Effect>) {
        let Some(wishes) = &self.wishes else {
            return;
        };
        for channel in &self.channels {
            let terms = wishes.terms(&self.app, channel);
            if terms != wishes.terms(before, channel) {
                effects.push(Effect::SetTerms { channel: channel.clone(), terms });
            }
        }
    }

    fn drop_empty_wishes(&mut self) {
        let none =
            |wishes: &mut Box<Wishes>| wishes.connection.is_none() && wishes.channels.is_empty();
        self.wishes.take_if(none);
    }
}
