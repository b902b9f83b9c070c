//! Sequences side by side in rows, kept apart by a document mask: no padding but at the ends of rows.

use athanor_data::pack;
use athanor_models::Input;
use athanor_tensor::{Device, Ids, ops::Mask};

/// Rows of sequences as a model's input. Each sequence sees itself alone and counts its positions
/// from 0.
pub struct Packed {
    /// The input, [rows, longest row].
    pub input: Input,
    /// For each sequence, the place of its first token among all, [rows · time].
    pub starts: Vec<usize>,
}

impl Packed {
    /// Packs sequences into rows of at most `context` tokens; a longer one has a row of its own.
    pub fn new(sequences: &[&[u32]], context: usize, device: Device) -> Self {
        let lengths: Vec<usize> = sequences.iter().map(|s| s.len()).collect();
        let groups = pack(&lengths, context);
        let rows: Vec<Vec<&[u32]>> =
            groups.iter().map(|g| g.iter().map(|&i| sequences[i]).collect()).collect();
        let packed = Self::rows(&rows, device);
        let mut starts = vec![0; sequences.len()];
        for (i, start) in groups.into_iter().flatten().zip(packed.starts) {
            starts[i] = start;
        }
        Self { starts, ..packed }
    }

    /// Rows that were packed already; `starts` are in the rows' order.
    pub fn rows(rows: &[Vec<&[u32]>], device: Device) -> Self {
        let time = rows.iter().map(|r| r.iter().map(|s| s.len()).sum()).max().unwrap_or(0).max(1);
        let count = rows.len() * time;
        let (mut ids, mut documents, mut positions) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        let mut starts = Vec::new();
        for row in rows {
            let end = ids.len() + time;
            for (document, sequence) in row.iter().enumerate() {
                starts.push(ids.len());
                ids.extend(sequence.iter().map(|&t| t as i32));
                documents.resize(ids.len(), document as i32);
                positions.extend(0..sequence.len() as i32);
            }
            // Padding is a document of its own; which token it is does not matter.
            documents.resize(end, row.len() as i32);
            positions.resize(end, 0);
            ids.resize(end, 0);
        }
        let shape = [rows.len(), time];
        let mut input = Input::causal(device, ids, rows.len(), time);
        input.positions = Ids::new(device, positions, shape);
        input.mask = Mask { documents: Some(Ids::new(device, documents, shape)), ..Mask::causal() };
        Self { input, starts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_stay_whole_and_apart() {
        let sequences: [&[u32]; 4] = [&[1, 2, 3], &[4, 5, 6, 7, 8], &[9], &[10, 11]];
        let packed = Packed::new(&sequences, 6, Device::Cpu);
        let (rows, time) = packed.input.sizes();
        assert_eq!((rows, time), (2, 6));
        let ids = packed.input.ids.host();
        let documents = packed.input.mask.documents.as_ref().map(|d| d.host().to_vec()).unwrap();
        let mut seen = vec![0; rows * time];
        for (sequence, &start) in sequences.iter().zip(&packed.starts) {
            for (i, &token) in sequence.iter().enumerate() {
                assert_eq!(ids[start + i], token as i32);
                assert_eq!(packed.input.positions.host()[start + i], i as i32);
                assert_eq!(documents[start + i], documents[start]);
                seen[start + i] += 1;
            }
        }
        assert!(seen.iter().all(|&n| n <= 1));
        assert_eq!(seen.iter().sum::<i32>(), 11);
    }
}
