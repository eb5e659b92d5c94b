//! Which addresses a webhook may not reach: those that only the inside of a network has.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Why an address is refused. Who may change an app's settings could otherwise have us call what
/// only we can reach: a neighbour, a database, the cloud's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Refused {
    /// This host, or no host.
    Loopback,
    /// Private, shared by a carrier (CGNAT) or unique-local.
    Private,
    /// Of this link alone; clouds have their metadata there.
    LinkLocal,
    /// More than one host.
    Multicast,
    /// Set aside: documentation, benchmarks, protocols, the future.
    Reserved,
}

/// Whether, and why, an address is refused.
pub(super) fn refusal(address: IpAddr) -> Option<Refused> {
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<Refused> {
    match address.octets() {
        [0 | 127, ..] => Some(Refused::Loopback),
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => {
            Some(Refused::Private)
        }
        [169, 254, ..] => Some(Refused::LinkLocal),
        [224..=239, ..] => Some(Refused::Multicast),
        [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Some(Refused::Reserved)
        }
        [240..=255, ..] => Some(Refused::Reserved),
        _ => None,
    }
}

fn refusal_v6(address: Ipv6Addr) -> Option<Refused> {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        refusal_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Some(Refused::Loopback),
        // An IPv4 address in other clothes: mapped, compatible, translated, NAT64, 6to4.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => {
            Some(Refused::Private)
        }
        [0xfe80..=0xfebf, ..] => Some(Refused::LinkLocal),
        [0xff00..=0xffff, ..] => Some(Refused::Multicast),
        // Teredo hides an IPv4 address; the others are set aside.
        [0x2001, 0 | 0xdb8, ..] | [0x100, 0, 0, 0, ..] => Some(Refused::Reserved),
        _ => None,
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "its address is this host's own",
            Self::Private => "its address is private",
            Self::LinkLocal => "its address is link-local",
            Self::Multicast => "its address is a multicast one",
            Self::Reserved => "its address is reserved",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &[&str], expected: Option<Refused>) {
        for address in addresses {
            assert_eq!(refusal(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        check(&["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1"], None);
        check(&["172.32.0.1", "169.253.0.1", "192.169.0.1", "223.255.255.255"], None);
        check(&["2606:4700::1111", "2a00::1", "::ffff:8.8.8.8", "64:ff9b::808:808"], None);
    }

    #[test]
    fn inner_addresses_are_refused() {
        check(&["127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3"], Some(Refused::Loopback));
        check(&["::1", "::", "::ffff:127.0.0.1", "::127.0.0.1"], Some(Refused::Loopback));
        check(&["10.0.0.1", "172.16.0.1", "172.31.255.255"], Some(Refused::Private));
        check(&["192.168.1.1", "100.64.0.1", "100.127.255.255"], Some(Refused::Private));
        check(&["fc00::1", "fd12:3456::1", "fec0::1", "64:ff9b:1::1"], Some(Refused::Private));
        check(&["::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"], Some(Refused::Private));
        check(&["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"], Some(Refused::LinkLocal));
        check(&["224.0.0.1", "239.255.255.255", "ff02::1"], Some(Refused::Multicast));
        check(&["255.255.255.255", "240.0.0.1", "192.0.0.8"], Some(Refused::Reserved));
        check(&["198.18.0.1", "203.0.113.5", "192.0.2.1", "2001:db8::1"], Some(Refused::Reserved));
        check(&["2001:0:1::1", "100::1"], Some(Refused::Reserved));
    }
}
