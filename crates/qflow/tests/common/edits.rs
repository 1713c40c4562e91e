//! Bytes to a damaged file: what a fuzzer or a property test throws at everything that reads files.
//!
//! The first byte says whether the others are a file as they are, or edits of a sound one: each names a place and what
//! happens there. A changed content gets its envelope afterwards, so that the checksum does not hide it.

use qtensor_core::container::{Kind, seal};

/// A reader of the bytes of an edit list; zeros behind the end.
struct Edits<'a>(&'a [u8]);

impl Edits<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }
}

/// A content: the bytes themselves, or `sound` with some edits.
pub fn content(bytes: &[u8], sound: &[u8]) -> Vec<u8> {
    let Some((&how, rest)) = bytes.split_first() else {
        return Vec::new();
    };
    if how == 255 {
        return rest.to_vec();
    }
    let mut content = sound.to_vec();
    let mut edits = Edits(rest);
    while !edits.0.is_empty() && !content.is_empty() {
        let at = edits.number() % content.len();
        match edits.byte() % 8 {
            0 => content.truncate(at),
            1 => drop(content.remove(at)),
            2 => content.insert(at, edits.byte()),
            3 => {
                // A varint: lengths and sizes are written so.
                let varint = varint(1 << (edits.byte() % 64));
                content.splice(at..=at, varint);
            }
            4 => {
                let from = edits.number() % content.len();
                let to = (from + 1 + usize::from(edits.byte() % 32)).min(content.len());
                let part = content[from..to].to_vec();
                content.splice(at..at, part);
            }
            5 => {
                let to = (at + 1 + usize::from(edits.byte() % 32)).min(content.len());
                content.drain(at..to);
            }
            6 => content[at] = edits.byte(),
            _ => content[at] ^= 1 << (edits.byte() % 8),
        }
    }
    content
}

/// A number as postcard writes it: seven bits a byte, the last one without its highest bit.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// As [`content`], in an envelope whose checksum is right; an empty first byte leaves the file as it is.
pub fn file(kind: Kind, bytes: &[u8], sound: &[u8]) -> Vec<u8> {
    match bytes.split_first() {
        Some((&254, rest)) => rest.to_vec(),
        _ => seal(kind, &content(bytes, sound)),
    }
}
