//! The `#[module(…)]` attributes of structs and fields.

use syn::{Attribute, Error, Type};

/// What stands on the struct.
#[derive(Default)]
pub struct StructOptions {
    /// The type that `forward` takes, if not `Value`.
    pub input: Option<Type>,
    /// The type that `forward` returns, if not `Value`.
    pub output: Option<Type>,
    /// `forward` takes its input by value.
    pub owned: bool,
    /// Leave out the `Module` impl.
    pub no_forward: bool,
}

impl StructOptions {
    /// Reads all `module` attributes of a struct.
    pub fn read(attributes: &[Attribute]) -> Result<StructOptions, Error> {
        let mut options = StructOptions::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("module")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("input") {
                    options.input = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("output") {
                    options.output = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("owned") {
                    options.owned = true;
                } else if meta.path.is_ident("no_forward") {
                    options.no_forward = true;
                } else {
                    return Err(meta.error(
                        "expected `input = Type`, `output = Type`, `owned` or `no_forward`",
                    ));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}

/// What stands on a field.
#[derive(Default)]
pub struct FieldOptions {
    /// The field is not a module.
    pub skip: bool,
}

impl FieldOptions {
    /// Reads all `module` attributes of a field.
    pub fn read(attributes: &[Attribute]) -> Result<FieldOptions, Error> {
        let mut options = FieldOptions::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("module")) {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("skip") {
                    return Err(meta.error("expected `skip`"));
                }
                options.skip = true;
                Ok(())
            })?;
        }
        Ok(options)
    }
}
