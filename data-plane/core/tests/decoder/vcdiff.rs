//! Applies VCDIFF deltas (RFC 3284) of the kind that spec/websocket.md 8.11 allows.

const NEAR: usize = 4;
const SAME: usize = 3 * 256;
/// Larger than any message: a few bytes may ask for 4 GiB.
const WINDOW_BYTES_MAX: usize = 1 << 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instruction {
    Nothing,
    Run,
    Add,
    Copy { mode: usize },
}

/// What the delta makes of the base, or what is wrong with it.
pub(crate) fn apply(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut rest = delta.strip_prefix(&[0xD6, 0xC3, 0xC4, 0, 0]).ok_or("another header")?;
    let mut target = Vec::new();
    while !rest.is_empty() {
        let source = match byte(&mut rest)? {
            0 => &[],
            1 => {
                let (bytes, from) = (integer(&mut rest)?, integer(&mut rest)?);
                base.get(from..from + bytes).ok_or("the source leaves the base")?
            }
            _ => return Err("only a source is allowed"),
        };
        let bytes = integer(&mut rest)?;
        let window = take(&mut rest, bytes)?;
        target.extend(one_window(source, window)?);
    }
    Ok(target)
}

fn one_window(source: &[u8], mut rest: &[u8]) -> Result<Vec<u8>, &'static str> {
    let bytes = integer(&mut rest)?;
    if bytes > WINDOW_BYTES_MAX {
        return Err("the window is too large");
    }
    if byte(&mut rest)? != 0 {
        return Err("compressed sections");
    }
    let lengths = [integer(&mut rest)?, integer(&mut rest)?, integer(&mut rest)?];
    let mut data = take(&mut rest, lengths[0])?;
    let mut instructions = take(&mut rest, lengths[1])?;
    let mut addresses = Addresses {
        rest: take(&mut rest, lengths[2])?,
        near: [0; NEAR],
        next: 0,
        same: vec![0; SAME],
    };
    let mut window = source.to_vec();
    let end = source.len() + bytes;
    let table = table();
    while !instructions.is_empty() {
        for (instruction, size) in table[usize::from(byte(&mut instructions)?)] {
            if instruction == Instruction::Nothing {
                continue;
            }
            let size = if size == 0 { integer(&mut instructions)? } else { size };
            if size > end - window.len() {
                return Err("the window is too long");
            }
            match instruction {
                Instruction::Nothing => {}
                Instruction::Run => {
                    let byte = byte(&mut data)?;
                    window.extend(std::iter::repeat_n(byte, size));
                }
                Instruction::Add => window.extend_from_slice(take(&mut data, size)?),
                Instruction::Copy { mode } => {
                    let from = addresses.read(mode, window.len())?;
                    if from >= window.len() {
                        return Err("an address lies ahead");
                    }
                    (from..from + size).for_each(|place| window.push(window[place]));
                }
            }
        }
    }
    let unread = data.len() + addresses.rest.len() + rest.len();
    if unread > 0 || window.len() != end {
        return Err("a length is wrong");
    }
    Ok(window.split_off(source.len()))
}

struct Addresses<'a> {
    rest: &'a [u8],
    near: [usize; NEAR],
    next: usize,
    same: Vec<usize>,
}

impl Addresses<'_> {
    fn read(&mut self, mode: usize, here: usize) -> Result<usize, &'static str> {
        let address = match mode {
            0 => integer(&mut self.rest)?,
            1 => here.checked_sub(integer(&mut self.rest)?).ok_or("an address is negative")?,
            2..6 => self.near[mode - 2] + integer(&mut self.rest)?,
            _ => self.same[(mode - 6) * 256 + usize::from(byte(&mut self.rest)?)],
        };
        self.near[self.next] = address;
        self.next = (self.next + 1) % NEAR;
        self.same[address % SAME] = address;
        Ok(address)
    }
}

/// The default code table (RFC 3284, section 5.6): each code is one or two instructions.
fn table() -> Vec<[(Instruction, usize); 2]> {
    use Instruction::{Add, Copy, Nothing, Run};
    let nothing = (Nothing, 0);
    let mut table = vec![[(Run, 0), nothing]];
    table.extend((0..=17).map(|size| [(Add, size), nothing]));
    for mode in 0..9 {
        table.push([(Copy { mode }, 0), nothing]);
        table.extend((4..=18).map(|size| [(Copy { mode }, size), nothing]));
    }
    for mode in 0..9 {
        let most = if mode < 6 { 6 } else { 4 };
        for add in 1..=4 {
            table.extend((4..=most).map(|size| [(Add, add), (Copy { mode }, size)]));
        }
    }
    table.extend((0..9).map(|mode| [(Copy { mode }, 4), (Add, 1)]));
    assert_eq!(table.len(), 256);
    table
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], &'static str> {
    let (taken, left) = rest.split_at_checked(count).ok_or("the delta ends early")?;
    *rest = left;
    Ok(taken)
}

fn byte(rest: &mut &[u8]) -> Result<u8, &'static str> {
    Ok(take(rest, 1)?[0])
}

fn integer(rest: &mut &[u8]) -> Result<usize, &'static str> {
    let mut value = 0_usize;
    loop {
        let digit = byte(rest)?;
        value = value << 7 | usize::from(digit & 0x7F);
        if value > u32::MAX as usize {
            return Err("a number is too large");
        }
        if digit & 0x80 == 0 {
            return Ok(value);
        }
    }
}
