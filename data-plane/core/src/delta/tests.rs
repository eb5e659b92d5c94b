use bytes::Bytes;
use model::{DeltaAlgorithm, Tags};

use super::*;

/// One channel with two groups of subscribers.
struct Room {
    channel: DeltaChannel,
    numbers: Numbers,
    writer: DeltaWriter,
    trails: [Trail; 2],
    count: u32,
}

impl Room {
    fn new(settings: DeltaSettings) -> Self {
        let channel = DeltaChannel::new("room", settings);
        let writer = DeltaWriter::new(|_, _, _| {});
        Self { channel, numbers: Numbers::new(0), writer, trails: Default::default(), count: 0 }
    }

    fn join(&self) -> Position {
        Position::new(DeltaAlgorithm::Fossil.into(), self.channel.next())
    }

    /// What an event of some 300 bytes is for each position: `F`ull, `u`nmarked, `c`ompact, or the base
    /// of its delta. Positions come with their group; one that is excluded gets `-`.
    fn publish(&mut self, delta: Option<bool>, to: &mut [(usize, &mut Position, bool)]) -> String {
        self.count += 1;
        let data = format!(r#"{{"n":{},"text":"{}"}}"#, self.count, "lorem ipsum ".repeat(22));
        self.publish_data(&data, delta, to)
    }

    fn publish_data(
        &mut self,
        data: &str,
        delta: Option<bool>,
        to: &mut [(usize, &mut Position, bool)],
    ) -> String {
        let text: Bytes = crate::frame::event("hello", "room", data, None).into();
        let shared = self.numbers.next();
        let event =
            Published { name: "hello", data, tags: None, delta, text: &text, shared: &shared };
        let Some(mut turn) = self.channel.begin(event, &mut self.writer) else {
            return "u".repeat(to.len());
        };
        let (mut said, mut states) = (String::new(), Vec::new());
        for (group, trail) in self.trails.iter_mut().enumerate() {
            let mut members = to.iter_mut().filter(|member| member.0 == group).peekable();
            if members.peek().is_none() {
                continue;
            }
            let step = turn.pass(trail);
            for (_, position, excluded) in members {
                if *excluded {
                    turn.leave_out(step, position);
                    said += "-";
                    continue;
                }
                let frame = turn.frame(step, position).to_vec();
                said += &shape(&frame);
                states.push(frame);
            }
        }
        states.sort();
        states.dedup();
        assert_eq!(turn.frames(), states.len(), "each frame is made once");
        turn.finish();
        said
    }
}

fn shape(frame: &[u8]) -> String {
    let Ok(frame) = serde_json::from_slice::<serde_json::Value>(frame) else {
        return "c".to_owned();
    };
    let marked = frame["__delta_seq"].is_u64();
    if marked { "F".to_owned() } else { frame["data"]["base_index"].to_string() }
}

#[test]
fn full_first_then_deltas_and_a_full_frame_now_and_then() {
    let settings = DeltaSettings { full_message_interval: 3, ..DeltaSettings::default() };
    let mut room = Room::new(settings);
    let mut ann = room.join();
    let mut said = String::new();
    for n in 0..10 {
        let delta = (n == 6).then_some(false);
        said += &room.publish(delta, &mut [(0, &mut ann, false)]);
    }
    // The one that is forbidden is no base, and takes no part in the count.
    assert_eq!(said, "F123F5u68F");
}

#[test]
fn who_joins_later_starts_with_a_full_frame() {
    let mut room = Room::new(DeltaSettings::default());
    let mut ann = room.join();
    room.publish(None, &mut [(0, &mut ann, false)]);
    let mut bob = room.join();
    assert_eq!(room.publish(None, &mut [(0, &mut ann, false), (0, &mut bob, false)]), "1F");
    assert_eq!(room.publish(None, &mut [(0, &mut ann, false), (0, &mut bob, false)]), "22");
    // A sync error: the next one is full again.
    ann.reset(room.channel.next());
    assert_eq!(room.publish(None, &mut [(0, &mut ann, false), (0, &mut bob, false)]), "F3");
}

#[test]
fn who_was_left_out_gets_a_delta_to_what_it_has() {
    let mut room = Room::new(DeltaSettings::default());
    let (mut ann, mut bob) = (room.join(), room.join());
    let mut publish =
        |excluded: bool| room.publish(None, &mut [(0, &mut ann, false), (0, &mut bob, excluded)]);
    assert_eq!(publish(false), "FF");
    assert_eq!(publish(true), "1-");
    assert_eq!(publish(true), "2-");
    assert_eq!(publish(false), "31");
    assert_eq!(publish(false), "44");
}

#[test]
fn who_was_left_out_of_the_first_event_gets_a_full_frame() {
    let mut room = Room::new(DeltaSettings::default());
    let (mut ann, mut bob) = (room.join(), room.join());
    assert_eq!(room.publish(None, &mut [(0, &mut ann, false), (0, &mut bob, true)]), "F-");
    assert_eq!(room.publish(None, &mut [(0, &mut ann, false), (0, &mut bob, false)]), "1F");
}

#[test]
fn groups_have_trails_of_their_own() {
    let mut room = Room::new(DeltaSettings::default());
    let (mut ann, mut bob) = (room.join(), room.join());
    assert_eq!(room.publish(None, &mut [(0, &mut ann, false), (1, &mut bob, false)]), "FF");
    assert_eq!(room.publish(None, &mut [(0, &mut ann, false)]), "1");
    // Only one base was kept so far: who falls behind for the first time gets a full frame.
    assert_eq!(room.publish(None, &mut [(0, &mut ann, false), (1, &mut bob, false)]), "2F");
    assert_eq!(room.publish(None, &mut [(0, &mut ann, false)]), "3");
    assert_eq!(room.publish(None, &mut [(0, &mut ann, false), (1, &mut bob, false)]), "43");
}

#[test]
fn short_and_unlike_events_are_full() {
    let mut room = Room::new(DeltaSettings::default());
    let mut ann = room.join();
    let mut publish =
        |data: &str, delta| room.publish_data(data, delta, &mut [(0, &mut ann, false)]);
    assert_eq!(publish("short", None), "F");
    assert_eq!(publish("short", None), "F");
    // Forced: whatever it costs.
    assert_eq!(publish("short", Some(true)), "2");
    let unlike = |n: u32| {
        (0..40).map(|k| format!("{:x}", (k + 40 * n).wrapping_mul(0x9E37_79B9))).collect::<String>()
    };
    assert_eq!(publish(&unlike(1), None), "F");
    assert_eq!(publish(&unlike(2), None), "F");
    assert_eq!(publish(&unlike(2), None), "5");
}

#[test]
fn a_channel_that_is_switched_off_compresses_what_is_forced() {
    let mut room = Room::new(DeltaSettings { enabled: false, ..DeltaSettings::default() });
    let mut ann = room.join();
    let mut said = String::new();
    for delta in [None, Some(true), None, Some(true), Some(false)] {
        said += &room.publish(delta, &mut [(0, &mut ann, false)]);
    }
    assert_eq!(said, "uFu2u");
}

#[test]
fn a_tag_that_looks_like_a_marker_keeps_markers_out() {
    let mut room = Room::new(DeltaSettings::default());
    let tags = Tags::from([("__conflation_key".into(), "x".into())]);
    let text: Bytes = crate::frame::event("hello", "room", "", Some(&tags)).into();
    let (tags, shared) = (Some(&tags), room.numbers.next());
    let event =
        Published { name: "hello", data: "", tags, delta: None, text: &text, shared: &shared };
    assert!(room.channel.begin(event, &mut room.writer).is_none());
}

#[test]
fn keys_have_bases_of_their_own() {
    let path = Some(KeyPath::new("asset"));
    let mut room = Room::new(DeltaSettings { conflation_key: path, ..DeltaSettings::default() });
    let mut ann = room.join();
    let mut said = String::new();
    for asset in ["BTC", "ETH", "ETH", "BTC", "a\\\"b", "a\\\"b", "ETH"] {
        let data = format!(r#"{{"asset":"{asset}","text":"{}"}}"#, "lorem ipsum ".repeat(22));
        said += &room.publish_data(&data, None, &mut [(0, &mut ann, false)]);
    }
    assert_eq!(said, "FF21F53");
}

#[test]
fn who_tells_losses_needs_no_full_frame_now_and_then() {
    let settings = DeltaSettings { full_message_interval: 2, ..DeltaSettings::default() };
    let mut room = Room::new(settings);
    let (mut ann, mut bob) = (room.join(), Position::new(DeltaFormat::Compact, Sequence(1)));
    let mut publish = || room.publish(None, &mut [(0, &mut ann, false), (0, &mut bob, false)]);
    assert_eq!([(); 5].map(|()| publish()), ["FF", "1c", "2c", "Fc", "4c"]);
}
