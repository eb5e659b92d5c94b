//! The words of Carillon: what an app, a channel, an event and a refusal are.
//!
//! No IO, no serde, no prost and no clock: a word is decided once, when it is parsed, and every
//! plane then means the same by it. Read the modules in the order in which they are declared.

mod app;
mod apps;
mod delta;
mod limits;
mod webhook;

mod channel;
mod event;
mod presence;
mod socket_id;

mod node;
pub mod replica;
mod shard;

mod rejection;
mod signature;

pub use app::{App, AppId, AppKey, AppSecret, Features, InvalidAppId, OriginPattern, Secrets};
pub use apps::{Apps, AppsConflict};
pub use channel::{ChannelKind, ChannelName, InvalidChannelName};
pub use delta::{ChannelDelta, ChannelPattern, DeltaAlgorithm, InvalidChannelPattern};
pub use event::{Draft, Event, EventName, InfoWanted, MessageId, MessageIds, Publish, Tags};
pub use limits::{Limits, MessageLimit};
pub use node::{BootId, NodeId, OwnerId};
pub use presence::{InvalidUserId, Joined, Left, Roster, UserId, UserInfo};
pub use rejection::{Quota, Reason, Rejection};
pub use shard::{SHARDS, ShardId};
pub use signature::{Signature, constant_time_eq};
pub use socket_id::{InvalidSocketId, SocketId};
pub use webhook::{Webhook, WebhookFilter, WebhookKind, WebhookRetry};
