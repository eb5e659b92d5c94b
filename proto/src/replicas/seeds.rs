//! Where control planes are looked for first: addresses, host names that mean several, links in this
//! process.

use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

use anyhow::Context as _;
use http::Uri;
use tracing::debug;

use crate::{link::Link, plane::internal_tls::Trust};

/// Makes a link to an address.
#[derive(Clone)]
pub struct Dial(Arc<DialFn>);

type DialFn = dyn Fn(&str) -> anyhow::Result<Link> + Send + Sync;

impl Dial {
    /// Links are made by this function.
    pub fn new(dial: impl Fn(&str) -> anyhow::Result<Link> + Send + Sync + 'static) -> Self {
        Self(Arc::new(dial))
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

/// Where control planes are looked for first.
#[derive(Clone, Debug, Default)]
pub struct Seeds {
    /// As `http://host:port`; a host name stands for all its addresses.
    addresses: Vec<Uri>,
    /// In this process.
    pub(super) links: Vec<Link>,
    /// How they are called.
    trust: Trust,
    /// Calls them in its own way: over a network that is simulated.
    dial: Option<Dial>,
}

impl Seeds {
    /// Addresses, each as `http://host:port`.
    pub fn at<S: AsRef<str>>(addresses: impl IntoIterator<Item = S>) -> anyhow::Result<Self> {
        let parse = |address: S| -> anyhow::Result<Uri> {
            let address = address.as_ref().trim();
            let wrong = || format!("{address} is no control plane's address");
            let uri: Uri = address.parse().with_context(wrong)?;
            let whole = uri.scheme().is_some() && uri.host().is_some();
            anyhow::ensure!(whole, wrong());
            Ok(uri)
        };
        let addresses = addresses.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { addresses, ..Self::default() })
    }

    /// The same, called with these certificates, or in clear text where that is allowed.
    pub fn trusting(self, trust: Trust) -> anyhow::Result<Self> {
        for address in &self.addresses {
            trust.link(&plain(address))?;
        }
        Ok(Self { trust, ..self })
    }

    /// The same, called over links that `dial` makes.
    #[must_use]
    pub fn dialing(self, dial: Dial) -> Self {
        Self { dial: Some(dial), ..self }
    }

    /// A control plane in this process.
    #[must_use]
    pub fn local(link: Link) -> Self {
        Self { links: vec![link], ..Self::default() }
    }

    /// A link to one of them, or to one that another has named: the one place that makes any.
    pub fn connect(&self, address: &str) -> anyhow::Result<Link> {
        match &self.dial {
            Some(Dial(dial)) => dial(address),
            None => self.trust.link(address),
        }
    }

    /// Whether names have to be looked up again and again.
    pub(super) fn have_names(&self) -> bool {
        self.addresses.iter().any(|uri| !is_literal(uri))
    }

    /// All addresses at present: those of a name that cannot be looked up now are those of `before`,
    /// or the name itself.
    pub async fn resolve(&self, before: &mut Before) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        before.resize(self.addresses.len(), BTreeSet::new());
        for (uri, before) in self.addresses.iter().zip(before) {
            if !is_literal(uri) {
                let found = look_up(uri).await;
                if !found.is_empty() {
                    *before = found;
                }
            }
            if before.is_empty() {
                all.insert(plain(uri));
            }
            all.extend(before.iter().cloned());
        }
        all
    }
}

/// What each name meant when it was looked up last.
pub type Before = Vec<BTreeSet<String>>;

/// Scheme, host and port, as others name it.
fn plain(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}")
}

fn is_literal(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

async fn look_up(uri: &Uri) -> BTreeSet<String> {
    let scheme = uri.scheme_str().unwrap_or("http");
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let host = uri.host().unwrap_or_default();
    match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found.map(|address| format!("{scheme}://{address}")).collect(),
        Err(error) => {
            debug!(%error, host, "no address of a control plane's host");
            BTreeSet::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_whole() {
        assert!(Seeds::at(["http://127.0.0.1:6003", "https://[::1]:6003"]).is_ok());
        for bad in ["not an address", "127.0.0.1:6003", "/x", ""] {
            let error = Seeds::at([bad]).unwrap_err();
            assert!(error.to_string().contains(bad), "{error:#}");
        }
    }

    #[tokio::test]
    async fn a_name_stands_for_its_addresses_and_keeps_them() {
        let seeds = Seeds::at(["http://localhost:6003", "http://10.0.0.1:6003/"]).unwrap();
        let mut before = Before::default();
        let all = seeds.resolve(&mut before).await;
        assert!(seeds.have_names());
        assert!(all.contains("http://127.0.0.1:6003") && all.contains("http://10.0.0.1:6003"));
        let gone = Seeds::at(["http://nobody.invalid:1"]).unwrap();
        assert_eq!(
            gone.resolve(&mut Before::default()).await.into_iter().collect::<Vec<_>>(),
            ["http://nobody.invalid:1"]
        );
        let mut before = vec![BTreeSet::from(["http://10.0.0.9:1".to_owned()])];
        assert!(gone.resolve(&mut before).await.contains("http://10.0.0.9:1"));
    }
}
