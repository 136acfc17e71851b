//! The standard gRPC health service, over as much of HTTP/2 as answering it takes: every request gets an answer, and
//! nothing that a client says in its headers is looked at.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::report::{State, Status};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// `:status: 200`, of the table that every client knows; then `content-type: application/grpc`, spelt out.
const ANSWER: &[u8] = b"\x88\x0f\x10\x10application/grpc";

/// Answers one connection after the other, each in a thread of its own.
pub(crate) fn serve(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming().flatten() {
        let state = Arc::clone(state);
        std::thread::spawn(move || drop(converse(&stream, &state)));
    }
}

fn converse(stream: &TcpStream, state: &State) -> std::io::Result<()> {
    let (mut reader, mut writer) = (stream, stream);
    let mut preface = [0; PREFACE.len()];
    reader.read_exact(&mut preface)?;
    if preface != PREFACE {
        return Ok(());
    }
    frame(&mut writer, SETTINGS, 0, 0, &[])?;
    let mut question = Vec::new();
    loop {
        let mut head = [0; 9];
        reader.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        reader.read_exact(&mut payload)?;
        match kind {
            SETTINGS if flags & ACK == 0 => frame(&mut writer, SETTINGS, ACK, 0, &[])?,
            PING if flags & ACK == 0 => frame(&mut writer, PING, ACK, 0, &payload)?,
            DATA => question.extend_from_slice(&payload),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            let asked = String::from_utf8_lossy(question.get(7..).unwrap_or_default()).into_owned();
            answer(&mut writer, stream, state, &asked)?;
            question.clear();
        }
    }
}

/// The state of the service of that name; empty: of all.
fn answer(writer: &mut impl Write, stream: u32, state: &State, asked: &str) -> std::io::Result<()> {
    if state.is_hanging() {
        std::thread::sleep(Duration::from_secs(24 * 3600));
    }
    let known = asked.is_empty() || asked == state.options.name;
    if !known {
        let mut headers = ANSWER.to_vec();
        headers.extend_from_slice(&field("grpc-status", "5"));
        headers.extend_from_slice(&field("grpc-message", "unknown service"));
        return frame(writer, HEADERS, END_HEADERS | END_STREAM, stream, &headers);
    }
    let serving = if state.status() == Status::Unhealthy { 2 } else { 1 };
    frame(writer, HEADERS, END_HEADERS, stream, ANSWER)?;
    frame(writer, DATA, 0, stream, &[0, 0, 0, 0, 2, 8, serving])?;
    frame(writer, HEADERS, END_HEADERS | END_STREAM, stream, &field("grpc-status", "0"))
}

/// A header that is in no table.
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap_or(0)], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

fn frame(writer: &mut impl Write, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    writer.write_all(&frame)
}
