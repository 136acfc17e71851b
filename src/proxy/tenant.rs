//! Who asks, and how much of it at the same time.
//!
//! All threads that carry requests share what is counted here, by atomics alone; nothing is allocated for a request.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, HeaderValue},
};
use serde::Serialize;

use crate::token::{Token, bearer};

/// Where Anthropic's clients send a key.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Somebody who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// As in the file.
    pub name: String,
    /// How many requests may be in flight, from 1 on. `None`: any number.
    pub inflight: Option<u32>,
    /// The key that it sends. `None`: it is whoever sends none.
    pub key: Option<Token>,
}

/// What was counted of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Its name.
    pub tenant: String,
    /// Requests and connections now.
    pub in_flight: u32,
    /// How many there may be. `None`: any number.
    pub inflight: Option<u32>,
    /// Let in so far.
    pub admitted: u64,
    /// Refused so far, because too many were in flight.
    pub refused: u64,
}

/// Those who may ask, and nobody else.
pub struct Tenants {
    accounts: Vec<Arc<Account>>,
    /// Refused so far, because nobody has their key.
    strangers: AtomicU64,
}

impl Tenants {
    /// At most one of them has no key.
    pub fn new(tenants: impl IntoIterator<Item = Tenant>) -> Self {
        let accounts = tenants.into_iter().map(|tenant| Arc::new(Account::of(tenant))).collect();
        Self { accounts, strangers: AtomicU64::new(0) }
    }

    /// Whoever sends this.
    ///
    /// # Errors
    ///
    /// It has no key, and needs one, or nobody has its key.
    pub(super) fn who(&self, headers: &HeaderMap) -> Result<&Arc<Account>, Denied> {
        let key = key(headers).map(Token::new);
        let mut found = None;
        // Every one is looked at: how long that takes says nothing of the keys there are.
        for account in &self.accounts {
            if account.tenant.key == key {
                found = Some(account);
            }
        }
        found.ok_or_else(|| {
            self.strangers.fetch_add(1, Relaxed);
            if key.is_some() { Denied::UnknownKey } else { Denied::NoKey }
        })
    }

    /// Whoever comes over a connection on which nobody can send a key.
    ///
    /// # Errors
    ///
    /// It would need one, or too many are there already.
    pub(super) fn enter_raw(&self) -> Result<Place, Denied> {
        self.who(&HeaderMap::new())?.enter()
    }

    /// What was counted, tenant by tenant, and how many were refused who are none.
    pub fn tallies(&self) -> (Vec<Tally>, u64) {
        (self.accounts.iter().map(|account| account.tally()).collect(), self.strangers.load(Relaxed))
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.accounts.iter().map(|account| &account.tenant.name)).finish()
    }
}

/// A tenant, and what is counted of it.
pub(super) struct Account {
    tenant: Tenant,
    in_flight: AtomicU32,
    admitted: AtomicU64,
    refused: AtomicU64,
}

impl Account {
    fn of(tenant: Tenant) -> Self {
        let (in_flight, admitted, refused) = (AtomicU32::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { tenant, in_flight, admitted, refused }
    }

    /// Takes a place for a request.
    ///
    /// # Errors
    ///
    /// All are taken.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Place, Denied> {
        let most = self.tenant.inflight.unwrap_or(u32::MAX);
        // One that finds no place never stands in the way of another.
        let entered =
            self.in_flight.fetch_update(Relaxed, Relaxed, |now| (now < most).then_some(now + 1)).is_ok();
        if !entered {
            self.refused.fetch_add(1, Relaxed);
            return Err(Denied::TooMany(most));
        }
        self.admitted.fetch_add(1, Relaxed);
        Ok(Place(Arc::clone(self)))
    }

    fn tally(&self) -> Tally {
        Tally {
            tenant: self.tenant.name.clone(),
            in_flight: self.in_flight.load(Relaxed),
            inflight: self.tenant.inflight,
            admitted: self.admitted.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }
}

/// A tenant's place for a request; free again once this is dropped.
pub(super) struct Place(Arc<Account>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// It has no key.
    NoKey,
    /// Nobody has its key.
    UnknownKey,
    /// So many of its tenant are in flight, and there may not be more.
    TooMany(u32),
}

impl Denied {
    /// What a request must have to be let in (RFC 6750, section 3).
    pub(super) fn challenge(self) -> Option<HeaderValue> {
        match self {
            Self::NoKey => Some(HeaderValue::from_static("Bearer")),
            Self::UnknownKey => Some(HeaderValue::from_static("Bearer error=\"invalid_token\"")),
            Self::TooMany(_) => None,
        }
    }
}

/// The key that a request is sent with; an empty one is none.
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    let is_one = |key: &&[u8]| !key.is_empty();
    let plain = || headers.get(API_KEY).map(|value| value.as_bytes().trim_ascii());
    bearer.filter(is_one).or_else(|| plain().filter(is_one))
}

