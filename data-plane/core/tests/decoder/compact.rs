//! Compact frames, read as `clients/js` documents them.

/// What a frame says of itself.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// How far its number is from its base's.
    pub(crate) distance: u64,
    name: &'a [u8],
    sum: u16,
    edits: &'a [u8],
}

type Error = &'static str;

impl<'a> Frame<'a> {
    pub(crate) fn parse(mut payload: &'a [u8]) -> Result<Self, Error> {
        let before = payload.len();
        let distance = length(&mut payload)? as u64;
        let bytes = before - payload.len();
        let name = take(&mut payload, bytes.max(2))?;
        let sum = take(&mut payload, 2)?.try_into().map(u16::from_le_bytes);
        Ok(Self { distance, name, sum: sum.map_err(|_| "no sum")?, edits: payload })
    }

    /// Whether its base may have this number.
    pub(crate) fn names(&self, number: u64) -> bool {
        number.to_le_bytes().starts_with(self.name)
    }

    pub(crate) fn apply(&self, base: &[u8]) -> Result<Vec<u8>, Error> {
        let (mut edits, mut rest) = (self.edits, base);
        let mut out = Vec::new();
        let mut place = 0_usize;
        while !edits.is_empty() {
            let copied = length(&mut edits)?;
            out.extend_from_slice(take(&mut rest, copied)?);
            let halves = take(&mut edits, 1)?[0];
            let mut half = |half: u8| match half {
                15 => length(&mut edits).and_then(|more| more.checked_add(15).ok_or(LONG)),
                short => Ok(usize::from(short)),
            };
            let (put_in, more) = (half(halves >> 4)?, half(halves & 15)?);
            out.extend_from_slice(take(&mut edits, put_in)?);
            let more = if more % 2 == 1 { -(more.div_ceil(2) as i64) } else { (more / 2) as i64 };
            place += copied;
            let next = place as i64 + put_in as i64 + more;
            place = usize::try_from(next).map_err(|_| "it goes on before the base")?;
            rest = base.get(place..).ok_or("it goes on behind the base")?;
        }
        out.extend_from_slice(rest);
        if sum(&out) == self.sum { Ok(out) } else { Err("another sum") }
    }
}

const LONG: Error = "a length is too long";

fn sum(bytes: &[u8]) -> u16 {
    let word = |four: &[u8]| {
        four.iter()
            .enumerate()
            .fold(0_u32, |word, (n, byte)| word | u32::from(*byte) << (24 - 8 * n))
    };
    let sum = bytes.chunks(4).map(word).fold(0, u32::wrapping_add);
    (sum >> 16) as u16 ^ sum as u16
}

fn length(bytes: &mut &[u8]) -> Result<usize, Error> {
    let mut value = 0;
    for shift in (0..28).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= usize::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(LONG)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Error> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or("it ends early")?;
    *bytes = rest;
    Ok(taken)
}
