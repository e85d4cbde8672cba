//! The public items in what rustdoc says of a crate.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The public items of the crate that `json` is about, one to a line.
pub(crate) fn list(root: &Path, json: &Value) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut lister = Lister {
        root,
        index: &json["index"],
        lines: BTreeSet::new(),
    };
    let id = &json["root"];
    let name = lister.item(id)["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    lister.visit(id, &name)?;
    Ok(lister.lines)
}

struct Lister<'a> {
    root: &'a Path,
    index: &'a Value,
    lines: BTreeSet<String>,
}

impl<'a> Lister<'a> {
    fn item(&self, id: &Value) -> &'a Value {
        &self.index[id.to_string()]
    }

    /// Lists the item `id` at `path`, and what is in it.
    fn visit(&mut self, id: &Value, path: &str) -> Result<(), Box<dyn Error>> {
        let item = self.item(id);
        let Some((kind, inner)) = item["inner"]
            .as_object()
            .and_then(|inner| inner.iter().next())
        else {
            return Ok(()); // an item of another crate
        };
        match kind.as_str() {
            "module" => self.visit_all(&inner["items"], path)?,
            "use" => return self.visit_use(inner, path),
            "struct" => {
                self.line(item, path, &['{', '(', ';'])?;
                self.visit_all(&inner["kind"]["plain"]["fields"], path)?;
            }
            "enum" => {
                self.line(item, path, &['{'])?;
                self.visit_all(&inner["variants"], path)?;
            }
            "variant" => {
                self.line(item, path, &['{', ','])?;
                self.visit_all(&inner["kind"]["struct"]["fields"], path)?;
            }
            "trait" => {
                self.line(item, path, &['{'])?;
                self.visit_all(&inner["items"], path)?;
            }
            "constant" | "assoc_const" | "static" => self.line(item, path, &['=', ';'])?,
            "macro" => self.line(item, path, &['{'])?,
            _ => self.line(item, path, &['{', ';'])?,
        }
        for id in inner["impls"].as_array().into_iter().flatten() {
            self.visit_impl(id, path)?;
        }
        Ok(())
    }

    fn visit_all(&mut self, ids: &Value, path: &str) -> Result<(), Box<dyn Error>> {
        for id in ids.as_array().into_iter().flatten() {
            match self.item(id)["name"].as_str() {
                Some(name) => self.visit(id, &format!("{path}::{name}"))?,
                None => self.visit(id, path)?,
            }
        }
        Ok(())
    }

    /// What is exported from a private module is listed where it is exported.
    fn visit_use(&mut self, item: &Value, path: &str) -> Result<(), Box<dyn Error>> {
        let name = item["name"].as_str().unwrap_or_default();
        let path = format!("{path}::{name}");
        if self.item(&item["id"])["inner"].is_object() {
            return self.visit(&item["id"], &path);
        }
        let source = item["source"].as_str().unwrap_or_default();
        self.lines.insert(format!("{path}: pub use {source}"));
        Ok(())
    }

    fn visit_impl(&mut self, id: &Value, path: &str) -> Result<(), Box<dyn Error>> {
        let inner = &self.item(id)["inner"]["impl"];
        if inner["is_synthetic"] == true || inner["blanket_impl"].is_object() {
            return Ok(());
        }
        let Some(name) = inner["trait"]["path"].as_str() else {
            return self.visit_all(&inner["items"], path);
        };
        // The text of a derived one is the attribute.
        if self.source(&self.item(id)["span"])?.starts_with("impl") {
            self.line(self.item(id), path, &['{'])?;
        } else if name != "StructuralPartialEq" {
            self.lines.insert(format!("{path}: impl {name}"));
        }
        Ok(())
    }

    /// A line with the text of `item` up to the first of `ends`.
    fn line(&mut self, item: &Value, path: &str, ends: &[char]) -> Result<(), Box<dyn Error>> {
        let source = self.source(&item["span"])?;
        let end = source.find(ends).unwrap_or(source.len());
        let words: Vec<&str> = source[..end].split_whitespace().collect();
        let text = words.join(" ").replace("( ", "(").replace(", )", ")");
        let text = text.trim_end_matches(',');
        self.lines.insert(format!("{path}: {text}"));
        Ok(())
    }

    fn source(&self, span: &Value) -> Result<String, Box<dyn Error>> {
        let Some(file) = span["filename"].as_str() else {
            return Ok(String::new());
        };
        let place = |which: &str, part: usize| span[which][part].as_u64().unwrap_or(1) as usize;
        let text = fs::read_to_string(self.root.join(file))?;
        let lines: Vec<&str> = text.lines().collect();
        let (first, last) = (place("begin", 0), place("end", 0));
        let mut wanted = lines[first - 1..last].to_vec();
        let skipped = wanted[0].char_indices().nth(place("begin", 1) - 1);
        wanted[0] = skipped.map_or("", |(start, _)| &wanted[0][start..]);
        Ok(wanted.join("\n"))
    }
}
