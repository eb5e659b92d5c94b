//! Which fields of a channel a caller wants.

use model::{Reason, Rejection};
use prost_types::FieldMask;

/// Fields that are given only where they are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mask {
    pub(super) subscription_count: bool,
    pub(super) user_count: bool,
    pub(super) cache: bool,
}

impl Mask {
    /// Of `known` paths alone. `name` and `occupied`, which are always given, may be named too.
    pub(super) fn parse(mask: Option<&FieldMask>, known: &[&str]) -> Result<Self, Rejection> {
        let mut wanted = Self::default();
        for path in mask.iter().flat_map(|mask| &mask.paths) {
            match path.as_str() {
                "name" | "occupied" => {}
                path if !known.contains(&path) => return Err(unknown(path, known)),
                "subscription_count" => wanted.subscription_count = true,
                "user_count" => wanted.user_count = true,
                "cache" => wanted.cache = true,
                path => return Err(unknown(path, known)),
            }
        }
        Ok(wanted)
    }
}

fn unknown(path: &str, known: &[&str]) -> Rejection {
    let shown: String = path.chars().take(64).collect();
    let message = format!("read_mask names {shown:?}; there are {}", known.join(", "));
    Rejection::field(Reason::InvalidInput, "read_mask", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 3] = ["subscription_count", "user_count", "cache"];

    fn mask(paths: &[&str], known: &[&str]) -> Result<Mask, Rejection> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Mask::parse(Some(&FieldMask { paths }), known)
    }

    #[test]
    fn what_is_named_is_wanted() {
        assert_eq!(Mask::parse(None, &ALL), Ok(Mask::default()));
        assert_eq!(mask(&["name", "occupied"], &ALL), Ok(Mask::default()));
        let all = Mask { subscription_count: true, user_count: true, cache: true };
        assert_eq!(mask(&ALL, &ALL), Ok(all));
    }

    #[test]
    fn an_unknown_path_is_named() {
        for (path, known) in [("cache", &ALL[..2]), ("members", &ALL), ("*", &ALL), ("", &ALL)] {
            let refused = mask(&[path], known).unwrap_err();
            assert_eq!((refused.reason, &*refused.field), (Reason::InvalidInput, "read_mask"));
            assert!(refused.message.contains(&format!("{path:?}")), "{}", refused.message);
        }
    }
}
