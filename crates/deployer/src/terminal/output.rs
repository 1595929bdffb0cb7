//! What people see: errors with their causes and what to do, tables, colour only on a terminal, and the log.

use super::table::{self, Cell, Column};

/// Prints a value for machines.
pub fn json(value: &impl serde::Serialize) {
    let text = serde_json::to_string_pretty(value).expect("our own types serialise");
    print_line!("{text}");
}

/// Prints rows under a heading. `styled` is the column whose text names a state; the last column is cut first where the line is too short.
pub fn table(heading: &[&'static str], rows: &[Vec<String>], styled: Option<usize>) {
    let column = |(number, title): (usize, &&'static str)| {
        let column = Column::new(title);
        let column = if Some(number) == styled { column.state() } else { column };
        if number + 1 == heading.len() { column.rest() } else { column }
    };
    let columns: Vec<Column> = heading.iter().enumerate().map(column).collect();
    let rows: Vec<Vec<Cell>> =
        rows.iter().map(|row| row.iter().map(|cell| Cell::text(cell.as_str())).collect()).collect();
    table::print(&columns, &rows);
}
