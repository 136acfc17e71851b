//! Connections from inside a project's networks: activators stand there in the place of services, and hand what comes
//! on through a socket, behind a line that says for whom it is.

use std::{collections::BTreeMap, io, net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, join},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{Activation, Site, http, limits, tcp};
use crate::accept::accept;

/// How long the line may take: the activator sends it at once.
const LINE: Duration = Duration::from_secs(5);
/// How long it may be, in bytes.
const LINE_SIZE: usize = 512;

/// What is behind the ports of activated services, by their names.
pub type Activated = BTreeMap<(String, u16), Arc<Site>>;

/// The line before a connection: `SERVICE PORT CLIENT`.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    service: String,
    port: u16,
    client: IpAddr,
}

impl FromStr for Line {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let mut words = text.split(' ');
        let parsed = (|| {
            let (service, port, client) = (words.next()?, words.next()?, words.next()?);
            Some(Self { service: service.to_owned(), port: port.parse().ok()?, client: client.parse().ok()? })
        })();
        let none = || io::Error::new(io::ErrorKind::InvalidData, format!("`{text}` says for nobody"));
        parsed.filter(|_| words.next().is_none()).ok_or_else(none)
    }
}

/// Takes connections from activators until it is dropped, which ends all of them.
pub async fn serve_activated(listener: UnixListener, sites: Arc<Activated>, activation: Arc<dyn Activation>) {
    let doors = sites.iter().map(|(key, site)| {
        (key.clone(), Arc::new(http::Door::new(Arc::clone(site), Arc::clone(&activation))))
    });
    let doors: Arc<BTreeMap<_, _>> = Arc::new(doors.collect());
    let converse = |stream| {
        let (doors, activation) = (Arc::clone(&doors), Arc::clone(&activation));
        async move {
            if let Err(error) = converse(stream, &doors, activation.as_ref()).await {
                tracing::debug!("a connection from an activator ended: {error}");
            }
        }
    };
    accept(&listener, limits::CONNECTIONS, converse).await;
}

async fn converse(
    mut stream: UnixStream,
    doors: &BTreeMap<(String, u16), Arc<http::Door>>,
    activation: &dyn Activation,
) -> io::Result<()> {
    let (line, rest) = timeout(LINE, first_line(&mut stream)).await??;
    let unknown = || io::Error::other(format!("nothing is known of port {} of {}", line.port, line.service));
    let door = doors.get(&(line.service.clone(), line.port)).ok_or_else(unknown)?;
    let (reader, writer) = stream.into_split();
    // What came behind the line comes first.
    let stream = join(io::Cursor::new(rest).chain(reader), writer);
    match door.site.raw() {
        Some(entry) => {
            let admission = tcp::admitted(&entry, activation, std::future::pending()).await?;
            tcp::pass(stream, &entry, admission).await?;
        }
        None => http::converse(stream, line.client, Arc::clone(door)).await,
    }
    Ok(())
}

/// The line, and what was read behind it.
async fn first_line(stream: &mut UnixStream) -> io::Result<(Line, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(LINE_SIZE);
    loop {
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let rest = bytes.split_off(end + 1);
            bytes.truncate(end);
            return Ok((String::from_utf8_lossy(&bytes).parse()?, rest));
        }
        if bytes.len() > LINE_SIZE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the line has no end"));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn the_line_is_parted_from_what_follows() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.write_all(b"chat 8080 ").await.unwrap();
        let rest = async { near.write_all(b"172.18.0.4\nGET / HTTP/1.1\r\n").await };
        let (read, _) = futures::join!(first_line(&mut far), rest);
        let (line, rest) = read.unwrap();
        let client = IpAddr::from([172, 18, 0, 4]);
        assert_eq!(line, Line { service: "chat".to_owned(), port: 8080, client });
        assert_eq!(rest, b"GET / HTTP/1.1\r\n");
    }

    #[test]
    fn another_line_is_refused() {
        for text in ["", "chat", "chat 8080", "chat x 172.18.0.4", "chat 8080 nobody", "chat 80 ::1 more"] {
            assert!(text.parse::<Line>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_refused() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.write_all(&[b'x'; 2 * LINE_SIZE]).await.unwrap();
        assert!(first_line(&mut far).await.is_err());
    }
}
