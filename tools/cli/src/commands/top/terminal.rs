//! The screen and the keys of `sluice top`.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};

use super::{collect, view::View};
use crate::{args::Top, failure::Failure};

/// Shows what goes on until somebody has seen enough. The terminal is left as it was, also after a panic.
pub(super) fn run(args: &Top) -> Result<(), Failure> {
    let mut view = View::new(args.interval());
    let mut before = collect::now()?;
    // The first rates come soon.
    thread::sleep(args.interval().min(Duration::from_millis(300)));
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let shown = loop {
        let now = match collect::now() {
            Ok(now) => now,
            Err(failure) => break Err(failure),
        };
        view.take(&before, &now);
        before = now;
        match until(&mut terminal, &mut view, Instant::now() + args.interval()) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(failed(error)),
        }
    };
    ratatui::try_restore().map_err(failed)?;
    shown
}

fn failed(source: io::Error) -> Failure {
    Failure::Io { what: "use", path: "the terminal".into(), source }
}

/// Follows the keys until it is time for new numbers; false: enough.
fn until(terminal: &mut DefaultTerminal, view: &mut View, end: Instant) -> io::Result<bool> {
    loop {
        terminal.draw(|frame| view.draw(frame))?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || !event::poll(left)? {
            return Ok(true);
        }
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(false),
            KeyCode::Up | KeyCode::Char('k') => view.choose(-1),
            KeyCode::Down | KeyCode::Char('j') => view.choose(1),
            _ => {}
        }
    }
}
