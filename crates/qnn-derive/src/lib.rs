//! `#[derive(Module)]`: makes a struct of modules walkable and callable.
//!
//! The macro reads the field names and the `#[module(…)]` attributes, and writes two impls; it holds no
//! logic of its own. The generated code names `qnn` through whichever crate the user depends on, `qnn`
//! itself or the umbrella crate `qtensor`.

mod attributes;

use proc_macro::TokenStream;
use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream as Tokens};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Fields, parse_macro_input};

use attributes::{FieldOptions, StructOptions};

/// Implements `Node` (the walk over named children) and `Module` (calling the struct's own `forward`).
///
/// Every field takes part under its own name unless it is marked `#[module(skip)]`. On the struct,
/// `#[module(input = A, output = B)]` gives the signature of `forward` where it is not `Value` to
/// `Value`, and `#[module(no_forward)]` leaves the `Module` impl out. With `#[module(owned)]` that method takes
/// its input by value, so that a residual block can give it away as what the sums replace (`Module::forward_owned`).
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

fn expand(input: &DeriveInput) -> Result<Tokens, Error> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "Module can be derived for structs",
        ));
    };
    let options = StructOptions::read(&input.attrs)?;
    let qnn = qnn_path();
    let name = &input.ident;
    let kind = name.unraw().to_string();
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();

    let mut names = Vec::new();
    let mut members = Vec::new();
    for (index, field) in data.fields.iter().enumerate() {
        if FieldOptions::read(&field.attrs)?.skip {
            continue;
        }
        names.push(
            field
                .ident
                .as_ref()
                .map_or_else(|| index.to_string(), |i| i.unraw().to_string()),
        );
        members.push(match &field.ident {
            Some(ident) => syn::Member::Named(ident.clone()),
            None => syn::Member::Unnamed(index.into()),
        });
    }
    // A struct without modules would leave the callbacks unused.
    let visit = if matches!(data.fields, Fields::Unit) || members.is_empty() {
        format_ident!("_visit")
    } else {
        format_ident!("visit")
    };
    let node = quote! {
        impl #impl_generics #qnn::Node for #name #type_generics #where_clause {
            fn kind(&self) -> &'static str {
                #kind
            }
            fn children<'a>(&'a self, #visit: &mut dyn FnMut(&str, &'a dyn #qnn::Node)) {
                #( visit(#names, &self.#members); )*
            }
            fn children_mut(&mut self, #visit: &mut dyn FnMut(&str, &mut dyn #qnn::Node)) {
                #( visit(#names, &mut self.#members); )*
            }
        }
    };
    if options.no_forward {
        return Ok(node);
    }
    let value = quote!(#qnn::Value);
    let from = options.input.map_or_else(|| value.clone(), |t| quote!(#t));
    let to = options.output.map_or(value, |t| quote!(#t));
    let call = quote! {
        // The inherent method of the same name wins the look-up. Without one, the trait's method
        // would call itself; a second candidate makes that an error of the compiler.
        #[allow(dead_code)]
        trait AnInherentForwardIsNeeded {
            fn forward(&self, _: &()) {}
        }
        impl<T: ?Sized> AnInherentForwardIsNeeded for T {}
        <#name #type_generics>::forward
    };
    let methods = if options.owned {
        quote! {
            fn forward(&self, input: &Self::Input) -> #qnn::Result<Self::Output> {
                #qnn::Module::forward_owned(self, ::core::clone::Clone::clone(input))
            }
            fn forward_owned(&self, input: Self::Input) -> #qnn::Result<Self::Output> {
                #call(self, input)
            }
        }
    } else {
        quote! {
            fn forward(&self, input: &Self::Input) -> #qnn::Result<Self::Output> {
                #call(self, input)
            }
        }
    };
    Ok(quote! {
        #node
        impl #impl_generics #qnn::Module for #name #type_generics #where_clause {
            type Input = #from;
            type Output = #to;
            #methods
        }
    })
}

/// The path to `qnn` in the crate that is being compiled.
fn qnn_path() -> Tokens {
    let ident = |name: &str| format_ident!("{}", name, span = Span::call_site());
    match (crate_name("qnn"), crate_name("qtensor")) {
        (Ok(FoundCrate::Name(name)), _) => {
            let name = ident(&name);
            quote!(::#name)
        }
        (Ok(FoundCrate::Itself), _) => quote!(::qnn),
        (_, Ok(FoundCrate::Name(name))) => {
            let name = ident(&name);
            quote!(::#name::qnn)
        }
        (_, Ok(FoundCrate::Itself)) => quote!(::qtensor::qnn),
        _ => quote!(::qnn),
    }
}
