//! One algorithm or the other, with memory that is used again.

use model::DeltaAlgorithm;

use super::{Sequence, compact, fossil, matches::Matcher, xdelta3::Sections};

/// Encodes differences. One per thread: what it needs to remember it keeps from one to the next.
#[derive(Debug, Default)]
pub struct Encoder {
    matcher: Matcher,
    sections: Sections,
    delta: Vec<u8>,
}

impl Encoder {
    /// What turns `base` into `target`. Texts are shorter than 4 GiB.
    pub fn encode(&mut self, algorithm: DeltaAlgorithm, base: &[u8], target: &[u8]) -> &[u8] {
        self.delta.clear();
        let copies = self.matcher.run(base, target);
        match algorithm {
            DeltaAlgorithm::Fossil => fossil::write(&mut self.delta, copies, target),
            DeltaAlgorithm::Xdelta3 => {
                self.sections.write(&mut self.delta, copies, base.len(), target);
            }
        }
        &self.delta
    }

    /// The payload of a compact frame that turns the base of the first number into the target, which
    /// has the second one.
    pub fn encode_compact(
        &mut self,
        numbers: (Sequence, Sequence),
        base: &[u8],
        target: &[u8],
    ) -> &[u8] {
        self.delta.clear();
        let copies = self.matcher.run(base, target);
        compact::write(&mut self.delta, numbers, copies, (base.len(), target));
        &self.delta
    }
}
