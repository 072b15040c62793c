//! Lengths and names.

use crate::tree::{Tree, is_test};
use syn::{spanned::Spanned, visit::Visit};

const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 70;

struct Functions<'a> {
    path: &'a str,
    found: Vec<String>,
}

impl Functions<'_> {
    fn look(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = block.span().end().line - block.span().start().line;
        if lines > FUNCTION_LINES {
            self.found.push(format!("{}: fn {name} has {lines} lines", self.path));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.look(&item.sig.ident, &item.block);
        syn::visit::visit_item_fn(self, item);
    }
    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.look(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}

/// Functions under 70 lines, files under 800; tests apart.
pub(crate) fn lengths(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| !is_test(path)) {
        let lines = text.lines().count();
        if lines > FILE_LINES {
            found.push(format!("{path} has {lines} lines"));
        }
        let mut functions = Functions { path, found: Vec::new() };
        match syn::parse_file(text) {
            Ok(file) => functions.visit_file(&file),
            Err(error) => functions.found.push(format!("{path}: {error}")),
        }
        found.append(&mut functions.found);
    }
    found
}

/// No file, folder or crate is called by one of the names that fit anything.
pub(crate) fn names(tree: &Tree) -> Vec<String> {
    let empty = ["util", "utils", "common", "base", "helper", "helpers", "misc", "shared", "lib2"];
    let says_nothing =
        |path: &str| path.split('/').any(|part| empty.contains(&part.split('.').next().unwrap_or(part)));
    tree.all().map(|(path, _)| path).filter(|path| says_nothing(path)).map(str::to_owned).collect()
}
