//! The output of a command: tables for a terminal, JSON for programs, and CSV for spreadsheets.

use std::io::{IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement, TableStyle};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::options::Output;

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading, and the name of the field in JSON and CSV.
    pub name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Dollars,
    Count,
}

impl Column {
    /// A column of names or dates.
    pub const fn text(name: &'static str) -> Self {
        Self { name, kind: Kind::Text }
    }

    /// A column of dollars: decimal strings also in JSON, so that they are exact.
    pub const fn dollars(name: &'static str) -> Self {
        Self { name, kind: Kind::Dollars }
    }

    /// A column of counts, which are numbers in JSON.
    pub const fn count(name: &'static str) -> Self {
        Self { name, kind: Kind::Count }
    }
}

/// A table of texts. Every row has one text for each column.
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Prints the table in the form `output`. On a terminal, long texts are wrapped at its width.
    ///
    /// # Errors
    /// If standard output cannot be written to.
    pub fn print(&self, output: Output) -> Result<(), Failure> {
        print(&self.written(output))
    }

    /// The table in the form `output`, with a line end.
    pub fn written(&self, output: Output) -> String {
        match output {
            Output::Table => self.aligned(terminal_width()),
            Output::Json => self.json(),
            Output::Csv => self.csv(),
        }
    }

    /// The table for a person. `width` is the most columns of characters, if there is a limit.
    fn aligned(&self, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(TableStyle::new());
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table.set_header(self.columns.iter().map(|column| column.name));
        table.add_rows(&self.rows);
        for (column, shown) in self.columns.iter().zip(table.column_iter_mut()) {
            shown.set_padding((0, 2));
            if column.kind != Kind::Text {
                shown.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let fields = self.columns.iter().zip(row);
            let fields = fields.map(|(column, text)| (column.name.to_owned(), value(*column, text)));
            Value::Object(fields.collect::<Map<String, Value>>())
        });
        format!("{:#}\n", Value::Array(rows.collect()))
    }

    fn csv(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        let mut text = names.join(",") + "\r\n";
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| sentry_report::csv_field(cell)).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

fn value(column: Column, text: &str) -> Value {
    let count = text.parse::<u64>().ok().filter(|_| column.kind == Kind::Count);
    count.map_or_else(|| Value::from(text), Value::from)
}

/// The width of the terminal. `None` if standard output is none.
pub fn terminal_width() -> Option<u16> {
    let (width, _) = std::io::stdout().is_terminal().then(terminal_size::terminal_size).flatten()?;
    Some(width.0)
}

/// Writes to standard output. A reader that has ended, such as `head`, is no error.
///
/// # Errors
/// If standard output cannot be written to.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Refused(format!("standard output cannot be written to: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            columns: vec![Column::text("scope"), Column::count("requests")],
            rows: vec![vec!["a".into(), "1,000".into()], vec!["long,name".into(), "7".into()]],
        }
    }

    #[test]
    fn numbers_are_aligned_and_names_are_quoted() {
        let table = table();
        assert_eq!(table.aligned(None), "scope      requests\na             1,000\nlong,name         7\n");
        assert_eq!(table.written(Output::Csv), "scope,requests\r\na,\"1,000\"\r\n\"long,name\",7\r\n");
        assert!(table.written(Output::Json).contains("\"requests\": 7"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut table = table();
        table.rows.push(vec!["a scope with a name that needs several lines".into(), "9".into()]);
        assert!(table.aligned(Some(30)).lines().all(|line| line.chars().count() <= 30));
    }
}
