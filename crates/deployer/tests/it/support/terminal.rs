//! A pseudo-terminal: what the product shows to a person, where a pipe would make it talk to a program.

use super::wait;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};

/// A program on a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Terminal {
    /// Starts a program with standard output and standard error on a terminal that is so wide.
    #[track_caller]
    pub fn start(mut command: Command, columns: u16) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("/dev/ptmx is there");
        grantpt(&controller).and_then(|()| unlockpt(&controller)).expect("it is ours");
        let name = ptsname(&controller, Vec::new()).expect("it has a name");
        let name = name.to_str().expect("names of terminals are ASCII");
        let terminal = fs_err::File::options().read(true).write(true).open(name).expect("it was unlocked");
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(terminal.file(), size).expect("a terminal has a size");
        let terminal = terminal.into_parts().0;
        command.env("TERM", "xterm").env_remove("COLUMNS");
        command.stdout(terminal.try_clone().expect("descriptors are left")).stderr(terminal);
        let child = command.spawn().expect("the program is there");
        // The command holds the terminal's other end open.
        drop(command);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (into, mut from) = (Arc::clone(&shown), File::from(controller));
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            // An error is the end: nobody has the other end open any more.
            while let Ok(count) = from.read(&mut chunk)
                && count > 0
            {
                into.lock().expect("nobody panics with it").extend_from_slice(&chunk[..count]);
            }
        });
        Self { child, shown, reader }
    }

    /// Everything that was written to it so far, with what moves the cursor.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("nobody panics with it")).into_owned()
    }

    /// Waits for this to be shown.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        wait::until(&format!("{text:?} on the terminal"), || {
            without_escapes(&self.raw()).contains(text).then_some(())
        });
    }

    /// Waits for its end; gives how it ended and everything that was shown, without escape sequences.
    #[track_caller]
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = wait::until("the program to end", || self.child.try_wait().expect("it is our child"));
        let shown = Arc::clone(&self.shown);
        self.reader.join().expect("it only reads");
        let raw = String::from_utf8_lossy(&shown.lock().expect("nobody panics with it")).into_owned();
        (status, without_escapes(&raw))
    }
}

/// The text without colours and movements; a carriage return begins a line.
fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => drop(characters.by_ref().skip(1).find(char::is_ascii_alphabetic)),
            '\r' => plain.push('\n'),
            _ => plain.push(character),
        }
    }
    plain
}
