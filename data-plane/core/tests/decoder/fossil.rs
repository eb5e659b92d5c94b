//! Applies Fossil deltas, as spec/websocket.md 8.10 has them.

const DIGITS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// What the delta makes of the base, or what is wrong with it.
pub(crate) fn apply(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut rest = delta;
    let size = integer(&mut rest)?;
    operator(&mut rest, b'\n')?;
    let mut target = Vec::new();
    loop {
        let count = integer(&mut rest)?;
        match take(&mut rest, 1)?[0] {
            b'@' => {
                let offset = integer(&mut rest)?;
                operator(&mut rest, b',')?;
                let end = offset.checked_add(count).ok_or("a copy is too long")?;
                target.extend_from_slice(base.get(offset..end).ok_or("a copy leaves the base")?);
            }
            b':' => target.extend_from_slice(take(&mut rest, count)?),
            b';' if target.len() != size => return Err("the size is wrong"),
            b';' if !rest.is_empty() => return Err("something follows the end"),
            b';' if checksum(&target) as usize != count => return Err("the checksum is wrong"),
            b';' => return Ok(target),
            _ => return Err("no such operator"),
        }
        if target.len() > size {
            return Err("the result is too long");
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], &'static str> {
    let (taken, left) = rest.split_at_checked(count).ok_or("the delta ends early")?;
    *rest = left;
    Ok(taken)
}

fn operator(rest: &mut &[u8], expected: u8) -> Result<(), &'static str> {
    if take(rest, 1)?[0] == expected { Ok(()) } else { Err("another operator was due") }
}

fn integer(rest: &mut &[u8]) -> Result<usize, &'static str> {
    let mut value = 0_usize;
    let digits = rest.iter().map_while(|byte| DIGITS.find(char::from(*byte)));
    let digits: Vec<usize> = digits.collect();
    if digits.is_empty() {
        return Err("a number was due");
    }
    *rest = &rest[digits.len()..];
    for digit in digits {
        value = value * 64 + digit;
        if value > u32::MAX as usize {
            return Err("a number is too large");
        }
    }
    Ok(value)
}

fn checksum(text: &[u8]) -> u32 {
    let word = |(place, byte): (usize, &u8)| u32::from(*byte) << (24 - 8 * (place % 4));
    text.iter().enumerate().map(word).fold(0, u32::wrapping_add)
}
