//! How a client reads deltas.

use model::DeltaAlgorithm;

/// What the frames of deltas look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeltaFormat {
    /// `pusher:delta`, as every client that knows deltas reads it.
    Text(DeltaAlgorithm),
    /// Binary frames of a few bytes. Only clients that name it get them: no app
    /// can choose it for others.
    Compact,
}

impl DeltaFormat {
    /// All formats.
    pub const ALL: [Self; 3] =
        [Self::Text(DeltaAlgorithm::Fossil), Self::Text(DeltaAlgorithm::Xdelta3), Self::Compact];

    /// The name by which clients ask for it, and by which it is confirmed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text(algorithm) => algorithm.name(),
            Self::Compact => "compact",
        }
    }

    /// The format of that name in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case(Self::Compact.name()) {
            return Some(Self::Compact);
        }
        DeltaAlgorithm::named(name).map(Self::Text)
    }

    /// Whether a client that cannot undo a delta says so: it needs no full frame now and then.
    pub(super) fn tells_losses(self) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Compact => true,
        }
    }
}

impl From<DeltaAlgorithm> for DeltaFormat {
    fn from(algorithm: DeltaAlgorithm) -> Self {
        Self::Text(algorithm)
    }
}
