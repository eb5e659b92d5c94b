//! The shapes of successful answers.

use std::collections::BTreeMap;

use proto::v1;
use serde::{Serialize, Serializer};

/// Counts that were asked for; those that were not are left out.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_count: Option<u32>,
}

impl Counts {
    pub(crate) fn new(subscription_count: Option<u32>, user_count: Option<u32>) -> Self {
        Self { subscription_count, user_count }
    }
}

impl From<&v1::ChannelInfo> for Counts {
    fn from(info: &v1::ChannelInfo) -> Self {
        Self::new(info.subscription_count, info.user_count)
    }
}

/// The channels of one publish, in the order of the request; `{}` for one with nothing to report.
#[derive(Debug, Serialize)]
pub(crate) struct PublishBody {
    #[serde(serialize_with = "in_order")]
    pub channels: Vec<v1::ChannelInfo>,
}

fn in_order<S: Serializer>(infos: &[v1::ChannelInfo], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(infos.iter().map(|info| (&info.channel, Counts::from(info))))
}

/// The events of a batch, in the order of the request; `{}` for one that asked for nothing.
#[derive(Debug, Serialize)]
pub(crate) struct BatchBody {
    pub batch: Vec<Counts>,
}

/// The occupied channels, by name.
#[derive(Debug, Serialize)]
pub(crate) struct ChannelsBody {
    pub channels: BTreeMap<String, Counts>,
}

/// One channel.
#[derive(Debug, Serialize)]
pub(crate) struct ChannelBody {
    pub occupied: bool,
    #[serde(flatten)]
    pub counts: Counts,
    /// Left out where it was not asked for, null where there is no event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Option<Cached>>,
}

/// The last event of a cache channel.
#[derive(Debug, Serialize)]
pub(crate) struct Cached {
    data: String,
    /// Seconds for which it is still shown, rounded up.
    ttl: u32,
}

impl From<v1::CachedEvent> for Cached {
    fn from(event: v1::CachedEvent) -> Self {
        Self { data: event.data, ttl: event.ttl_ms.div_ceil(1_000) }
    }
}

/// The users of a presence channel, each once.
#[derive(Debug, Serialize)]
pub(crate) struct UsersBody {
    pub users: Vec<UserBody>,
}

/// A user; the id is a string whatever the client's was.
#[derive(Debug, Serialize)]
pub(crate) struct UserBody {
    pub id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &impl Serialize, expected: &str) {
        assert_eq!(serde_json::to_string(body).unwrap(), expected);
    }

    fn info(channel: &str, subscriptions: Option<u32>, users: Option<u32>) -> v1::ChannelInfo {
        let (subscription_count, user_count) = (subscriptions, users);
        v1::ChannelInfo { channel: channel.into(), subscription_count, user_count }
    }

    #[test]
    fn channels_keep_their_order_and_names() {
        let channels = vec![
            info("z", Some(3), None),
            info("presence-a@b;c=1", Some(5), Some(2)),
            info("#server-to-user-\"ü\"", None, None),
        ];
        let expected = concat!(
            r##"{"channels":{"z":{"subscription_count":3},"##,
            r##""presence-a@b;c=1":{"subscription_count":5,"user_count":2},"##,
            r##""#server-to-user-\"ü\"":{}}}"##
        );
        check(&PublishBody { channels }, expected);
        check(&PublishBody { channels: Vec::new() }, r#"{"channels":{}}"#);
        check(&ChannelsBody { channels: BTreeMap::new() }, r#"{"channels":{}}"#);
    }

    #[test]
    fn a_cache_is_absent_or_null_or_there() {
        let channel =
            |cache| ChannelBody { occupied: false, counts: Counts::new(Some(0), None), cache };
        check(&channel(None), r#"{"occupied":false,"subscription_count":0}"#);
        check(&channel(Some(None)), r#"{"occupied":false,"subscription_count":0,"cache":null}"#);
        let event = v1::CachedEvent { data: "\"".into(), ttl_ms: 59_001, ..Default::default() };
        let expected =
            r#"{"occupied":false,"subscription_count":0,"cache":{"data":"\"","ttl":60}}"#;
        check(&channel(Some(Some(event.into()))), expected);
    }
}
