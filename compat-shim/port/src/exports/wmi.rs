//! ScsiPortWmi*: the library that answers WMI SRBs from a miniport's tables.

use super::exports;

exports! { "WMI";
}
