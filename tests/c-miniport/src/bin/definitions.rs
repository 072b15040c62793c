//! Prints what an import library of `sluice.sys` is made of: the names that miniports find in it.

fn main() {
    print!("{}", sluice_port::exports::document::definitions("sluice.sys"));
}
