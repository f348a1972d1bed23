//! The rows of the typed line on the screen.
//!
//! Each row of the typed line ends with a line end, and not by the terminal's own wrapping. When a window gets
//! wider, many terminals join the rows that they have wrapped. The line would then have fewer rows than rustyline
//! clears at the next drawing, and what others said above it would be erased.

use rustix::termios::tcgetwinsize;
use rustyline::GraphemeClusterMode;
use std::io;
use unicode_segmentation::UnicodeSegmentation;

/// Columns between two tab stops, as rustyline counts them.
pub(crate) const TAB_STOP: u8 = 8;

/// A place in the typed line, relative to the start of its prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Position {
    row: u16,
    column: u16,
}

/// Where the typed line is.
#[derive(Debug)]
pub(crate) struct Rows {
    widths: GraphemeClusterMode,
    /// The width that rustyline uses. With another width here, rustyline would clear another number of rows than there
    /// are.
    columns: u16,
    prompt_end: Position,
    cursor: Position,
    end: Position,
}

/// Returns the width of the window.
fn window_columns() -> u16 {
    // The same replacement for an unknown width as in rustyline.
    tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(80)
}

impl Rows {
    pub(crate) fn new(widths: GraphemeClusterMode) -> Self {
        let start = Position::default();
        Self { widths, columns: window_columns(), prompt_end: start, cursor: start, end: start }
    }

    /// Learns that rustyline has just asked for the width: when a line begins, and when the window has changed and the
    /// line has several rows, or will have.
    pub(crate) fn measure(&mut self) {
        self.columns = window_columns();
    }

    /// Prepares for a drawing; returns what is to be written before rustyline clears the old rows.
    ///
    /// `was_idle` says whether rustyline has waited since the last key. While it waits it learns a new width, and tells
    /// nobody if the line stays in one row.
    pub(crate) fn prepare(&mut self, was_idle: bool) -> String {
        if was_idle && self.end.row == 0 {
            self.columns = window_columns();
        }
        // A window that was lower for a moment has lost the rows below the cursor, whatever its height is now.
        // rustyline goes down to the last row before it clears the rows upwards, so all of them must exist.
        match self.end.row.saturating_sub(self.cursor.row) {
            0 => String::new(),
            below => format!("{}\x1b[{below}A", "\n".repeat(below.into())),
        }
    }

    /// Returns what moves the cursor to new rows below everything, for a terminal on which others have written. There
    /// rustyline can clear as many rows as the line had.
    pub(crate) fn move_below(&self) -> String {
        let below = self.end.row.saturating_sub(self.cursor.row);
        let up = if below > 0 { format!("\x1b[{below}A") } else { String::new() };
        format!("\r\x1b[J{}{up}", "\n".repeat(self.end.row.into()))
    }

    /// Returns the rows of the prompt, with which a drawing starts.
    pub(crate) fn prompt(&mut self, prompt: &str) -> String {
        let mut shown = String::new();
        self.prompt_end = self.lay_out(prompt, Position::default(), self.columns, &mut shown);
        shown
    }

    /// Returns the rows of the line after its prompt. `cursor` is a byte offset.
    pub(crate) fn line(&mut self, line: &str, cursor: usize) -> String {
        let mut shown = String::new();
        self.end = self.lay_out(line, self.prompt_end, self.columns, &mut shown);
        let before = line.get(..cursor).unwrap_or(line);
        self.cursor = self.lay_out(before, self.prompt_end, self.columns, &mut String::new());
        shown
    }

    /// Returns a line that is entered and stays on the screen. The terminal wraps it, so that it can be selected as
    /// one line.
    pub(crate) fn entered_line(&mut self, line: &str) -> String {
        self.line(line, line.len());
        let mut shown = String::new();
        self.lay_out(line.trim_end_matches('\n'), self.prompt_end, u16::MAX, &mut shown);
        // After a full last row rustyline writes a line end, and a second one because the line is entered.
        if self.end.column == 0 && self.end.row > 0 && !line.ends_with('\n') {
            shown.push_str("\r\x1b[A");
        }
        shown
    }

    /// Appends `text` to `shown`, with a line end before each new row; returns where it ends. Counts as rustyline
    /// does.
    fn lay_out(&self, text: &str, from: Position, columns: u16, shown: &mut String) -> Position {
        let mut at = from;
        for cluster in text.graphemes(true) {
            if cluster == "\n" {
                shown.push('\n');
                at = Position { row: at.row.saturating_add(1), column: 0 };
                continue;
            }
            let width = match cluster {
                "\t" => u16::from(TAB_STOP) - at.column % u16::from(TAB_STOP),
                _ => self.widths.width(cluster),
            };
            at.column = at.column.saturating_add(width);
            if at.column > columns {
                shown.push_str("\r\n");
                at = Position { row: at.row.saturating_add(1), column: width };
            }
            match cluster.contains(char::is_control) {
                // A TAB at the last column would not move the cursor, and other control characters would.
                true => shown.push_str(&" ".repeat(width.into())),
                false => shown.push_str(cluster),
            }
        }
        if at.column == columns {
            at = Position { row: at.row.saturating_add(1), column: 0 };
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_each_drawing_all_rows_below_the_cursor_exist() {
        let mut rows = Rows::new(GraphemeClusterMode::from_env());
        rows.columns = 40;
        rows.prompt("> ");
        let typed = "x".repeat(100);
        for (cursor, expected) in [(0, "\n\n\x1b[2A"), (50, "\n\x1b[1A"), (100, "")] {
            rows.line(&typed, cursor);
            // Also if the height is that of the last drawing: the window may have been lower between two drawings.
            assert_eq!([(); 2].map(|()| rows.prepare(false)), [expected; 2], "{cursor}");
        }
    }
}
