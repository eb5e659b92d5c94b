//! One signed REST call, as a backend's library makes it.

use std::fmt::Write as _;

use anyhow::bail;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;

use super::{Target, connect::connect, sign::signed_path};

/// Signs, sends, and prints the answer. `path` begins behind `/apps/{appId}`.
#[allow(clippy::print_stdout, reason = "this is the command's answer")]
pub(crate) async fn call(
    target: &Target,
    (method, path): (&str, &str),
    body: String,
) -> anyhow::Result<()> {
    let path = format!("/apps/{}{path}", target.app_id);
    let uri = signed_path(target, (method, &path, body.as_bytes()), super::unix_seconds())?;
    let (stream, host) = connect(&target.url, target.ca_certificate.as_deref()).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("host", host)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&answer));
    if !status.is_success() {
        bail!("refused with status {status}");
    }
    Ok(())
}

/// A text as one segment of a path, or as one value of a query.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~@=,;:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("a String takes all text");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_urls_is_escaped() {
        assert_eq!(escaped("private-team@acme;x=1,2"), "private-team@acme;x=1,2");
        assert_eq!(escaped("#server-to-user-ü/1"), "%23server-to-user-%C3%BC%2F1");
        assert_eq!(escaped("a b&c+d?e%41"), "a%20b%26c%2Bd%3Fe%2541");
    }
}
