//! safetensors: round trips, conversions, and files that are not what they say.
#![allow(missing_docs)]

use std::{collections::BTreeMap, path::PathBuf};

use athanor_store::{Array, ArrayData, ArrayInfo, Kind, array_index, load_arrays, save_arrays};
use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tempfile::TempDir;

fn sample() -> Vec<Array> {
    vec![
        Array {
            name: "b".into(),
            shape: vec![2, 3],
            data: ArrayData::F32(vec![0.0, -1.5, f32::NAN, f32::INFINITY, 1e-40, 7.0]),
        },
        Array { name: "a".into(), shape: vec![], data: ArrayData::F32(vec![3.25]) },
        Array {
            name: "ids".into(),
            shape: vec![3],
            data: ArrayData::I64(vec![i64::MIN, 0, i64::MAX]),
        },
        Array { name: "none".into(), shape: vec![4, 0], data: ArrayData::F32(vec![]) },
    ]
}

fn save(arrays: &[Array]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    let refs: Vec<_> = arrays.iter().map(Array::as_ref).collect();
    save_arrays(&path, &refs, &BTreeMap::new()).unwrap();
    (dir, path)
}

fn write(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// A file of this header and this many bytes of data.
fn crafted(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; data]);
    bytes
}

fn error(bytes: &[u8]) -> String {
    let (_dir, path) = write(bytes);
    let e = load_arrays(&path).expect_err("an error was expected");
    assert_eq!(e.kind(), Kind::Input, "{e}");
    e.to_string().replace(&*path.to_string_lossy(), "FILE")
}

fn bits(a: &Array) -> (String, Vec<usize>, Vec<u64>) {
    let data = match &a.data {
        ArrayData::F32(v) => v.iter().map(|x| u64::from(x.to_bits())).collect(),
        ArrayData::I64(v) => v.iter().map(|x| *x as u64).collect(),
    };
    (a.name.clone(), a.shape.clone(), data)
}

#[test]
fn round_trip_to_the_bit() {
    let (_dir, path) = save(&sample());
    let mut back: Vec<_> = load_arrays(&path).unwrap().iter().map(bits).collect();
    back.sort();
    let mut want: Vec<_> = sample().iter().map(bits).collect();
    want.sort();
    assert_eq!(back, want);
    let index = array_index(&path).unwrap();
    assert_eq!(index[0], ArrayInfo { name: "ids".into(), shape: vec![3], dtype: "I64".into() });
    assert_eq!(index.len(), 4);
}

#[test]
fn the_safetensors_crate_reads_and_writes_the_same_bytes() {
    let (_dir, path) = save(&sample());
    let bytes = std::fs::read(&path).unwrap();
    let theirs = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<_> = theirs.tensors();
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    assert_eq!(safetensors::serialize(tensors, Some(metadata)).unwrap(), bytes);
}

#[test]
fn bytes_do_not_depend_on_order_or_metadata_order() {
    let metadata: BTreeMap<_, _> = (0..20).map(|i| (format!("k{i}"), "v".to_owned())).collect();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, arrays: &[Array]| {
        let path = dir.path().join(name);
        let refs: Vec<_> = arrays.iter().map(Array::as_ref).collect();
        save_arrays(&path, &refs, &metadata).unwrap();
        std::fs::read(path).unwrap()
    };
    let mut reversed = sample();
    reversed.reverse();
    assert_eq!(write("a", &sample()), write("b", &reversed));
}

