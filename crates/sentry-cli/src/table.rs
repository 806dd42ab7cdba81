//! Tables for a terminal, for programs, and for spreadsheets.

use serde_json::{Map, Value};

use crate::cli::Output;

/// A table of texts. Every row has one text for each column.
pub struct Table {
    /// Names of the columns. The first column is text, and the others are numbers.
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// The table in the form `output`, with a line end.
    pub fn written(&self, output: Output) -> String {
        match output {
            Output::Table => self.aligned(),
            Output::Json => self.json(),
            Output::Csv => self.csv(),
        }
    }

    fn aligned(&self) -> String {
        let header: Vec<String> = self.columns.iter().map(|column| (*column).to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&header).chain(&self.rows).collect();
        let width =
            |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|text| text.chars().count()).max();
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| width(column).unwrap_or_default()).collect();
        let mut text = String::new();
        for line in lines {
            let cells = line.iter().zip(&widths).enumerate();
            let cells = cells.map(
                |(column, (cell, width))| {
                    if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
                },
            );
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let fields = self.columns.iter().zip(row).enumerate();
            let fields = fields.map(|(column, (name, text))| ((*name).to_owned(), value(column, text)));
            Value::Object(fields.collect::<Map<String, Value>>())
        });
        format!("{:#}\n", Value::Array(rows.collect()))
    }

    fn csv(&self) -> String {
        let mut text = self.columns.join(",") + "\r\n";
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| sentry_report::csv_field(cell)).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

/// Counts are numbers. Names and dollars are texts.
fn value(column: usize, text: &str) -> Value {
    let count = text.parse::<u64>().ok().filter(|_| column > 0);
    count.map_or_else(|| Value::from(text), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_and_names_are_quoted() {
        let table = Table {
            columns: vec!["scope", "requests"],
            rows: vec![vec!["a".into(), "1,000".into()], vec!["long,name".into(), "7".into()]],
        };
        assert_eq!(table.written(Output::Table), "scope      requests\na             1,000\nlong,name         7\n");
        assert_eq!(table.written(Output::Csv), "scope,requests\r\na,\"1,000\"\r\n\"long,name\",7\r\n");
        assert!(table.written(Output::Json).contains("\"requests\": 7"));
    }
}