/// Takes out of a head what says who sends it.
pub(super) fn without_key(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    headers.remove(API_KEY);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(with_default: bool) -> Tenants {
        let tenant = |name: &str, inflight, key: Option<&str>| Tenant {
            name: name.to_owned(),
            inflight,
            key: key.map(Token::new),
        };
        let others = [tenant("acme", Some(2), Some("key-of-acme")), tenant("lab", None, Some("key-of-lab"))];
        Tenants::new(others.into_iter().chain(with_default.then(|| tenant("default", Some(1), None))))
    }

    fn sent(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line =
            |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        lines.iter().map(line).collect()
    }

    /// Who is let in with this.
    fn who(tenants: &Tenants, lines: &[(&'static str, &str)]) -> Result<String, Denied> {
        tenants.who(&sent(lines)).map(|account| account.tenant.name.clone())
    }

    #[test]
    fn a_key_says_who_asks() {
        let (strict, open) = (tenants(false), tenants(true));
        for lines in [
            &[("authorization", "Bearer key-of-acme")][..],
            &[("authorization", "bearer  key-of-acme")],
            &[("x-api-key", "key-of-acme")],
            &[("authorization", "Basic key-of-lab"), ("x-api-key", "key-of-acme")],
            &[("authorization", "Bearer "), ("x-api-key", "key-of-acme")],
            &[("authorization", "Bearer key-of-acme"), ("x-api-key", "the-service's-own")],
        ] {
            for tenants in [&strict, &open] {
                assert_eq!(who(tenants, lines), Ok("acme".to_owned()), "{lines:?}");
            }
        }
        assert_eq!(who(&strict, &[("x-api-key", "key-of-lab")]), Ok("lab".to_owned()));
    }

    #[test]
    fn without_a_key_it_is_the_default_and_with_an_unknown_one_nobody() {
        let (strict, open) = (tenants(false), tenants(true));
        for none in
            [&[][..], &[("authorization", "Bearer ")], &[("x-api-key", "")], &[("authorization", "Basic x")]]
        {
            assert_eq!(who(&strict, none), Err(Denied::NoKey), "{none:?}");
            assert_eq!(who(&open, none), Ok("default".to_owned()), "{none:?}");
        }
        for unknown in [
            &[("authorization", "Bearer key-of-acm")][..],
            &[("authorization", "Bearer key-of-acmé")],
            &[("authorization", "Bearer nobody's"), ("x-api-key", "key-of-acme")],
            &[("x-api-key", "Bearer key-of-acme")],
        ] {
            for tenants in [&strict, &open] {
                assert_eq!(who(tenants, unknown), Err(Denied::UnknownKey), "{unknown:?}");
            }
        }
        assert_eq!((strict.tallies().1, open.tallies().1), (8, 4));
    }

    #[test]
    fn a_place_is_free_again_when_its_request_is_over() {
        let tenants = tenants(false);
        let acme = tenants.who(&sent(&[("x-api-key", "key-of-acme")])).unwrap();
        let (first, second) = (acme.enter().unwrap(), acme.enter().unwrap());
        assert_eq!(acme.enter().err(), Some(Denied::TooMany(2)));
        drop(first);
        let third = acme.enter().unwrap();
        assert_eq!(acme.enter().err(), Some(Denied::TooMany(2)));
        drop((second, third));
        let (tallies, strangers) = tenants.tallies();
        let acme = Tally { tenant: "acme".into(), in_flight: 0, inflight: Some(2), admitted: 3, refused: 2 };
        assert_eq!((&tallies[0], strangers), (&acme, 0));
        assert!(
            tenants.who(&sent(&[("x-api-key", "key-of-lab")])).unwrap().enter().is_ok(),
            "each for itself"
        );
    }

    #[test]
    fn where_no_key_can_be_sent_only_the_default_gets_in() {
        assert_eq!(tenants(false).enter_raw().err(), Some(Denied::NoKey));
        let open = tenants(true);
        let only = open.enter_raw().unwrap();
        assert_eq!(open.enter_raw().err(), Some(Denied::TooMany(1)));
        drop(only);
        assert!(open.enter_raw().is_ok());
    }

    #[test]
    fn no_more_than_may_be_are_let_in_by_many_threads() {
        let tenants = tenants(false);
        let acme = tenants.who(&sent(&[("x-api-key", "key-of-acme")])).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let place = acme.enter();
                        assert!(acme.tally().in_flight <= 2);
                        drop(place);
                    }
                });
            }
        });
        let tally = acme.tally();
        assert_eq!((tally.in_flight, tally.admitted + tally.refused), (0, 40_000));
    }

    #[test]
    fn a_known_key_costs_no_allocation() {
        let tenants = tenants(true);
        let headers = sent(&[("authorization", "Bearer key-of-lab")]);
        let cost = allocation_counter::measure(|| drop(tenants.who(&headers).unwrap().enter().unwrap()));
        assert_eq!(cost.count_total, 0);
    }

    #[test]
    fn keys_are_not_shown() {
        let shown = format!("{:?}", tenants(true));
        assert_eq!(shown, r#"{"acme", "lab", "default"}"#);
    }
}