#[test]
fn every_type_is_converted() {
    let check = |dtype, bytes: &[u8], n: usize, want: ArrayData| {
        let view = TensorView::new(dtype, vec![n], bytes).unwrap();
        let (_dir, path) = write(&safetensors::serialize([("t", view)], None).unwrap());
        assert_eq!(load_arrays(&path).unwrap()[0].data, want, "{dtype:?}");
    };
    let le = |v: &[u16]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let f32s = |v: &[f32]| ArrayData::F32(v.to_vec());
    check(
        Dtype::F16,
        &le(&[0x3c00, 0xc000, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x7c00, 0x8000, 0x3555]),
        9,
        f32s(&[
            1.0,
            -2.0,
            5.960_464_5e-8,
            6.097_555e-5,
            6.103_515_6e-5,
            65504.0,
            f32::INFINITY,
            -0.0,
            0.333_251_95,
        ]),
    );
    check(Dtype::BF16, &le(&[0x3f80, 0xc000, 0x7f80]), 3, f32s(&[1.0, -2.0, f32::INFINITY]));
    check(Dtype::F64, &0.1f64.to_le_bytes(), 1, f32s(&[0.1]));
    let i64s = |v: &[i64]| ArrayData::I64(v.to_vec());
    check(Dtype::I32, &(-7i32).to_le_bytes(), 1, i64s(&[-7]));
    check(Dtype::U32, &u32::MAX.to_le_bytes(), 1, i64s(&[u32::MAX.into()]));
    check(Dtype::I16, &(-7i16).to_le_bytes(), 1, i64s(&[-7]));
    check(Dtype::U16, &u16::MAX.to_le_bytes(), 1, i64s(&[65535]));
    check(Dtype::I8, &[0xff], 1, i64s(&[-1]));
    check(Dtype::U8, &[0xff], 1, i64s(&[255]));
    check(Dtype::U64, &7u64.to_le_bytes(), 1, i64s(&[7]));
    check(Dtype::BOOL, &[0, 1, 2], 3, i64s(&[0, 1, 1]));
    // Longer than a block.
    let long: Vec<u16> = (0..40_000).map(|i| (i % 100) as u16).collect();
    check(
        Dtype::U16,
        &le(&long),
        40_000,
        ArrayData::I64(long.iter().map(|x| (*x).into()).collect()),
    );
}

#[test]
fn f16_is_exact_for_every_finite_value() {
    let all: Vec<u16> = (0..=u16::MAX).filter(|b| b >> 10 & 31 != 31).collect();
    let bytes: Vec<u8> = all.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F16, vec![all.len()], &bytes).unwrap();
    let (_dir, path) = write(&safetensors::serialize([("t", view)], None).unwrap());
    let ArrayData::F32(got) = load_arrays(&path).unwrap().remove(0).data else { panic!() };
    for (b, x) in all.into_iter().zip(got) {
        let (e, f) = (i32::from(b >> 10 & 31), f64::from(b & 1023));
        let m = if e == 0 { f * 2f64.powi(-24) } else { (1024.0 + f) * 2f64.powi(e - 25) };
        let want = if b >> 15 == 1 { -m } else { m };
        assert_eq!((f64::from(x), x.is_sign_negative()), (want, b >> 15 == 1), "{b:#x}");
    }
}

#[test]
fn truncated_anywhere_is_an_error_that_says_so() {
    let (_dir, path) = save(&sample());
    let whole = std::fs::read(&path).unwrap();
    for n in 0..whole.len() {
        let e = error(&whole[..n]);
        assert!(e.contains("truncated") || e.contains("8 or more"), "{n}: {e}");
    }
    let n = whole.len();
    assert_eq!(
        error(&whole[..n - 1]),
        format!("FILE: truncated: header says tensor b ends at byte {n}, file has {}", n - 1)
    );
    let mut longer = whole;
    longer.push(0);
    assert_eq!(
        error(&longer),
        format!("FILE: the last tensor ends at byte {n}, file has {}", n + 1)
    );
}

