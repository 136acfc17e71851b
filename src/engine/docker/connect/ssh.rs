//! An engine behind SSH, reached as the Docker CLI does: `ssh` on the PATH runs `docker system dial-stdio` over there.

use std::{
    io,
    pin::Pin,
    process::Stdio,
    task::{Context, Poll, ready},
};

use bollard::Docker;
use futures::FutureExt;
use http::Uri;
use percent_encoding::percent_decode_str;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
};

use super::transport::{Stream, over};
use crate::engine::{EngineError, EngineErrorKind, docker::error::classify};

/// How much of what `ssh` says is quoted.
const QUOTED: usize = 2000;

/// An engine at `ssh://[user@]host[:port][/socket]`.
pub(super) fn connect(host: &str, limit: u64) -> Result<Docker, EngineError> {
    let arguments = arguments(host)?;
    let destination = host.trim_start_matches("ssh://").split('/').next().unwrap_or_default().to_owned();
    let open = move || {
        let dialled = Dialled::dial(&arguments, &destination);
        async move { dialled.map(|dialled| -> Box<dyn Stream> { Box::new(dialled) }) }.boxed()
    };
    over(Box::new(open), limit).map_err(classify)
}

/// What `ssh` is called with.
fn arguments(host: &str) -> Result<Vec<String>, EngineError> {
    let wrong = |why: &str| {
        let message = format!("`{host}` is no Docker host: {why}; expected ssh://[user@]host[:port]");
        EngineError::new(EngineErrorKind::Invalid, message)
    };
    let uri: Uri = host.parse().map_err(|_| wrong("it is no URL"))?;
    let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
    let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
    if user.is_some_and(|user| user.contains(':')) {
        return Err(wrong("a password cannot be given"));
    }
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().map_err(|_| wrong("it is not UTF-8"))?;
        if text.contains('\0') { Err(wrong("it has a NUL")) } else { Ok(text.into_owned()) }
    };
    let user = user.map(decoded).transpose()?;
    if uri.query().is_some() {
        return Err(wrong("it has a query"));
    }
    let name = authority.host().trim_matches(['[', ']']);
    if name.is_empty() {
        return Err(wrong("it names no host"));
    }
    // There is no terminal for questions: they would wait for ever behind the display.
    let mut words = vec!["-o", "ConnectTimeout=30", "-o", "BatchMode=yes", "-T"];
    words.extend(user.iter().flat_map(|user| ["-l", user.as_str()]));
    let port = authority.port_u16().map(|port| port.to_string());
    words.extend(port.iter().flat_map(|port| ["-p", port.as_str()]));
    words.extend(["--", name, "docker"]);
    let socket = Some(uri.path()).filter(|path| !path.trim_matches('/').is_empty());
    let socket = socket.map(decoded).transpose()?;
    // What follows the host is read by a shell over there.
    let quoted = |path: String| shlex::try_quote(&path).map(|path| format!("--host=unix://{path}"));
    let socket = socket.map(quoted).transpose().map_err(|_| wrong("it has a NUL"))?;
    words.extend(socket.as_deref());
    words.extend(["system", "dial-stdio"]);
    Ok(words.into_iter().map(str::to_owned).collect())
}

/// A running `ssh`, whose input and output are the connection. It ends when it goes out of scope.
struct Dialled {
    _child: Child,
    /// `None`: nothing more is sent. Only closing the pipe tells the other side so.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    stderr: ChildStderr,
    /// What it has said beside the connection.
    said: Vec<u8>,
    /// The engine has answered something.
    answered: bool,
    /// `[user@]host`, as the user writes it.
    destination: String,
}

impl Dialled {
    fn dial(arguments: &[String], destination: &str) -> io::Result<Self> {
        let mut command = Command::new("ssh");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl+C is ours: what has been started is ended over this connection.
        command.process_group(0).kill_on_drop(true);
        let not_run = |e: io::Error| io::Error::new(e.kind(), format!("cannot run `ssh`: {e}"));
        let mut child = command.spawn().map_err(not_run)?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        Ok(Self {
            _child: child,
            stdin: Some(stdin),
            stdout,
            stderr,
            said: Vec::new(),
            answered: false,
            destination: destination.to_owned(),
        })
    }

    /// Reads what `ssh` says to its end, and makes an error of it.
    fn poll_reason(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let mut buffer = [0; 512];
            let mut buffer = ReadBuf::new(&mut buffer);
            let read = ready!(Pin::new(&mut self.stderr).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() || self.said.len() > QUOTED {
                let said = String::from_utf8_lossy(&self.said);
                let said = if said.trim().is_empty() { "it says nothing" } else { said.trim() };
                let message = format!(
                    "ssh ended before the engine answered: {said}; `ssh {} docker version` must work without \
                     questions: use ssh-agent",
                    self.destination
                );
                return Poll::Ready(io::Error::new(io::ErrorKind::NotConnected, message));
            }
            self.said.extend_from_slice(buffer.filled());
        }
    }
}

impl AsyncRead for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stdout).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.answered = true;
        } else if !self.answered && buffer.remaining() > 0 {
            return self.poll_reason(context).map(Err);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(stdin) = &mut self.stdin else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        match ready!(Pin::new(stdin).poll_write(context, bytes)) {
            // It has ended already: why is said beside the connection.
            Err(_) if !self.answered => self.poll_reason(context).map(Err),
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // tokio's own does nothing.
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_called_as_the_docker_cli_calls_it() {
        let called = |host: &str| arguments(host).map(|words| words[5..].join(" ")).map_err(|e| e.message);
        assert_eq!(called("ssh://box"), Ok("-- box docker system dial-stdio".to_owned()));
        assert_eq!(
            called("ssh://me@box:2222/run/d.sock"),
            Ok("-l me -p 2222 -- box docker --host=unix:///run/d.sock system dial-stdio".to_owned())
        );
        assert_eq!(called("ssh://[::1]/"), Ok("-- ::1 docker system dial-stdio".to_owned()));
        // A shell over there reads it.
        assert_eq!(
            called("ssh://a%40b@box/$(id);x%20y"),
            Ok("-l a@b -- box docker --host=unix://'/$(id);x y' system dial-stdio".to_owned())
        );
        for (host, why) in [
            ("ssh://me:secret@box", "a password cannot be given"),
            ("ssh://box?x=1", "it has a query"),
            ("ssh://me@", "it is no URL"),
        ] {
            assert!(called(host).is_err_and(|message| message.contains(why)), "{host}: {:?}", called(host));
        }
    }
}
