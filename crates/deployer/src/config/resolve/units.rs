//! The units that a deployment names.

use crate::base::names::UnitName;
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::{list, name};

/// At least one, where the key is written.
pub fn units(table: &TableReader<'_>) -> Vec<UnitName> {
    let units = table.value("units", list(name)).unwrap_or_default();
    if units.is_empty() && table.is_written("units") {
        table.error_at_value(
            "units",
            "no unit is named",
            "write for example `units = [\"website.service\"]`",
        );
    }
    units
}
