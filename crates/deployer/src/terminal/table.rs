//! Tables that fit. On a terminal no line is longer than that is wide: cells have a short form, columns that matter less are left out, and
//! what is still too long is cut, with an ellipsis. Where a program reads, and on a terminal that is wide enough, everything is there in
//! full: whole ids, times in UTC.

use crate::base::clock::{ago, now_ms, readable_utc};
use crate::run_log::rendering::plain;
use crate::terminal::style::{DIM, style_of, terminal_width};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of a terminal between two of a table.
const GAP: usize = 2;

/// A text that takes what is left of the line is not cut to less than this as long as a column can be left out instead.
const REST_MIN: usize = 16;

/// No column is cut to less.
const CUT_MIN: usize = 4;

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    whole_title: &'static str,
    short_title: &'static str,
    /// None: it is always there. Of the others the one with the greatest is left out first.
    dispensable: Option<u8>,
    names_state: bool,
    takes_rest: bool,
}

impl Column {
    /// A column that is always there.
    pub const fn new(title: &'static str) -> Self {
        Self {
            whole_title: title,
            short_title: title,
            dispensable: None,
            names_state: false,
            takes_rest: false,
        }
    }

    /// A column of times: what is shown in full is in UTC.
    pub const fn time(whole_title: &'static str, short_title: &'static str) -> Self {
        Self { whole_title, ..Self::new(short_title) }
    }

    /// It may be left out, before those with a smaller number.
    #[must_use]
    pub const fn dispensable(mut self, rank: u8) -> Self {
        self.dispensable = Some(rank);
        self
    }

    /// Its text names a state, which has a colour.
    #[must_use]
    pub const fn state(mut self) -> Self {
        self.names_state = true;
        self
    }

    /// It is a sentence, and is cut to what is left of the line.
    #[must_use]
    pub const fn rest(mut self) -> Self {
        self.takes_rest = true;
        self
    }
}

/// One cell, in full and short.
#[derive(Debug, Clone)]
pub struct Cell {
    whole: String,
    short: String,
}

impl Cell {
    /// The same in both forms.
    pub fn text(text: impl Into<String>) -> Self {
        let text = plain(&text.into());
        Self { short: text.clone(), whole: text }
    }

    /// Something with a short form.
    pub fn id(whole: &str, short: &str) -> Self {
        Self { whole: plain(whole), short: plain(short) }
    }

    /// A time of Unix milliseconds; none is a dash.
    pub fn time(at_ms: Option<i64>) -> Self {
        match at_ms {
            Some(at_ms) => Self { whole: readable_utc(at_ms), short: ago(now_ms() - at_ms) },
            None => Self::text("-"),
        }
    }
}

/// Prints a table as wide as the output allows.
pub fn print(columns: &[Column], rows: &[Vec<Cell>]) {
    for (number, line) in laid_out(columns, rows, terminal_width()).into_iter().enumerate() {
        if number == 0 {
            print_line!("{DIM}{}{DIM:#}", line.concat().trim_end());
            continue;
        }
        let mut shown = String::new();
        for (part, column) in line.iter().zip(visible(columns, rows, terminal_width())) {
            if column.names_state {
                let style = style_of(part.trim_end());
                shown.push_str(&format!("{style}{part}{style:#}"));
            } else {
                shown.push_str(part);
            }
        }
        print_line!("{}", shown.trim_end());
    }
}

/// Which columns are shown, and how.
struct Layout {
    shown: Vec<usize>,
    is_short: bool,
    widths: Vec<usize>,
}

