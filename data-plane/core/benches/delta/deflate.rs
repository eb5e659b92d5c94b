//! `permessage-deflate` (RFC 7692) as a server sends it: level 6, a window of 32 KiB that is kept from
//! message to message.

use flate2::{Compress, Compression, FlushCompress, Status};

/// One connection's.
pub(crate) struct Deflate {
    context: Compress,
    payload: Vec<u8>,
}

/// What ends each flush, and is not sent.
const TAIL: &[u8] = &[0, 0, 0xFF, 0xFF];

impl Deflate {
    pub(crate) fn new() -> Self {
        let context = Compress::new(Compression::new(6), false);
        Self { context, payload: Vec::with_capacity(4_096) }
    }

    /// The bytes of the message's payload.
    pub(crate) fn compress(&mut self, text: &[u8]) -> usize {
        self.payload.clear();
        let status = self.context.compress_vec(text, &mut self.payload, FlushCompress::Sync);
        assert_eq!(status.ok(), Some(Status::Ok), "the payload has room");
        assert!(self.payload.ends_with(TAIL), "a flush ends like this");
        self.payload.len() - TAIL.len()
    }
}
