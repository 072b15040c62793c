//! What needs no function: on x64 it is a few instructions in the header.

/// Names, and what the header makes of them.
pub static INLINE: &[(&str, &str)] = &[
    ("StorPortReadRegisterUchar, -Ushort, -Ulong, -Ulong64", "a volatile read"),
    ("StorPortWriteRegisterUchar, -Ushort, -Ulong, -Ulong64", "a volatile write"),
    ("StorPortReadRegisterBufferUchar, -Ushort, -Ulong", "volatile reads"),
    ("StorPortWriteRegisterBufferUchar, -Ushort, -Ulong", "volatile writes"),
    ("StorPortReadPortUchar, -Ushort, -Ulong", "the instruction IN"),
    ("StorPortWritePortUchar, -Ushort, -Ulong", "the instruction OUT"),
    ("StorPortReadPortBufferUchar, -Ushort, -Ulong", "IN, repeated"),
    ("StorPortWritePortBufferUchar, -Ushort, -Ulong", "OUT, repeated"),
    ("StorPortCopyMemory", "a copy"),
    ("ScsiPortWmiFireAdapterEvent", "ScsiPortWmiFireLogicalUnitEvent with path 0xFF"),
    ("ScsiPortWmiGetReturnSize, ScsiPortWmiGetReturnStatus", "fields of the request context"),
];
