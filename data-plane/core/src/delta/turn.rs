//! One event on its way to the subscribers: full or delta, each frame made once.

use bytes::Bytes;
use smallvec::SmallVec;

use super::{
    DeltaChannel, DeltaFormat, DeltaWriter, Position, Published, Sequence, Step, Trail,
    channel::Key,
    frame::{Base, Words},
    shared::Needed,
};

/// The delivery of one event. Per group of subscribers call [`Turn::pass`], then per subscriber
/// [`Turn::frame`] or [`Turn::leave_out`], and at last [`Turn::finish`].
#[derive(Debug)]
pub struct Turn<'a> {
    channel: &'a mut DeltaChannel,
    writer: &'a mut DeltaWriter,
    event: Published<'a>,
    key: Key<'a>,
    slot: usize,
    sequence: Sequence,
    /// The event is too short to be compressed.
    short: bool,
    /// Those of the event's frames that somebody here needs.
    made: SmallVec<[Made; 4]>,
}

/// The frame for those who have one base and read one format; without a base it is the full one.
#[derive(Debug)]
struct Made {
    base: Sequence,
    format: DeltaFormat,
    frame: Bytes,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        channel: &'a mut DeltaChannel,
        writer: &'a mut DeltaWriter,
        event: Published<'a>,
        (key, slot, sequence): (Key<'a>, usize, Sequence),
    ) -> Self {
        let short = event.delta.is_none() && event.text.len() < channel.settings.frame_bytes_min;
        Self { channel, writer, event, key, slot, sequence, short, made: SmallVec::new() }
    }

    /// The event reaches the followers of a trail. At most once per trail, and only where at least
    /// one follower has a position.
    pub fn pass(&mut self, trail: &mut Trail) -> Step {
        let mark = trail.mark(self.slot);
        let last = mark.sequence;
        let known = last == Sequence::NONE || self.channel.base(self.slot, last).is_some();
        if !known {
            self.channel.remember_more();
        }
        let due = mark.deltas >= self.channel.settings.full_message_interval;
        let full = self.short || !known || last == Sequence::NONE;
        mark.deltas = if full || due { 0 } else { mark.deltas + 1 };
        mark.sequence = self.sequence;
        Step { base: if full { Sequence::NONE } else { last }, due }
    }

    /// The frame of one subscriber, header included.
    #[inline]
    pub fn frame(&mut self, step: Step, position: &mut Position) -> &Bytes {
        let (base, format) = (position.base(step, self.slot), position.format());
        let place = match self.find(base, format) {
            Some(place) => place,
            None => self.make(base, format),
        };
        &self.made[place].frame
    }

    /// One subscriber in the group does not get the event: its publisher.
    pub fn leave_out(&mut self, step: Step, position: &mut Position) {
        self.channel.remember_more();
        position.leave_out(step, self.slot, self.sequence);
    }

    /// How many different frames were needed.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.made.len()
    }

    /// The event is a base from here on.
    pub fn finish(self) {
        let text = self.event.text.clone();
        self.channel.keep(self.slot, Base { sequence: self.sequence, text });
    }

    #[inline]
    fn find(&self, base: Sequence, format: DeltaFormat) -> Option<usize> {
        self.made
            .iter()
            .position(|made| made.base == base && (base == Sequence::NONE || made.format == format))
    }

    #[cold]
    fn make(&mut self, base: Sequence, format: DeltaFormat) -> usize {
        let frame = self.delta(base, format).unwrap_or_else(|| self.full());
        self.made.push(Made { base, format, frame });
        self.made.len() - 1
    }

    /// `None` where the base is forgotten or cannot be named, and where the full frame is not longer.
    fn delta(&mut self, base: Sequence, format: DeltaFormat) -> Option<Bytes> {
        let base = self.channel.base(self.slot, base)?;
        let words = words(self.channel, &self.event, &self.key, self.sequence);
        let text = self.event.text;
        let forced = self.event.delta == Some(true);
        let most = if forced { usize::MAX } else { words.marked_bytes(text) };
        let needed = self.needed(Some((base.sequence, format)));
        let writer = &mut *self.writer;
        self.event.shared.frame(needed, || writer.delta(&words, format, (base, text), most))
    }

    fn full(&mut self) -> Bytes {
        if let Some(made) = self.made.iter().find(|made| made.base == Sequence::NONE) {
            return made.frame.clone();
        }
        let needed = self.needed(None);
        let words = words(self.channel, &self.event, &self.key, self.sequence);
        let (writer, text) = (&mut *self.writer, self.event.text);
        let full = self.event.shared.frame(needed, || Some(writer.marked(&words, text)));
        full.expect("there is always a full frame")
    }

    fn needed(&self, delta: Option<(Sequence, DeltaFormat)>) -> Needed {
        let key = self.key.as_deref().map(Into::into);
        Needed { sequence: self.sequence, delta, key }
    }
}

fn words<'a>(
    channel: &'a DeltaChannel,
    event: &Published<'a>,
    key: &'a Key<'_>,
    sequence: Sequence,
) -> Words<'a> {
    Words { channel: &channel.name, name: event.name, sequence, key: key.as_deref() }
}