fn visible(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> Vec<Column> {
    layout(columns, rows, width).shown.into_iter().map(|number| columns[number]).collect()
}

fn natural(columns: &[Column], rows: &[Vec<Cell>], is_short: bool) -> Vec<usize> {
    let cell_width = |cell: &Cell| if is_short { cell.short.width() } else { cell.whole.width() };
    let title = |column: &Column| if is_short { column.short_title } else { column.whole_title };
    let widest = |(number, column): (usize, &Column)| {
        let cells = rows.iter().map(|row| cell_width(&row[number]));
        cells.chain([title(column).width()]).max().unwrap_or(0)
    };
    columns.iter().enumerate().map(widest).collect()
}

fn layout(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> Layout {
    let all: Vec<usize> = (0..columns.len()).collect();
    let whole = natural(columns, rows, false);
    let total = |widths: &[usize], shown: &[usize]| {
        shown.iter().map(|number| widths[*number]).sum::<usize>() + GAP * shown.len().saturating_sub(1)
    };
    let Some(width) = width.filter(|width| total(&whole, &all) > *width) else {
        return Layout { shown: all, is_short: false, widths: whole };
    };
    let mut widths = natural(columns, rows, true);
    let mut shown = all;
    // The sentence is shortened first, down to where it still says something.
    let least = |widths: &[usize], shown: &[usize]| {
        let spared = |number: &usize| {
            if columns[*number].takes_rest { widths[*number].saturating_sub(REST_MIN) } else { 0 }
        };
        total(widths, shown) - shown.iter().map(spared).sum::<usize>()
    };
    while least(&widths, &shown) > width {
        let dispensable = shown.iter().filter_map(|number| Some((columns[*number].dispensable?, *number)));
        let Some((_, first)) = dispensable.max() else { break };
        shown.retain(|number| *number != first);
    }
    for is_sentence in [true, false] {
        while total(&widths, &shown) > width {
            let least = if is_sentence { REST_MIN } else { CUT_MIN };
            let cut = shown.iter().copied().filter(|number| columns[*number].takes_rest || !is_sentence);
            let Some(widest) =
                cut.filter(|number| widths[*number] > least).max_by_key(|number| widths[*number])
            else {
                break;
            };
            widths[widest] -= 1;
        }
    }
    Layout { shown, is_short: true, widths }
}

/// The lines, each as the padded texts of the columns that are shown.
fn laid_out(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> Vec<Vec<String>> {
    let Layout { shown, is_short, widths } = layout(columns, rows, width);
    let padded = |text: &str, number: usize, is_last: bool| {
        let cut = cut(text, widths[number]);
        let missing = widths[number] - cut.width() + GAP;
        if is_last { cut } else { format!("{cut}{}", " ".repeat(missing)) }
    };
    let line = |text: &dyn Fn(usize) -> String| {
        let last = shown.last().copied();
        shown.iter().map(|number| padded(&text(*number), *number, Some(*number) == last)).collect()
    };
    let title = |number: usize| {
        let column = &columns[number];
        if is_short { column.short_title } else { column.whole_title }.to_owned()
    };
    let mut lines: Vec<Vec<String>> = vec![line(&title)];
    for row in rows {
        lines.push(line(&|number| {
            if is_short { row[number].short.clone() } else { row[number].whole.clone() }
        }));
    }
    lines
}

/// Cuts a text to so many columns, with an ellipsis where anything is missing.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for character in text.chars() {
        if kept.width() + character.width().unwrap_or(0) + 1 > width {
            break;
        }
        kept.push(character);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::new("RUN"),
        Column::new("STATE").state(),
        Column::new("BRANCH").dispensable(1),
        Column::new("CAUSE").rest(),
    ];

    fn shown(width: Option<usize>) -> String {
        let row = |id: &str, cause: &str| {
            vec![Cell::id(id, &id[..4]), Cell::text("failed"), Cell::text("release"), Cell::text(cause)]
        };
        let rows = [
            row("0123456789", "npm error: something went wrong, at last"),
            row("9876543210", "日本語日本語日本語日本語"),
        ];
        let lines = laid_out(&COLUMNS, &rows, width);
        lines.iter().map(|line| line.concat().trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn nothing_is_cut_for_a_program_or_where_there_is_room() {
        assert_eq!(shown(None), shown(Some(80)));
        assert!(
            shown(None).contains("0123456789  failed  release  npm error: something went wrong, at last\n")
        );
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_is_wide() {
        insta::assert_snapshot!(shown(Some(40)), @"
        RUN   STATE   BRANCH   CAUSE
        0123  failed  release  npm error: somet…
        9876  failed  release  日本語日本語日本…
        ");
        insta::assert_snapshot!(shown(Some(32)), @"
        RUN   STATE   CAUSE
        0123  failed  npm error: someth…
        9876  failed  日本語日本語日本…
        ");
        for width in 12..60 {
            assert!(shown(Some(width)).lines().all(|line| line.width() <= width.max(16)), "{width}");
        }
    }
}
