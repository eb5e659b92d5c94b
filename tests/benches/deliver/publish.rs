//! A backend over REST: signed publishes on one kept-open connection, each waiting for its answer.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
};

use anyhow::{Context as _, ensure};
use md5::{Digest as _, Md5};
use tests::rest::{Credentials, unix_seconds};

use crate::{audience::Audience, measure::Cost, node::Node, pace::Pace};

pub(crate) const KEY: &str = "app-key";
pub(crate) const CHANNEL: &str = "bench";
pub(crate) const EVENT: &str = "tick";

/// The "data" of every event.
pub(crate) fn payload(bytes: usize) -> String {
    "0123456789abcdef".chars().cycle().take(bytes).collect()
}

/// One connection of a backend.
pub(crate) struct Publisher {
    connection: BufReader<TcpStream>,
    credentials: Credentials,
}

/// What is posted.
pub(crate) struct Body {
    text: String,
    md5: String,
}

impl Body {
    pub(crate) fn new(text: String) -> Self {
        let md5 = hex::encode(Md5::digest(&text));
        Self { text, md5 }
    }
}

/// What `events` cost the node with so many publishers, and no more events than that under way.
pub(crate) fn measure(
    node: &Node,
    audience: &Audience,
    events: u64,
    shape: (u32, usize),
) -> anyhow::Result<Cost> {
    audience.pace.plan(events);
    Cost::of(&node.pids, events, || {
        at_pace(node.address, &audience.pace, shape);
        Ok(())
    })
}

/// Publishes what is planned; returns when all has been received.
fn at_pace(address: SocketAddr, pace: &Pace, (publishers, payload_bytes): (u32, usize)) {
    let publish = || -> anyhow::Result<()> {
        let mut publisher = Publisher::connect(address)?;
        let data = payload(payload_bytes);
        let body =
            Body::new(format!(r#"{{"name":"{EVENT}","channel":"{CHANNEL}","data":"{data}"}}"#));
        while pace.begin(publishers.into()) {
            publisher.publish(&body)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        for _ in 0..publishers {
            scope.spawn(|| {
                if let Err(error) = publish() {
                    pace.stop(&error.to_string());
                }
            });
        }
        pace.finish();
    });
}

impl Publisher {
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let connection = BufReader::new(stream);
        Ok(Self { connection, credentials: Credentials::default() })
    }

    /// Returns when it was answered.
    pub(crate) fn publish(&mut self, body: &Body) -> anyhow::Result<()> {
        let Credentials { app_id, key, .. } = &self.credentials;
        let path = format!("/apps/{app_id}/events");
        let query = format!(
            "auth_key={key}&auth_timestamp={}&auth_version=1.0&body_md5={}",
            unix_seconds(),
            body.md5
        );
        let signature = self.credentials.sign(&format!("POST\n{path}\n{query}"));
        let request = format!(
            "POST {path}?{query}&auth_signature={signature} HTTP/1.1\r\nHost: bench\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
            body.text.len(),
            body.text
        );
        self.connection.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        self.connection.read_line(&mut line)?;
        let status = line.trim_end().to_owned();
        let mut length = None;
        loop {
            line.clear();
            self.connection.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(value.parse()?);
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length.context("an answer without a length")?];
        self.connection.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body);
        ensure!(status.starts_with("HTTP/1.1 200"), "{status}: {body}");
        Ok(())
    }
}
