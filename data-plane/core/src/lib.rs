//! What a node decides: no sockets, no runtime, no clock.
//!
//! Time is an argument and effects are values, so everything here is tested by values. The shell
//! (`data-plane/src`) owns the sockets and the threads; per thread it has one [`Hub`], one
//! [`Wheel`] and a [`Session`] per connection.
//!
//! The way of one connection: [`Session::open`] greets; each message goes to
//! [`Session::handle_text`], which pushes [`Effect`]s; the shell executes them in order. For
//! [`Effect::Subscribe`] it asks [`Hub::subscribe`], and as soon as the channel is confirmed it
//! calls [`Session::handle_subscribed`]. An event then reaches the connection through
//! [`Hub::deliver`]. Read the modules in the order in which they are declared.

mod close;
pub mod frame;

pub mod channel_auth;
mod session;

pub mod delta;
mod filter;
mod hub;
mod presence;
mod subscription;

mod wheel;

pub use close::CloseCode;
pub use filter::{
    Comparison, Filter, FilterFault, FilterGroups, GroupId, InvalidFilter, Logic, TagList,
};
pub use hub::{Event, Form, Hub, Subscribed, Tally, Unsubscribed};
pub use presence::{Change, Presence};
pub use session::{Effect, Member, Session, SessionConfig};
pub use subscription::{SocketKey, Subscription, Terms};
pub use wheel::Wheel;
