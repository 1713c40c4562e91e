//! The rows of the tables.

/// The items of one part of PyTorch.
pub struct Group {
    pub title: &'static str,
    pub rows: &'static [Row],
}

/// One item of PyTorch.
pub struct Row {
    /// Its name there.
    pub name: &'static str,
    pub here: Here,
    /// For an item that the project was begun for: the test that covers it, `end/of/file.rs::function`.
    pub seed: Option<&'static str>,
    /// What differs, or what to know.
    pub note: &'static str,
}

/// Where an item is.
pub enum Here {
    /// A path that `use` takes.
    Item(&'static str),
    /// A type, and its method or associated function.
    Method(&'static str, &'static str),
    /// A trait, and its method.
    Object(&'static str, &'static str),
    /// Anything else: how it is called in the document, and an expression that names it.
    Other(&'static str, &'static str),
    /// Nowhere, for this reason.
    Absent(&'static str),
}

pub const fn item(name: &'static str, path: &'static str) -> Row {
    row(name, Here::Item(path))
}

pub const fn method(name: &'static str, of: &'static str, method: &'static str) -> Row {
    row(name, Here::Method(of, method))
}

pub const fn object(name: &'static str, of: &'static str, method: &'static str) -> Row {
    row(name, Here::Object(of, method))
}

pub const fn other(name: &'static str, path: &'static str, proof: &'static str) -> Row {
    row(name, Here::Other(path, proof))
}

pub const fn absent(name: &'static str, why: &'static str) -> Row {
    row(name, Here::Absent(why))
}

const fn row(name: &'static str, here: Here) -> Row {
    Row {
        name,
        here,
        seed: None,
        note: "",
    }
}

impl Row {
    /// Marks an item that the project was begun for, with the test that covers it.
    pub const fn seed(self, test: &'static str) -> Row {
        Row {
            name: self.name,
            here: self.here,
            seed: Some(test),
            note: self.note,
        }
    }

    /// What differs from PyTorch, or what to know.
    pub const fn note(self, note: &'static str) -> Row {
        Row {
            name: self.name,
            here: self.here,
            seed: self.seed,
            note,
        }
    }
}
