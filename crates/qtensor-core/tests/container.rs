//! The envelope of files: every damage is found, and files are replaced as a whole.

use std::path::Path;

use qtensor_core::Error;
use qtensor_core::container::{Kind, VERSION, open, read_file, seal, write_file};

#[test]
fn every_damage_is_an_error_of_its_own_kind() {
    let sealed = seal(Kind::Tensor, b"content");
    assert_eq!(open(Kind::Tensor, &sealed).unwrap(), b"content");
    let edit = |at: usize, value: u8| {
        let mut copy = sealed.clone();
        copy[at] = value;
        open(Kind::Tensor, &copy).unwrap_err()
    };
    assert!(matches!(edit(0, 0), Error::WrongMagic { .. }));
    assert!(matches!(
        edit(8, 9),
        Error::UnknownVersion {
            found: 9,
            supported: VERSION
        }
    ));
    assert!(matches!(edit(12, 3), Error::WrongLength { .. }));
    assert!(matches!(edit(10, 2), Error::Checksum { .. }));
    assert!(matches!(edit(26, b'!'), Error::Checksum { .. }));
    assert!(matches!(
        open(Kind::Model, &sealed),
        Err(Error::WrongKind { .. })
    ));
    for cut in 0..sealed.len() {
        assert!(open(Kind::Tensor, &sealed[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let sealed = seal(Kind::QTensor, &[7; 40]);
    for bit in 0..sealed.len() * 8 {
        let mut copy = sealed.clone();
        copy[bit / 8] ^= 1 << (bit % 8);
        assert!(open(Kind::QTensor, &copy).is_err(), "bit {bit}");
    }
}

#[test]
fn a_write_replaces_whole_files_and_a_failed_one_leaves_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.qt");
    write_file(&path, b"one").unwrap();
    write_file(&path, b"two").unwrap();
    assert_eq!(read_file(&path).unwrap(), b"two");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let missing = folder.path().join("no/such/folder.qt");
    let error = write_file(&missing, b"x").unwrap_err().to_string();
    assert!(error.contains("folder.qt"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_new_file_is_as_readable_as_any_and_a_replaced_one_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (plain, path) = (folder.path().join("plain"), folder.path().join("t.qt"));
    std::fs::write(&plain, b"x").unwrap();
    write_file(&path, b"one").unwrap();
    assert_eq!(mode(&path), mode(&plain));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    write_file(&path, b"two").unwrap();
    assert_eq!(mode(&path), 0o640);
}
