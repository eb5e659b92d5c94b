//! Which address a request came from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

use super::serve::Peer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The address that the outermost of `trusted_hops` proxies saw: what they say of it, else the
/// socket's. A request that came through fewer proxies than that counts by the first address given.
#[must_use]
pub fn of(headers: &HeaderMap, extensions: &Extensions, trusted_hops: usize) -> IpAddr {
    let socket = extensions.get::<Peer>();
    let socket = socket.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.address.ip());
    if trusted_hops == 0 {
        return socket;
    }
    let lists = headers.get_all(FORWARDED_FOR).iter().rev();
    let from_last = lists.flat_map(|list| list.as_bytes().rsplit(|byte| *byte == b','));
    let forwarded = from_last.take(trusted_hops).last().and_then(parse);
    let stated =
        forwarded.or_else(|| headers.get(REAL_IP).map(HeaderValue::as_bytes).and_then(parse));
    stated.unwrap_or(socket)
}

/// An address, with or without a port.
fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    text.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], hops: usize, expected: &str) {
        let address = "192.0.2.9:5".parse().unwrap();
        let mut extensions = Extensions::new();
        extensions.insert(Peer { address, encrypted: false });
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        assert_eq!(of(&map, &extensions, hops).to_string(), expected, "{headers:?} {hops}");
    }

    #[test]
    fn headers_count_only_behind_trusted_proxies() {
        let list = [("x-forwarded-for", "10.0.0.1, 10.0.0.2,10.0.0.3"), ("x-real-ip", "10.9.9.9")];
        check(&list, 0, "192.0.2.9");
        check(&list, 1, "10.0.0.3");
        check(&list, 2, "10.0.0.2");
        check(&list, 3, "10.0.0.1");
        check(&list, 16, "10.0.0.1");
        check(&list[1..], 0, "192.0.2.9");
        check(&list[1..], 1, "10.9.9.9");
        check(&[], 1, "192.0.2.9");
    }

    #[test]
    fn lists_may_be_split_and_carry_ports() {
        let split =
            [("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2, [2001:db8::1]:80")];
        check(&split, 1, "2001:db8::1");
        check(&split, 2, "10.0.0.2");
        check(&split, 3, "10.0.0.1");
        check(&[("x-forwarded-for", "10.0.0.1:4711")], 1, "10.0.0.1");
        check(&[("x-forwarded-for", "unknown")], 1, "192.0.2.9");
    }
}
