//! HTTP/1.1 byte by byte, so that a test decides what is on the wire.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A connection that is kept alive.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A response, whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), received: Vec::new() }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends a request; `headers` are whole lines.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Response {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n");
        for line in headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.send(&[head.as_bytes(), body].concat()).await;
        self.response().await
    }

    /// The next response.
    pub(crate) async fn response(&mut self) -> Response {
        let head = self.head().await;
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let mut response = Response { status, headers: headers.collect(), body: String::new() };
        let length = response.header("content-length").map_or(0, |text| text.parse().unwrap());
        while self.received.len() < length {
            assert!(self.receive().await > 0, "the connection ended within a body");
        }
        response.body = String::from_utf8(self.received.drain(..length).collect()).unwrap();
        response
    }

    /// The next response's status line and headers.
    pub(crate) async fn head(&mut self) -> String {
        self.until(b"\r\n\r\n").await
    }

    async fn until(&mut self, end: &[u8]) -> String {
        loop {
            let found = self.received.windows(end.len()).position(|window| window == end);
            if let Some(place) = found {
                let head = self.received.drain(..place + end.len()).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.receive().await > 0, "the connection ended within a head");
        }
    }

    /// How many bytes came; 0 at the end of the connection.
    async fn receive(&mut self) -> usize {
        let deadline = std::time::Duration::from_secs(10);
        let read = self.stream.read_buf(&mut self.received);
        tokio::time::timeout(deadline, read).await.expect("silence").unwrap_or(0)
    }

    /// Whether the other side has closed.
    pub(crate) async fn ended(&mut self) -> bool {
        self.receive().await == 0
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.body).unwrap()
    }

    /// Asserts a refusal in its one shape; gives its text.
    pub(crate) fn refused(&self, status: u16, code: &str, field: Option<&str>) -> String {
        let body = self.json();
        assert_eq!((self.status, &body["code"]), (status, &code.into()), "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        assert_eq!(body.get("field").and_then(|field| field.as_str()), field, "{self:?}");
        assert_eq!(self.header("access-control-allow-origin"), Some("*"));
        body["error"].as_str().filter(|text| !text.is_empty()).unwrap().to_owned()
    }

    /// Limit, remaining, reset.
    pub(crate) fn rate(&self) -> Option<[u32; 3]> {
        let names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
        let [limit, remaining, reset] = names.map(|name| self.header(name));
        Some([limit?, remaining?, reset?].map(|text| text.parse().unwrap()))
    }
}
