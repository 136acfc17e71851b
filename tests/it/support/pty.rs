//! A terminal of its own for a program.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Child, Command},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use super::stack::PATIENCE;

/// Between two looks at the terminal's modes, which tell nobody that they change.
const LOOK: Duration = Duration::from_millis(10);

/// A terminal.
pub(crate) struct Pty {
    ours: File,
    theirs: File,
}

/// A program on a terminal; killed when it goes out of scope.
pub(crate) struct OnPty<'a> {
    pty: &'a Pty,
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Pty {
    pub(crate) fn new(rows: u16, columns: u16) -> Self {
        let ours =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).expect("a terminal");
        unlockpt(&ours).expect("a terminal");
        let name = ptsname(&ours, Vec::new()).expect("its name").into_string().expect("text");
        let theirs = File::options().read(true).write(true).open(name).expect("its other end");
        let pty = Self { ours: ours.into(), theirs };
        pty.set_size(rows, columns);
        pty
    }

    fn set_size(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.ours, size).expect("a size");
    }

    /// Whether it passes on every key, and repeats none.
    pub(crate) fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.theirs).expect("modes").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Starts a program on it.
    pub(crate) fn spawn(&mut self, command: &mut Command) -> OnPty<'_> {
        let end = || self.theirs.try_clone().expect("a file");
        let child = command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end()).spawn();
        let (sender, output) = channel();
        let mut ours = self.ours.try_clone().expect("a file");
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read) = ours.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        OnPty { pty: self, child: child.expect("the program"), output, seen: String::new() }
    }
}

impl OnPty<'_> {
    /// Reads what it prints until all of it together has these words.
    #[track_caller]
    pub(crate) fn until(&mut self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.contains(words) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(late) => panic!("no {words:?}: {late}: {:?}", self.seen),
            }
        }
    }

    /// Waits until it has taken the terminal over.
    #[track_caller]
    pub(crate) fn until_raw(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.pty.is_raw() {
            let ended = self.child.try_wait().expect("it is our child");
            assert!(Instant::now() < deadline && ended.is_none(), "{ended:?} {:?}", self.seen);
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn type_in(&self, keys: &str) {
        (&self.pty.ours).write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Gives the terminal another size, and says so: it controls no session here.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        self.pty.set_size(rows, columns);
        self.signal("WINCH");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success(), "it had ended before SIG{signal}");
    }

    /// Waits until it has ended; its exit code.
    #[track_caller]
    pub(crate) fn end(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end: {:?}", self.seen);
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for OnPty<'_> {
    fn drop(&mut self) {
        // It may have ended, and been waited for, already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
