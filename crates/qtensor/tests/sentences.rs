//! The sentence encoder of the example `sentences`, on a tiny seeded model: names, padding, int8, and directories that
//! are none.
#![allow(dead_code, reason = "the example uses the rest")]

#[path = "../examples/sentences/bert.rs"]
mod bert;
#[path = "../examples/sentences/compare.rs"]
mod compare;
#[path = "../examples/sentences/config.rs"]
mod config;
#[path = "../examples/sentences/model.rs"]
mod model;

use std::error::Error;
use std::path::Path;

use bert::Bert;
use config::Config;
use model::Model;
use qtensor::qflow::{from_bytes, state_dict, to_bytes};
use qtensor::qnn::manual_seed;
use safetensors::tensor::{Dtype, TensorView};

/// What the example calls any error.
pub type Failure = Box<dyn Error + Send + Sync>;

const CONFIG: &str = r#"{"vocab_size": 12, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64, "max_position_embeddings": 6, "model_type": "bert"}"#;

const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
    "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[PAD]": 0, "[UNK]": 1, "the": 2, "a": 3,
    "cat": 4, "dog": 5, "sleeps": 6, "runs": 7, "far": 8, "away": 9, "today": 10, "again": 11}}}"#;

/// The name in a file of Hugging Face's.
fn original(key: &str) -> String {
    if let Some(rest) = key.strip_prefix("embeddings.norm.") {
        return format!("embeddings.LayerNorm.{rest}");
    }
    let Some((number, rest)) = key.strip_prefix("layer.").and_then(|r| r.split_once('.')) else {
        return key.into();
    };
    let (module, parameter) = rest.split_once('.').unwrap();
    let module = match module {
        "query" | "key" | "value" => format!("attention.self.{module}"),
        "attended" => "attention.output.dense".into(),
        "attended_norm" => "attention.output.LayerNorm".into(),
        "intermediate" => "intermediate.dense".into(),
        "output" => "output.dense".into(),
        "output_norm" => "output.LayerNorm".into(),
        other => panic!("unknown module {other}"),
    };
    format!("encoder.layer.{number}.{module}.{parameter}")
}

/// Writes a model directory, with the entries that the encoder does not use.
fn write(folder: &Path) -> Bert {
    manual_seed(11);
    std::fs::write(folder.join("config.json"), CONFIG).unwrap();
    std::fs::write(folder.join("tokenizer.json"), TOKENIZER).unwrap();
    let bert = Bert::new(&Config::read(folder).unwrap()).unwrap();
    let mut data: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = state_dict(&bert)
        .into_iter()
        .map(|(key, tensor)| {
            let bytes = tensor.to_vec().into_iter().flat_map(f32::to_le_bytes);
            (
                original(&key),
                Dtype::F32,
                tensor.shape().to_vec(),
                bytes.collect(),
            )
        })
        .collect();
    let pooler = ("pooler.dense.bias".into(), Dtype::F32, vec![1], vec![0; 4]);
    let ids = (
        "embeddings.position_ids".into(),
        Dtype::I64,
        vec![1, 1],
        vec![0; 8],
    );
    data.extend([pooler, ids]);
    let views = data.iter().map(|(key, dtype, shape, bytes)| {
        (key, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let path = folder.join("model.safetensors");
    safetensors::serialize_to_file(views, None, &path).unwrap();
    bert
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| t.to_string()).collect()
}

#[test]
fn a_directory_gives_the_encoder_that_was_written_and_padding_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bert = write(folder.path());
    let model = Model::open(folder.path()).unwrap();
    let all = texts(&["the cat sleeps", "a dog runs far away today again", "dog"]);
    let tokens = model.tokens(&all).unwrap();
    // The second text is cut off at the longest length.
    assert_eq!(tokens.ids.shape(), [3, 6]);
    assert_eq!(tokens.ids.to_vec()[..6], [2, 4, 6, 0, 0, 0]);
    assert_eq!(tokens.mask[12..], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let vectors = model.bert.embed(&tokens).unwrap();
    assert_eq!(vectors, bert.embed(&tokens).unwrap());
    for (at, text) in all.iter().enumerate() {
        let alone = model.tokens(std::slice::from_ref(text)).unwrap();
        let alone = model.bert.embed(&alone).unwrap().to_vec();
        let row = &vectors.to_vec()[at * 32..][..32];
        let length: f32 = row.iter().map(|v| v * v).sum();
        assert!((length - 1.0).abs() < 1e-5);
        assert!(row.iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn int8_vectors_are_near_and_survive_a_file() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let float = Model::open(folder.path()).unwrap();
    let mut int8 = Model::open(folder.path()).unwrap();
    let report = int8.quantize().unwrap();
    assert_eq!(report.converted().count(), 2 * 6 + 3);
    let tokens = float
        .tokens(&texts(&["the cat sleeps", "a dog runs", "a dog runs far"]))
        .unwrap();
    let (a, b) = (
        float.bert.embed(&tokens).unwrap(),
        int8.bert.embed(&tokens).unwrap(),
    );
    let worst = compare::worst(&a, &b);
    assert!(worst > 0.99 && worst < 1.0, "{worst}");
    assert_eq!((compare::pairs(&b)[0].a, compare::pairs(&b)[0].b), (1, 2));
    let mut again = Model::open(folder.path()).unwrap();
    from_bytes(&mut again.bert, &to_bytes(&int8.bert).unwrap()).unwrap();
    assert_eq!(again.bert.embed(&tokens).unwrap(), b);
}

#[test]
fn directories_that_are_none_say_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let refused = || match Model::open(path) {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    };
    assert!(refused().contains("config.json"));
    for (config, what) in [
        ("no json", "expected"),
        (r#"{"vocab_size": 3}"#, "hidden_size"),
        (
            &CONFIG.replace("\"num_attention_heads\": 4", "\"num_attention_heads\": 5"),
            "5 attention heads",
        ),
        (
            &CONFIG.replace("\"bert\"", "\"bert\", \"hidden_act\": \"silu\""),
            "silu",
        ),
        (&CONFIG.replace(": 12", ": -12"), "-12"),
    ] {
        std::fs::write(path.join("config.json"), config).unwrap();
        let text = refused();
        assert!(
            text.contains("config.json") && text.contains(what),
            "{text}"
        );
    }
    std::fs::write(path.join("config.json"), CONFIG).unwrap();
    assert!(refused().contains("tokenizer.json"));
    std::fs::write(path.join("tokenizer.json"), "{}").unwrap();
    assert!(refused().contains("tokenizer.json"));
    std::fs::write(path.join("tokenizer.json"), TOKENIZER).unwrap();
    assert!(refused().contains("model.safetensors"));
    std::fs::write(path.join("model.safetensors"), [0; 20]).unwrap();
    assert!(refused().contains("model.safetensors"));

    // Weights of another model: the names of both sides, and the file's.
    write(path);
    std::fs::write(
        path.join("config.json"),
        CONFIG.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"),
    )
    .unwrap();
    let text = refused();
    assert!(
        text.contains("layer.2.query.weight") && text.contains("model.safetensors"),
        "{text}"
    );
    // A token beyond the vocabulary.
    std::fs::write(path.join("config.json"), CONFIG).unwrap();
    std::fs::write(
        path.join("tokenizer.json"),
        TOKENIZER.replace("\"again\": 11", "\"again\": 12"),
    )
    .unwrap();
    let model = Model::open(path).unwrap();
    let text = model.tokens(&texts(&["again"])).err().unwrap().to_string();
    assert!(
        text.contains("token 12") && text.contains("vocab_size 12"),
        "{text}"
    );
}
