//! Delta compression: sequences, bases, full or delta (spec/websocket.md 8).
//!
//! A subscriber who has agreed on deltas gets either the full frame with a number, or the difference
//! to a frame that it has received before. [`Numbers`] numbers the events of a node, and never uses a
//! number again; a [`DeltaChannel`] keeps what those of one channel may be based on, by conflation key.
//! What subscribers have received is known by numbers alone: a [`Trail`] for all who get the same
//! events, and a [`Position`] for each one. So an event costs one comparison per subscriber, and each
//! frame that is needed is made once, however many need it, on whichever threads ([`Shared`]).
//!
//! The way of one event, with `text` from [`crate::frame::event_into`]:
//!
//! ```
//! use data_plane_core::delta::{
//!     DeltaChannel, DeltaSettings, DeltaWriter, Numbers, Position, Published, Trail,
//! };
//! use model::DeltaAlgorithm;
//!
//! let mut writer = DeltaWriter::new(|frame, _, bytes| frame.extend([0x81, bytes as u8]));
//! let mut channel = DeltaChannel::new("room", DeltaSettings::default());
//! let mut trail = Trail::default();
//! let mut position = Position::new(DeltaAlgorithm::Fossil.into(), channel.next());
//!
//! let shared = Numbers::new(24_300).next();
//! let text = data_plane_core::frame::event("hello", "room", "world", None).into();
//! let event = Published { name: "hello", data: "world", tags: None, delta: None, text: &text, shared: &shared };
//! if let Some(mut turn) = channel.begin(event, &mut writer) {
//!     let step = turn.pass(&mut trail);
//!     let frame = turn.frame(step, &mut position);
//!     assert!(frame.ends_with(br#""__delta_seq":24301}"#));
//!     turn.finish();
//! }
//! ```

mod format;
mod settings;
mod wish;

mod channel;
mod key;
mod position;
mod shared;
mod turn;

mod frame;

mod compact;
mod encoder;
mod fossil;
mod matches;
mod xdelta3;

#[cfg(test)]
mod tests;

pub use channel::{DeltaChannel, Published};
pub use encoder::Encoder;
pub use format::DeltaFormat;
pub use frame::{DeltaWriter, HeaderWriter, Payload, delta_cache_sync, delta_compression_enabled};
pub use key::KeyPath;
pub use position::{Position, Sequence, Step, Trail};
pub use settings::DeltaSettings;
pub use shared::{Numbers, Shared};
pub use turn::Turn;
pub use wish::{DeltaWish, common_format};
