//! A language model in a file: the smallest that llama.cpp's server loads, with random weights.
//!
//! It answers at once with words that mean nothing, and never ends by itself: a request gets as many words as it asks for.
//! What the server refuses: a vocabulary without a token for each byte, widths that its heads do not divide, places of
//! tensors that are not multiples of 32.

use std::{fs::File, io::Write as _, path::Path};

use super::chance::Random;

/// How wide each word's vector is, and the layer between.
const WIDTH: u64 = 64;
const INNER: u64 = 128;
const HEADS: u32 = 4;
/// Longer texts are refused.
const CONTEXT: u32 = 512;
/// A place in the file that a tensor may begin at.
const ALIGNMENT: usize = 32;

/// Words for it to say.
pub(crate) const WORDS: [&str; 16] = [
    "the", "a", "model", "loads", "word", "by", "on", "demand", "and", "then", "waits", "until", "it", "is",
    "asked", "again",
];

/// Types of values, by the numbers that the format gives them.
enum Value<'a> {
    Number(u32),
    Fraction(f32),
    Text(&'a str),
    Texts(&'a [String]),
    Kinds(&'a [i32]),
    Fractions(&'a [f32]),
}

/// Writes a model that says nothing but these words to a file of about 400 KB.
pub(crate) fn write(path: &Path, says: &[&str], random: &mut Random) {
    let bytes = bytes(says, random);
    File::create(path).and_then(|mut file| file.write_all(&bytes)).expect("a file for a model");
}

fn bytes(says: &[&str], random: &mut Random) -> Vec<u8> {
    let (words, kinds) = vocabulary(says);
    let ranks: Vec<f32> = kinds.iter().zip(0_u16..).map(|(_, rank)| -f32::from(rank)).collect();
    let number = |length: u64| Value::Number(u32::try_from(length).expect("small"));
    let settings = [
        ("general.architecture", Value::Text("llama")),
        ("general.name", Value::Text("random words")),
        ("llama.context_length", Value::Number(CONTEXT)),
        ("llama.embedding_length", number(WIDTH)),
        ("llama.feed_forward_length", number(INNER)),
        ("llama.block_count", Value::Number(1)),
        ("llama.attention.head_count", Value::Number(HEADS)),
        ("llama.attention.layer_norm_rms_epsilon", Value::Fraction(1e-5)),
        ("tokenizer.ggml.model", Value::Text("llama")),
        ("tokenizer.ggml.tokens", Value::Texts(&words)),
        ("tokenizer.ggml.scores", Value::Fractions(&ranks)),
        ("tokenizer.ggml.token_type", Value::Kinds(&kinds)),
    ];
    let tensors = tensors(&kinds, random);
    let mut head = b"GGUF".to_vec();
    head.extend(3_u32.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((settings.len() as u64).to_le_bytes());
    for (name, value) in &settings {
        put_text(&mut head, name);
        put(&mut head, value);
    }
    let mut data = Vec::new();
    for (name, shape, weights) in &tensors {
        put_text(&mut head, name);
        head.extend(u32::try_from(shape.len()).expect("few").to_le_bytes());
        head.extend(shape.iter().flat_map(|length| length.to_le_bytes()));
        // 32 bits each.
        head.extend(0_u32.to_le_bytes());
        head.extend((data.len() as u64).to_le_bytes());
        assert_eq!(shape.iter().product::<u64>(), weights.len() as u64, "{name}");
        data.extend(weights.iter().flat_map(|weight| weight.to_le_bytes()));
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    head.append(&mut data);
    head
}

/// Tokens and their kinds: unknown, begin and end, every byte, and the words, each behind a space.
fn vocabulary(says: &[&str]) -> (Vec<String>, Vec<i32>) {
    const UNKNOWN: i32 = 2;
    const CONTROL: i32 = 3;
    const BYTE: i32 = 6;
    let special = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)];
    let special = special.map(|(token, kind)| (token.to_owned(), kind));
    let bytes = (0..=u8::MAX).map(|byte| (format!("<0x{byte:02X}>"), BYTE));
    let words = says.iter().map(|word| (format!("\u{2581}{word}"), NORMAL));
    special.into_iter().chain(bytes).chain(words).unzip()
}

const NORMAL: i32 = 1;

type Tensor = (String, Vec<u64>, Vec<f32>);

/// All of a model with one layer.
fn tensors(kinds: &[i32], random: &mut Random) -> Vec<Tensor> {
    let mut any = |length: u64| -> Vec<f32> { (0..length).map(|_| weight(random)).collect() };
    let mut embedding = Vec::new();
    let mut output = Vec::new();
    for kind in kinds {
        // Whatever was said so far points this way, and only words lie there: nothing else is ever said.
        embedding.push(8.0);
        embedding.extend(any(WIDTH - 1));
        output.push(if *kind == NORMAL { 2.0 } else { -2.0 });
        output.extend(any(WIDTH - 1));
    }
    let length = kinds.len() as u64;
    let plain = |name: &str| (name.to_owned(), vec![WIDTH], (0..WIDTH).map(|_| 1.0).collect());
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), vec![WIDTH, length], embedding),
        ("output.weight".to_owned(), vec![WIDTH, length], output),
        plain("output_norm.weight"),
        plain("blk.0.attn_norm.weight"),
        plain("blk.0.ffn_norm.weight"),
    ];
    let blocks = [
        ("attn_q", WIDTH, WIDTH),
        ("attn_k", WIDTH, WIDTH),
        ("attn_v", WIDTH, WIDTH),
        ("attn_output", WIDTH, WIDTH),
        ("ffn_gate", WIDTH, INNER),
        ("ffn_up", WIDTH, INNER),
        ("ffn_down", INNER, WIDTH),
    ];
    tensors.extend(
        blocks.map(|(name, from, to)| (format!("blk.0.{name}.weight"), vec![from, to], any(from * to))),
    );
    tensors
}

/// Between -0.1 and 0.1.
fn weight(random: &mut Random) -> f32 {
    let step = u16::try_from(random.below(2001)).expect("small");
    (f32::from(step) - 1000.0) / 10_000.0
}

fn put(bytes: &mut Vec<u8>, value: &Value<'_>) {
    let mut list = |kind: u32, length: usize| {
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend((length as u64).to_le_bytes());
    };
    match value {
        Value::Texts(texts) => list(8, texts.len()),
        Value::Kinds(kinds) => list(5, kinds.len()),
        Value::Fractions(fractions) => list(6, fractions.len()),
        Value::Number(_) => bytes.extend(4_u32.to_le_bytes()),
        Value::Fraction(_) => bytes.extend(6_u32.to_le_bytes()),
        Value::Text(_) => bytes.extend(8_u32.to_le_bytes()),
    }
    match value {
        Value::Number(number) => bytes.extend(number.to_le_bytes()),
        Value::Fraction(fraction) => bytes.extend(fraction.to_le_bytes()),
        Value::Text(text) => put_text(bytes, text),
        Value::Texts(texts) => texts.iter().for_each(|text| put_text(bytes, text)),
        Value::Kinds(kinds) => bytes.extend(kinds.iter().flat_map(|kind| kind.to_le_bytes())),
        Value::Fractions(all) => bytes.extend(all.iter().flat_map(|one| one.to_le_bytes())),
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
