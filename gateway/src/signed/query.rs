//! The parameters of a request as they are signed: decoded, keys in lower case, sorted.

use std::borrow::Cow;

use model::{Reason, Rejection};

/// Parameters that a request may have once at most.
const ONCE: [&str; 4] = ["auth_key", "auth_timestamp", "auth_version", "body_md5"];

/// The parameters of a query. Of an ordinary parameter given twice the last value counts.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// All but `auth_signature`, sorted by key.
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    signature: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    /// Reads what stands behind the `?`. Lenient as clients need it: raw `,` `@` `;` `=` are values,
    /// a parameter without `=` is empty.
    pub fn parse(raw: &'a str) -> Result<Self, Rejection> {
        let mut query = Self { pairs: Vec::with_capacity(8), signature: None };
        for piece in raw.split('&').filter(|piece| !piece.is_empty()) {
            let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
            let (key, value) = (decode(key, Plus::IsSpace)?, decode(value, Plus::IsSpace)?);
            if key != "auth_signature" {
                query.pairs.push((lowercase(key), value));
            } else if query.signature.replace(value).is_some() {
                return Err(twice("auth_signature"));
            }
        }
        query.pairs.sort_by(|a, b| a.0.cmp(&b.0));
        query.keep_last_of_each()?;
        Ok(query)
    }

    fn keep_last_of_each(&mut self) -> Result<(), Rejection> {
        let mut repeated = None;
        self.pairs.dedup_by(|later, kept| {
            if later.0 != kept.0 {
                return false;
            }
            std::mem::swap(&mut later.1, &mut kept.1);
            repeated = repeated.or_else(|| ONCE.into_iter().find(|once| *once == kept.0));
            true
        });
        repeated.map_or(Ok(()), |key| Err(twice(key)))
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let place = self.pairs.binary_search_by(|(one, _)| (**one).cmp(key)).ok()?;
        Some(&self.pairs[place].1)
    }

    /// The value of `auth_signature`, which is not signed itself.
    #[must_use]
    pub fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }

    /// Adds a parameter where there is none of that name.
    pub fn insert(&mut self, key: &'a str, value: &'a str) {
        if let Err(place) = self.pairs.binary_search_by(|(one, _)| (**one).cmp(key)) {
            self.pairs.insert(place, (Cow::Borrowed(key), Cow::Borrowed(value)));
        }
    }

    /// The signed parameters, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (&**key, &**value))
    }
}

/// What `+` means: a blank in a query, itself in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plus {
    IsSpace,
    IsPlus,
}

/// Decodes `%41`; a `%` with anything else behind it is itself. What is not UTF-8 then is refused.
pub(crate) fn decode(text: &str, plus: Plus) -> Result<Cow<'_, str>, Rejection> {
    let is_space = |byte: u8| byte == b'+' && plus == Plus::IsSpace;
    if !text.bytes().any(|byte| byte == b'%' || is_space(byte)) {
        return Ok(Cow::Borrowed(text));
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let code = match (byte, tail) {
            (b'%', [high, low, ..]) => digit(high).zip(digit(low)),
            _ => None,
        };
        rest = match code {
            Some((high, low)) => {
                decoded.push((high * 16 + low) as u8);
                &tail[2..]
            }
            None => {
                decoded.push(if is_space(*byte) { b' ' } else { *byte });
                tail
            }
        };
    }
    let message = "the URL is not UTF-8 once it is percent-decoded";
    let not_text = |_| Rejection::new(Reason::InvalidInput, message);
    String::from_utf8(decoded).map(Cow::Owned).map_err(not_text)
}

fn lowercase(key: Cow<'_, str>) -> Cow<'_, str> {
    if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(key.to_ascii_lowercase());
    }
    key
}

fn twice(key: &'static str) -> Rejection {
    Rejection::field(Reason::InvalidInput, key, format!("{key} is given twice in the query"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: &str) {
        let query = Query::parse(raw).unwrap();
        let pairs: Vec<_> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs.join("|"), expected, "{raw}");
    }

    #[test]
    fn decodes_and_sorts() {
        check("", "");
        check("b=2&a=1", "a=1|b=2");
        check("a=1&&b", "a=1|b=");
        check("A=X&b=Y", "a=X|b=Y");
        check("a=1=2", "a=1=2");
        check("a=x,y@z;w", "a=x,y@z;w");
        check("a=%20+%2B%26%C3%A9", "a=  +&é");
        check("a=100%&b=%zz&c=%2", "a=100%|b=%zz|c=%2");
        check("auth_signature=x&a=1", "a=1");
        check("Auth_Signature=x", "auth_signature=x");
        check("a%5B%5D=1", "a[]=1");
    }

    #[test]
    fn of_a_repeated_parameter_the_last_counts_but_for_those_that_sign() {
        check("info=1&a=0&Info=2&info=3", "a=0|info=3");
        for key in ["auth_key", "auth_timestamp", "auth_version", "body_md5", "auth_signature"] {
            let rejection = Query::parse(&format!("{key}=1&x=2&{key}=1")).unwrap_err();
            assert_eq!((rejection.reason, &*rejection.field), (Reason::InvalidInput, key));
        }
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        assert!(Query::parse("a=%ff").is_err());
        assert_eq!(decode("a+b%2Bc", Plus::IsPlus).unwrap(), "a+b+c");
    }

    #[test]
    fn a_query_of_many_parameters_costs_no_quadratic_time() {
        let raw: Vec<_> = (0..200_000).map(|n| format!("k{}={n}", n % 1_000)).collect();
        let raw = raw.join("&");
        assert_eq!(Query::parse(&raw).unwrap().get("k999"), Some("199999"));
    }

    #[test]
    fn insert_keeps_what_is_there() {
        let mut query = Query::parse("b=1&d=1").unwrap();
        query.insert("c", "2");
        query.insert("b", "2");
        assert_eq!((query.get("b"), query.get("c"), query.get("x")), (Some("1"), Some("2"), None));
    }
}
