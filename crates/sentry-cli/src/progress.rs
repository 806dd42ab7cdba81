//! Progress on a terminal. Standard error that is no terminal gets none.

use std::time::Duration;

use indicatif::ProgressBar;

/// A line that moves as long as something takes.
pub fn spinner(doing: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(doing);
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}
