//! `carillon channels`, `users` and `terminate`: who is there, and who no longer shall be.

use clap::Args;

use super::{
    Target,
    call::{call, escaped},
};

/// List the occupied channels, or read one channel
#[derive(Args, Debug)]
pub(crate) struct Channels {
    /// The channel; absent: all that are occupied
    name: Option<String>,
    /// Only names that begin with this
    #[arg(long, conflicts_with = "name", value_name = "PREFIX")]
    prefix: Option<String>,
    /// What to answer with: subscription_count, user_count; of one channel also cache
    #[arg(long, value_name = "LIST")]
    info: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Channels {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        call(&self.target, ("GET", &self.path()), String::new()).await
    }

    fn path(&self) -> String {
        let name = self.name.as_deref().map(|name| format!("/{}", escaped(name)));
        let parameters = [("filter_by_prefix", &self.prefix), ("info", &self.info)];
        let given = parameters.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let query: Vec<_> = given.map(|(key, value)| format!("{key}={}", escaped(value))).collect();
        format!("/channels{}?{}", name.unwrap_or_default(), query.join("&"))
    }
}

/// List the users of a presence channel
#[derive(Args, Debug)]
pub(crate) struct Users {
    /// The channel
    channel: String,
    #[command(flatten)]
    target: Target,
}

impl Users {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let path = format!("/channels/{}/users", escaped(&self.channel));
        call(&self.target, ("GET", &path), String::new()).await
    }
}

/// Close every connection that is signed in as a user
#[derive(Args, Debug)]
pub(crate) struct Terminate {
    /// The id of the sign-in
    user: String,
    #[command(flatten)]
    target: Target,
}

impl Terminate {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let path = format!("/users/{}/terminate_connections", escaped(&self.user));
        call(&self.target, ("POST", &path), "{}".to_owned()).await
    }
}
