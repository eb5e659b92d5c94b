//! The floor: one thread, one frame made beforehand, one write per socket.

use std::{
    io::{BufRead as _, IoSlice, Read as _, Write as _, stdin, stdout},
    net::{TcpListener, TcpStream},
};

use anyhow::{Context as _, ensure};

use crate::{
    options::Floor,
    publish::{CHANNEL, EVENT, payload},
};

/// For each line on stdin, writes as many frames to every socket: one with `write`, more with one
/// `writev`.
pub(crate) fn run(floor: &Floor) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    writeln!(stdout(), "{}", listener.local_addr()?)?;
    let mut sockets = Vec::new();
    for _ in 0..floor.sockets {
        sockets.push(accept(&listener)?);
    }
    let event = text_frame(&format!(
        r#"{{"event":"{EVENT}","channel":"{CHANNEL}","data":"{}"}}"#,
        payload(floor.payload_bytes)
    ));
    for line in stdin().lock().lines() {
        let frames: usize = line?.parse()?;
        for socket in &mut sockets {
            write(socket, &event, frames)?;
        }
    }
    Ok(())
}

fn write(socket: &mut TcpStream, event: &[u8], frames: usize) -> anyhow::Result<()> {
    let written = match frames {
        1 => socket.write(event)?,
        _ => socket.write_vectored(&vec![IoSlice::new(event); frames])?,
    };
    ensure!(written == event.len() * frames, "a write was cut short");
    Ok(())
}

/// Just enough of a server for the load client to be content.
fn accept(listener: &TcpListener) -> anyhow::Result<TcpStream> {
    let (mut socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    let mut bytes = [0; 1_024];
    let count = socket.read(&mut bytes)?;
    ensure!(bytes[..count].ends_with(b"\r\n\r\n"), "an upgrade in pieces");
    socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
    socket.write_all(&text_frame(r#"{"event":"pusher:connection_established"}"#))?;
    socket.read(&mut bytes).context("a subscription")?;
    socket.write_all(&text_frame(r#"{"event":"pusher_internal:subscription_succeeded"}"#))?;
    Ok(socket)
}

fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(short) if short < 126 => frame.push(short),
        Ok(_) | Err(_) => {
            let length = u16::try_from(text.len()).expect("a payload is shorter than 64 KiB");
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend(text.as_bytes());
    frame
}
