//! A delta of ours restores its target, by a decoder that shares no code with it; the decoder takes
//! whatever bytes there are and never panics.
//!
//! Input: two bytes with the base's length, the base, and the rest. The rest is a target as it stands,
//! a script that makes another one of the base, and a delta that nobody has encoded.

#![no_main]

#[path = "../../data-plane/core/tests/decoder/compact.rs"]
mod compact;
#[path = "../../data-plane/core/tests/decoder/fossil.rs"]
mod fossil;
#[path = "../../data-plane/core/tests/decoder/vcdiff.rs"]
mod vcdiff;

use data_plane_core::delta::{Encoder, Sequence};
use libfuzzer_sys::fuzz_target;
use model::DeltaAlgorithm;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, bytes)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_be_bytes(*length)).min(bytes.len());
    let (base, rest) = bytes.split_at(length);
    for algorithm in DeltaAlgorithm::ALL {
        // One that has encoded something before is as good as a new one.
        let mut encoder = Encoder::default();
        for target in [rest, &edited(base, rest), base, &[]] {
            let delta = encoder.encode(algorithm, base, target);
            assert_eq!(apply(algorithm, base, delta).as_deref(), Ok(target), "{algorithm:?}");
        }
        let made_up = apply(algorithm, base, rest);
        let by_hand = apply(algorithm, base, &headed(algorithm, rest));
        drop((made_up, by_hand));
    }
    let mut encoder = Encoder::default();
    for target in [rest, &edited(base, rest), base, &[]] {
        let payload = encoder.encode_compact((Sequence(5), Sequence(6)), base, target);
        let frame = compact::Frame::parse(payload).expect("a frame of ours can be read");
        assert!(frame.distance == 1 && frame.names(5));
        assert_eq!(frame.apply(base).as_deref(), Ok(target));
    }
    drop(compact::Frame::parse(rest).map(|made_up| made_up.apply(base)));
});

fn apply(algorithm: DeltaAlgorithm, base: &[u8], delta: &[u8]) -> Result<Vec<u8>, &'static str> {
    match algorithm {
        DeltaAlgorithm::Fossil => fossil::apply(base, delta),
        DeltaAlgorithm::Xdelta3 => vcdiff::apply(base, delta),
    }
}

/// Pieces of the base with bytes between them: what deltas are made for. Of three bytes, an odd one
/// copies as many bytes as the second says from where the third points; an even one stands for itself.
fn edited(base: &[u8], script: &[u8]) -> Vec<u8> {
    let mut target = Vec::new();
    for step in script.chunks(3) {
        match *step {
            [kind, bytes, place] if kind % 2 == 1 => {
                let from = base.len() * usize::from(place) / 256;
                let end = base.len().min(from + usize::from(bytes));
                target.extend_from_slice(&base[from..end]);
            }
            _ => target.extend_from_slice(step),
        }
    }
    target
}

/// Garbage that gets past the decoder's first look.
fn headed(algorithm: DeltaAlgorithm, rest: &[u8]) -> Vec<u8> {
    let head: &[u8] = match algorithm {
        DeltaAlgorithm::Fossil => b"40\n",
        DeltaAlgorithm::Xdelta3 => b"\xD6\xC3\xC4\0\0",
    };
    [head, rest].concat()
}
