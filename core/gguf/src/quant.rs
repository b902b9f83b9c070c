//! Element types and their blocks: ggml-quants.c of llama.cpp, `dequantize_row_*` and
//! `quantize_row_q8_0_ref`.

use half::{bf16, f16};

/// An element type, its blocks of `block()` numbers in `bytes()` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, non_camel_case_types)]
pub enum Type {
    F32,
    F16,
    BF16,
    Q4_0,
    Q5_0,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

const ALL: [(Type, u32, &str, usize, usize); 9] = [
    (Type::F32, 0, "F32", 1, 4),
    (Type::F16, 1, "F16", 1, 2),
    (Type::BF16, 30, "BF16", 1, 2),
    (Type::Q4_0, 2, "Q4_0", 32, 18),
    (Type::Q5_0, 6, "Q5_0", 32, 22),
    (Type::Q8_0, 8, "Q8_0", 32, 34),
    (Type::Q4_K, 12, "Q4_K", 256, 144),
    (Type::Q5_K, 13, "Q5_K", 256, 176),
    (Type::Q6_K, 14, "Q6_K", 256, 210),
];

impl Type {
    /// The types that we write.
    pub const WRITTEN: [Self; 4] = [Self::F32, Self::F16, Self::BF16, Self::Q8_0];

    fn row(self) -> (Type, u32, &'static str, usize, usize) {
        // `ALL` has every variant.
        ALL.into_iter().find(|r| r.0 == self).unwrap_or(ALL[0])
    }

    pub(crate) fn from_id(id: u32) -> Option<Self> {
        ALL.iter().find(|r| r.1 == id).map(|r| r.0)
    }

    /// Its name in ggml.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// By its name in ggml, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        ALL.iter().find(|r| r.2.eq_ignore_ascii_case(name)).map(|r| r.0)
    }

    pub(crate) fn id(self) -> u32 {
        self.row().1
    }

    /// Numbers in a block.
    pub fn block(self) -> usize {
        self.row().3
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        self.row().4
    }

    /// llama.cpp's `general.file_type` of a file that is mostly of this type.
    pub(crate) fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::BF16 => 32,
            _ => 7,
        }
    }
}

/// The numbers of whole blocks of `data`.
pub(crate) fn dequantise(kind: Type, data: &[u8]) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len() / kind.bytes() * kind.block());
    for b in data.chunks_exact(kind.bytes()) {
        match kind {
            Type::F32 => out.push(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Type::F16 => out.push(scale(b)),
            Type::BF16 => out.push(bf16::from_le_bytes([b[0], b[1]]).to_f32()),
            Type::Q4_0 => {
                let d = scale(b);
                let part = |shift: u8| {
                    b[2..18].iter().map(move |q| d * (f32::from((q >> shift) & 15) - 8.0))
                };
                out.extend(part(0).chain(part(4)));
            }
            Type::Q5_0 => {
                let d = scale(b);
                let high = u32::from_le_bytes([b[2], b[3], b[4], b[5]]);
                out.extend((0..32).map(|i| {
                    let low = (b[6 + i % 16] >> (4 * (i / 16))) & 15;
                    d * (f32::from(low | (((high >> i) & 1) << 4) as u8) - 16.0)
                }));
            }
            Type::Q8_0 => {
                let d = scale(b);
                out.extend(b[2..34].iter().map(|&q| d * f32::from(q as i8)));
            }
            Type::Q4_K => four_or_five(b, None, &b[16..144], &mut out),
            Type::Q5_K => four_or_five(b, Some(&b[16..48]), &b[48..176], &mut out),
            Type::Q6_K => six(b, &mut out),
        }
    }
    out
}

/// The f16 that a block begins with.
fn scale(b: &[u8]) -> f32 {
    f16::from_le_bytes([b[0], b[1]]).to_f32()
}

/// Q4_K and, with the fifth bits `high`, Q5_K: eight groups of 32, each with a scale and a minimum.
fn four_or_five(b: &[u8], high: Option<&[u8]>, low: &[u8], out: &mut Vec<f32>) {
    let (d, dmin) = (scale(b), scale(&b[2..]));
    let packed = &b[4..16];
    for group in 0..8 {
        let (s, m) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            let tail = packed[group + 4];
            (
                (tail & 15) | ((packed[group - 4] >> 6) << 4),
                (tail >> 4) | ((packed[group] >> 6) << 4),
            )
        };
        let (d, m) = (d * f32::from(s), dmin * f32::from(m));
        let (from, shift) = (group / 2 * 32, 4 * (group % 2));
        out.extend((0..32).map(|i| {
            let fifth = high.map_or(0, |h| ((h[i] >> group) & 1) << 4);
            d * f32::from(((low[from + i] >> shift) & 15) | fifth) - m
        }));
    }
}

/// Q6_K: sixteen groups of 16, each with a signed scale.
fn six(b: &[u8], out: &mut Vec<f32>) {
    let d = scale(&b[208..]);
    for i in 0..256 {
        let (half, place) = (i / 128, i % 128);
        let low = (b[half * 64 + place % 64] >> (4 * (place / 64))) & 15;
        let high = (b[128 + half * 32 + place % 32] >> (2 * (place / 32))) & 3;
        let q = f32::from(low | (high << 4)) - 32.0;
        out.push(d * f32::from(b[192 + i / 16] as i8) * q);
    }
}

/// `values` as blocks of a type of [`Type::WRITTEN`]; a whole number of blocks.
pub(crate) fn quantise(kind: Type, values: &[f32], out: &mut Vec<u8>) {
    match kind {
        Type::F16 => out.extend(values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes())),
        Type::BF16 => out.extend(values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes())),
        Type::Q8_0 => {
            for block in values.chunks_exact(32) {
                let most = block.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                let d = most / 127.0;
                let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
                out.extend(f16::from_f32(d).to_le_bytes());
                // `as` rounds to nearest here because of `round`, half away from zero as in C.
                out.extend(block.iter().map(|&v| (v * inverse).round() as i8 as u8));
            }
        }
        _ => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_types_come_back() {
        let values: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.0) * 0.11).collect();
        for kind in Type::WRITTEN {
            let mut bytes = Vec::new();
            quantise(kind, &values, &mut bytes);
            let back = dequantise(kind, &bytes);
            let off = values.iter().zip(&back).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            let limit = match kind {
                Type::F32 => 0.0,
                Type::F16 => 2e-3,
                _ => 0.5 * 3.52 / 127.0 + 1e-3,
            };
            assert!(off <= limit, "{kind:?}: {off}");
        }
    }
}
