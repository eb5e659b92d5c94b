//! How often one address may ask: windows of fixed length that begin with an address's first request.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use model::Quota;

/// Addresses that a process counts at once; some 8 MiB.
pub const ADDRESSES_MAX: usize = 65_536;

/// Counts requests per address. Bounded: where there are too many addresses, the window that began
/// first is given up, so that a flood of addresses costs strangers a fresh window and us no memory.
#[derive(Debug)]
pub struct AddressLimit {
    requests_max: u32,
    length: Duration,
    addresses_max: usize,
    windows: HashMap<IpAddr, Window>,
    /// When each window began, the first in front. An address that began anew stands here twice
    /// until the older entry is dropped.
    begun: VecDeque<(Instant, IpAddr)>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    requests: u32,
}

/// One counted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The address's window after this request.
    pub quota: Quota,
    /// Whether the request is within the limit.
    pub allowed: bool,
    /// Whether another address lost its window for this one.
    pub evicted: bool,
}

impl AddressLimit {
    /// `requests_max` in each window of `length`, for at most `addresses_max` addresses.
    #[must_use]
    pub fn new(requests_max: u32, length: Duration, addresses_max: usize) -> Self {
        let (windows, begun) = (HashMap::new(), VecDeque::new());
        Self { requests_max, length, addresses_max, windows, begun }
    }

    /// Counts a request. Those over the limit count too, but change nothing any more.
    pub fn count(&mut self, address: IpAddr, now: Instant) -> Counted {
        let subject = subject(address);
        let length = self.length;
        let running =
            self.windows.get_mut(&subject).filter(|window| !over(window.began, now, length));
        let (window, evicted) = match running {
            Some(window) => {
                window.requests = window.requests.saturating_add(1);
                (*window, false)
            }
            None => self.begin(subject, now),
        };
        let left = (window.began + length).saturating_duration_since(now).as_millis();
        let quota = Quota {
            limit: self.requests_max,
            remaining: self.requests_max.saturating_sub(window.requests),
            reset_ms: u32::try_from(left).unwrap_or(u32::MAX),
        };
        Counted { quota, allowed: window.requests <= self.requests_max, evicted }
    }

    /// Addresses that have a window.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether no address has a window.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    fn begin(&mut self, subject: IpAddr, now: Instant) -> (Window, bool) {
        // Two out for each one in: the queue shrinks after a rush, and no call does much work.
        for _ in 0..2 {
            match self.begun.front() {
                Some((began, _)) if over(*began, now, self.length) => drop(self.give_up()),
                Some(_) | None => break,
            }
        }
        let mut evicted = false;
        if self.begun.len() >= self.addresses_max {
            evicted = self.give_up().is_some_and(|began| !over(began, now, self.length));
        }
        let window = Window { began: now, requests: 1 };
        self.windows.insert(subject, window);
        self.begun.push_back((now, subject));
        (window, evicted)
    }

    /// Drops the window that began first; tells when, if it was still its address's own.
    fn give_up(&mut self) -> Option<Instant> {
        let (began, address) = self.begun.pop_front()?;
        let current = self.windows.get(&address).is_some_and(|window| window.began == began);
        current.then(|| {
            self.windows.remove(&address);
            began
        })
    }
}

/// Whether a window of `length` that began then has ended.
fn over(began: Instant, now: Instant, length: Duration) -> bool {
    now.saturating_duration_since(began) >= length
}

/// Who is counted: an IPv4 address, however written, or the /64 of an IPv6 address, for one customer
/// of a provider has at least that much.
fn subject(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[allow(clippy::disallowed_methods, reason = "some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_window_begins_with_the_first_request_and_ends_by_itself() {
        let (mut limit, start) = (AddressLimit::new(2, MINUTE, 10), start());
        let mut check = |seconds: u64, remaining: u32, reset_ms: u32, allowed: bool| {
            let counted = limit.count(address(1), start + Duration::from_secs(seconds));
            let quota = Quota { limit: 2, remaining, reset_ms };
            assert_eq!(counted, Counted { quota, allowed, evicted: false });
        };
        check(0, 1, 60_000, true);
        check(10, 0, 50_000, true);
        check(20, 0, 40_000, false);
        check(59, 0, 1_000, false);
        check(60, 1, 60_000, true);
        check(61, 0, 59_000, true);
        check(62, 0, 58_000, false);
    }

    #[test]
    fn addresses_do_not_share_but_one_network_does() {
        let (mut limit, start) = (AddressLimit::new(1, MINUTE, 10), start());
        let mut allowed = |text: &str| limit.count(text.parse().unwrap(), start).allowed;
        assert!(allowed("10.0.0.1") && allowed("10.0.0.2"));
        assert!(!allowed("::ffff:10.0.0.1"));
        assert!(allowed("2001:db8:0:1::1") && allowed("2001:db8:0:2::1"));
        assert!(!allowed("2001:db8:0:1:ffff::2"));
    }

    #[test]
    fn the_oldest_window_makes_room() {
        let (mut limit, start) = (AddressLimit::new(1, MINUTE, 3), start());
        for number in 0..3 {
            assert!(!limit.count(address(number), start).evicted);
        }
        assert!(limit.count(address(3), start).evicted);
        assert!(!limit.count(address(2), start).allowed);
        assert!(limit.count(address(0), start).allowed);
    }

    #[test]
    fn memory_stays_bounded_and_is_given_back() {
        let (mut limit, start) = (AddressLimit::new(1, MINUTE, 100), start());
        for number in 0..10_000 {
            let now = start + Duration::from_millis(u64::from(number) * 10);
            limit.count(address(number % 250), now);
            assert!(limit.begun.len() <= 100 && limit.windows.len() <= limit.begun.len());
        }
        let later = start + Duration::from_secs(1_000);
        for minute in 0..120 {
            limit.count(address(7), later + MINUTE * minute);
        }
        assert_eq!((limit.windows.len(), limit.begun.len()), (1, 1));
    }
}
