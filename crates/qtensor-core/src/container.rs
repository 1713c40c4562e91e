//! The envelope of every file: magic, version, kind, length, checksum, then the content.
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | the magic `\x89QTENSOR` (the first byte is not ASCII, so no text file passes) |
//! | 8..10 | format version, little-endian `u16` |
//! | 10..12 | kind of content, `u16` |
//! | 12..20 | length of the content, `u64` |
//! | 20..24 | CRC-32 of bytes 0..20 and the content |
//! | 24.. | the content, postcard |
//!
//! Everything is checked before the content is decoded. Files are written to a temporary file in the
//! same folder and renamed, so that a reader sees the old file or the new one and never a part.

use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

const MAGIC: [u8; 8] = *b"\x89QTENSOR";
const HEADER: usize = 24;

/// The newest format version, and the one that is written.
pub const VERSION: u16 = 1;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A float tensor.
    Tensor,
    /// A quantized tensor.
    QTensor,
    /// A model.
    Model,
    /// An observer's state.
    Observer,
}

impl Kind {
    const ALL: [(Kind, u16, &'static str); 4] = [
        (Kind::Tensor, 1, "float tensor"),
        (Kind::QTensor, 2, "quantized tensor"),
        (Kind::Model, 3, "model"),
        (Kind::Observer, 4, "observer"),
    ];

    fn code(self) -> u16 {
        Kind::ALL.iter().find(|k| k.0 == self).map_or(0, |k| k.1)
    }

    /// The kind in words.
    pub fn name(self) -> &'static str {
        Kind::ALL
            .iter()
            .find(|k| k.0 == self)
            .map_or("unknown", |k| k.2)
    }
}

/// Puts a content into its envelope.
pub fn seal(kind: Kind, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + content.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&kind.code().to_le_bytes());
    out.extend_from_slice(&(content.len() as u64).to_le_bytes());
    let crc = checksum(&out, content);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(content);
    out
}

/// Takes a content out of its envelope.
///
/// # Errors
/// [`Error::WrongMagic`], [`Error::UnknownVersion`], [`Error::WrongLength`], [`Error::Checksum`],
/// [`Error::WrongKind`], checked in that order.
pub fn open(kind: Kind, bytes: &[u8]) -> Result<&[u8]> {
    if bytes.get(..MAGIC.len()) != Some(&MAGIC[..]) {
        return Err(Error::WrongMagic {
            expected: "qtensor",
            found: bytes[..bytes.len().min(8)].to_vec(),
        });
    }
    let (Some(version), Some(code), Some(length), Some(expected)) = (
        field::<2>(bytes, 8),
        field::<2>(bytes, 10),
        field::<8>(bytes, 12),
        field::<4>(bytes, 20),
    ) else {
        return Err(Error::WrongLength {
            expected: HEADER as u64,
            actual: bytes.len() as u64,
        });
    };
    let version = u16::from_le_bytes(version);
    if version == 0 || version > VERSION {
        return Err(Error::UnknownVersion {
            found: version,
            supported: VERSION,
        });
    }
    let content = &bytes[HEADER..];
    let length = u64::from_le_bytes(length);
    if length != content.len() as u64 {
        let header = HEADER as u64;
        return Err(Error::WrongLength {
            expected: length.saturating_add(header),
            actual: bytes.len() as u64,
        });
    }
    let (expected, actual) = (
        u32::from_le_bytes(expected),
        checksum(&bytes[..20], content),
    );
    if expected != actual {
        return Err(Error::Checksum { expected, actual });
    }
    let code = u16::from_le_bytes(code);
    if code != kind.code() {
        let found = Kind::ALL.iter().find(|k| k.1 == code);
        return Err(Error::WrongKind {
            expected: kind.name().into(),
            actual: found.map_or_else(|| format!("content of kind {code}"), |k| k.2.into()),
        });
    }
    Ok(content)
}

/// Reads a whole file.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| io_error(path, &e))
}

/// Writes a whole file atomically: to a temporary one beside it, synced, then renamed over it.
///
/// A new file gets the permissions that any new file gets, one that replaces another those of the other.
///
/// # Errors
/// [`Error::Io`] with the path; the old file, if any, is then untouched.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = || -> std::io::Result<()> {
        let mut file = temporary_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        if let Ok(old) = std::fs::metadata(path) {
            file.as_file().set_permissions(old.permissions())?;
        }
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|e| io_error(path, &e))
}

/// A temporary file. Those of `tempfile` are private to the user, which a finished file should not be: it asks for
/// what every new file asks for, and the process's mask takes away from it.
fn temporary_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

fn io_error(path: &Path, error: &std::io::Error) -> Error {
    Error::Io {
        path: path.display().to_string(),
        message: error.to_string(),
    }
}

fn checksum(header: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(content);
    hasher.finalize()
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}