#[test]
fn crafted_headers() {
    let t = |shape: &str, from: u64, to: u64| {
        format!(r#"{{"t":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}}}"#)
    };
    assert!(error(&crafted("[]", 0)).contains("bad safetensors header"));
    assert!(error(&crafted("", 0)).contains("bad safetensors header"));
    assert!(error(&crafted("{\"t\":3}", 0)).contains("bad safetensors header"));
    assert!(error(&crafted(&"[".repeat(100_000), 0)).contains("bad safetensors header"));
    assert!(error(&crafted(&format!(r#"{{"t":{}}}"#, "[".repeat(100_000)), 0)).contains("header"));
    assert!(error(&crafted(&t("[2,2]", 0, 12), 12)).contains("FILE: tensor t: its data goes from"));
    assert!(error(&crafted(&t("[1]", 4, 8), 8)).contains("starts at byte 4, 0 was expected"));
    assert!(error(&crafted(&t("[1]", 0, u64::MAX), 8)).contains("tensor t"));
    assert!(
        error(&crafted(&t("[4611686018427387904]", 0, 0), 0)).contains("larger than any memory")
    );
    assert!(
        error(&crafted(&t("[4611686018427387904,4]", 0, 4), 4)).contains("larger than any memory")
    );
    let huge = 1u64 << 60;
    assert!(error(&crafted(&t(&format!("[{huge}]"), 0, huge * 4), 4)).contains("larger than any"));
    let huge = 1u64 << 50;
    assert!(error(&crafted(&t(&format!("[{huge}]"), 0, huge * 4), 4)).contains("truncated"));
    let twice = r#"{"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
    assert!(error(&crafted(twice, 0)).contains("tensor t stands there twice"));
    let f8 = r#"{"t":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#;
    assert!(error(&crafted(f8, 1)).starts_with("FILE: tensor t: element type F8_E4M3; "));
    let u64 = r#"{"t":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}"#;
    let mut bytes = crafted(u64, 0);
    bytes.extend(u64::MAX.to_le_bytes());
    assert_eq!(error(&bytes), "FILE: tensor t: element 0 does not fit a 64-bit integer");
    assert!(error(&u64::MAX.to_le_bytes()).contains("not a safetensors file: a header of"));
    let (_dir, path) = write(&crafted("{}", 0));
    assert_eq!(load_arrays(&path).unwrap(), []);
}

#[test]
fn saving_refuses_what_could_not_be_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let fail = |arrays: &[Array]| {
        let refs: Vec<_> = arrays.iter().map(Array::as_ref).collect();
        let e = save_arrays(&path, &refs, &BTreeMap::new()).unwrap_err();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        e.to_string()
    };
    let mut a = sample().remove(0);
    assert!(fail(&[a.clone(), a.clone()]).contains("two tensors have this name"));
    a.shape = vec![usize::MAX, 2];
    assert!(fail(std::slice::from_ref(&a)).contains("does not fit 6 numbers"));
    a.shape = vec![6];
    a.name = "__metadata__".into();
    assert!(fail(&[a]).contains("two tensors have this name"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (_dir, path) = write(&bytes);
        let _ = (load_arrays(&path).is_ok(), array_index(&path).is_ok());
    }

    #[test]
    fn any_header_gives_an_answer(
        dtype in proptest::sample::select(vec!["F32", "F16", "I64", "BOOL", "F4", "F6_E2M3", "U64", "X"]),
        shape in proptest::collection::vec(prop_oneof![0u64..5, any::<u64>()], 0..4),
        from in prop_oneof![0u64..9, any::<u64>()],
        to in prop_oneof![0u64..99, any::<u64>()],
        data in 0usize..99,
    ) {
        let header = format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{from},{to}]}}}}"#);
        let (_dir, path) = write(&crafted(&header, data));
        if let Ok(arrays) = load_arrays(&path) {
            // What is accepted is what it says.
            prop_assert_eq!((from, to), (0, data as u64));
            prop_assert_eq!(arrays.len(), 1);
        }
    }

    #[test]
    fn one_changed_byte_gives_an_answer(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let (_dir, path) = save(&sample());
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        std::fs::write(&path, bytes).unwrap();
        let _ = load_arrays(&path);
    }

    #[test]
    fn any_arrays_round_trip(values in proptest::collection::vec(proptest::collection::vec(any::<i64>(), 0..9), 0..6)) {
        let arrays: Vec<_> = values.into_iter().enumerate().map(|(i, v)| Array {
            name: format!("t{i}"), shape: vec![v.len()], data: ArrayData::I64(v),
        }).collect();
        let (_dir, path) = save(&arrays);
        prop_assert_eq!(load_arrays(&path).unwrap(), arrays);
    }
}
