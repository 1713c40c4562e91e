//! Vectors that are read without trust in their lengths.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plain {
    a: Vec<u64>,
    b: Option<Vec<i32>>,
    c: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Own {
    #[serde(deserialize_with = "qtensor_core::grown::vec")]
    a: Vec<u64>,
    #[serde(deserialize_with = "qtensor_core::grown::option")]
    b: Option<Vec<i32>>,
    #[serde(deserialize_with = "qtensor_core::grown::named")]
    c: BTreeMap<String, Vec<u8>>,
}

#[test]
fn the_encoding_is_that_of_plain_vectors() {
    for b in [None, Some(vec![-3, 4])] {
        let a = vec![1, 300];
        let c = BTreeMap::from([("x".to_owned(), vec![7, 255]), (String::new(), vec![])]);
        let plain = Plain {
            a: a.clone(),
            b: b.clone(),
            c: c.clone(),
        };
        let bytes = postcard::to_stdvec(&plain).unwrap();
        let grown: Own = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(grown, Own { a, b, c });
        assert_eq!(postcard::to_stdvec(&grown).unwrap(), bytes);
    }
}

#[test]
fn a_claim_beyond_the_end_is_an_error() {
    let claim = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 7];
    assert!(postcard::from_bytes::<Own>(&claim).is_err());
}
