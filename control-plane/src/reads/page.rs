//! Pages: how large they are, and where the next one begins.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as TOKEN};
use model::{Reason, Rejection, ShardId};

use crate::shards::Cursor;

const SIZE: usize = 1_000;
const SIZE_MAX: usize = 10_000;

/// Entries of a page.
pub(super) fn size(asked: i32) -> Result<usize, Rejection> {
    match usize::try_from(asked) {
        Ok(0) => Ok(SIZE),
        Ok(asked) => Ok(asked.min(SIZE_MAX)),
        Err(_) => {
            let message = format!("page_size is {asked}, and must not be negative");
            Err(Rejection::field(Reason::InvalidInput, "page_size", message))
        }
    }
}

/// The token of the page behind `last`.
pub(super) fn token(last: &str) -> String {
    TOKEN.encode(last)
}

/// What a token stands for; `None` for the first page.
pub(super) fn text(token: &str) -> Result<Option<String>, Rejection> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = TOKEN.decode(token).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(Some).ok_or_else(foreign)
}

/// The token of the page behind a channel.
pub(super) fn cursor_token(last: &Cursor) -> String {
    token(&format!("{}/{}", last.shard, last.channel))
}

/// The channel behind which a page begins; `None` for the first page.
pub(super) fn cursor(token: &str) -> Result<Option<Cursor>, Rejection> {
    let Some(text) = text(token)? else { return Ok(None) };
    let (shard, channel) = text.split_once('/').ok_or_else(foreign)?;
    let shard = shard.parse().ok().and_then(ShardId::new).ok_or_else(foreign)?;
    Ok(Some(Cursor { shard: shard.number(), channel: channel.to_owned() }))
}

fn foreign() -> Rejection {
    let message = "page_token is not one that was given out";
    Rejection::field(Reason::InvalidInput, "page_token", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size(0), Ok(1_000));
        assert_eq!(size(7), Ok(7));
        assert_eq!(size(i32::MAX), Ok(10_000));
        assert_eq!(size(-1).unwrap_err().field, "page_size");
    }

    #[test]
    fn tokens_come_back_as_they_were() {
        for channel in ["room", "a/b", "ü", ""] {
            let last = Cursor { shard: 1_023, channel: channel.into() };
            assert_eq!(cursor(&cursor_token(&last)), Ok(Some(last)));
            let there = (!channel.is_empty()).then(|| channel.to_owned());
            assert_eq!(text(&token(channel)), Ok(there));
        }
        assert_eq!(cursor(""), Ok(None));
    }

    #[test]
    fn a_foreign_token_is_refused_by_name() {
        for bad in ["!", "a", &token("room"), &token("1024/room"), &token("-1/x"), "_-8="] {
            assert_eq!(cursor(bad).unwrap_err().field, "page_token", "{bad}");
        }
        assert_eq!(text("gA").unwrap_err().field, "page_token");
    }
}
