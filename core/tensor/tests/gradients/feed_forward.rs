//! Two maps with an activation between; and what is made again instead of kept.

use athanor_tensor::{
    GradSet, Grads, Graph, Params, Tape, Tensor, Var,
    ops::{self, Activation, Affine, Mask, Qkv, Weights},
};

use crate::{
    common::*,
    dense::{linear_reference, stored},
};

pub fn op(v: &[Var], layout: Weights, kind: Activation) -> Var {
    let up = Affine { weight: &v[1], bias: &v[2] };
    let down = Affine { weight: &v[3], bias: &v[4] };
    ops::feed_forward(&v[0], up, down, layout, kind)
}

/// Shapes of both weights for `[in, inner, out]`, and their strides.
pub fn weights(
    layout: Weights,
    [width, inner, out]: [usize; 3],
) -> ([[usize; 2]; 2], [(usize, usize); 2]) {
    let ((up, us), (down, ds)) = (stored(layout, width, inner), stored(layout, inner, out));
    ([up, down], [us, ds])
}

/// Two maps, as [`linear_reference`] has them.
pub fn reference(
    x: &[Vec<f64>],
    [width, inner, out]: [usize; 3],
    [up, down]: [(usize, usize); 2],
    kind: Activation,
) -> Vec<f64> {
    let y = linear_reference(&x[..3], [width, inner], up, kind);
    linear_reference(&[y, x[3].clone(), x[4].clone()], [inner, out], down, Activation::None)
}

#[test]
fn feed_forward() {
    // The last has more rows than one block.
    let sizes = [[1, 1, 1, 1], [3, 5, 17, 2], [65, 3, 33, 7], [4099, 2, 3, 2]];
    for (case, [rows, width, inner, out]) in sizes.into_iter().enumerate() {
        for layout in [Weights::OutIn, Weights::InOut] {
            let kinds =
                if rows < 10 { &Activation::ALL[..] } else { &Activation::ALL[case..case + 1] };
            for &kind in kinds {
                let ([up, down], strides) = weights(layout, [width, inner, out]);
                check(
                    &format!("feed_forward {rows} {width} {inner} {out} {layout:?} {kind:?}"),
                    &[
                        normal(&[rows, width], 1),
                        normal(&up, 2),
                        normal(&[inner], 3),
                        normal(&down, 4),
                        normal(&[out], 5),
                    ],
                    |v| vec![op(v, layout, kind)],
                    |x| vec![reference(x, [width, inner, out], strides, kind)],
                );
            }
        }
    }
}

#[test]
fn feed_forward_of_nothing() {
    poison();
    let tape = Tape::new();
    let leaf = |shape: &[usize]| tape.leaf(Tensor::full(device(), shape, 1.0));
    let v = [leaf(&[0, 5]), leaf(&[3, 5]), leaf(&[3]), leaf(&[2, 3]), leaf(&[2])];
    let mut grads = Grads::new();
    tape.backward(&ops::sum(&op(&v, Weights::OutIn, Activation::Gelu)), &mut grads);
    assert_eq!(grads.take(&v[1]).unwrap().to_vec(), [0.0; 15]);
    assert_eq!(grads.take(&v[3]).unwrap().to_vec(), [0.0; 6]);
    assert_eq!(grads.take(&v[4]).unwrap().to_vec(), [0.0; 2]);
}

/// A block with everything that is made again: norms, maps, both kinds of inner layer, dropout.
fn block(graph: &Graph<'_>, params: &Params) -> Var {
    let get = |name| graph.param(params.find(name).unwrap());
    let x = Var::constant(Tensor::from_slice(device(), &normal(&[12, 8], 50).0, [2, 6, 8]));
    let (gain, bias) = (get("gain"), get("bias8"));
    let x = ops::layer_norm(&x, &gain, Some(&bias), 1e-5);
    let qkv = ops::linear(&x, &get("qkv"), None, Weights::OutIn, Activation::None);
    let y = ops::attention(&Qkv::Packed(&qkv), 2, 2, 0.5, &Mask::causal());
    let (sum, x) = ops::add_layer_norm(&x, &y, &gain, Some(&bias), 1e-5);
    let map = |x: &Var, name| ops::linear(x, &get(name), None, Weights::OutIn, Activation::None);
    let gated = ops::swiglu(&map(&x, "gate"), &map(&x, "up"));
    let gated = ops::dropout(&gated, 0.3, athanor_tensor::Rng::new(3));
    let also = ops::mul(&ops::activate(&map(&x, "gate"), Activation::Gelu), &map(&x, "up"));
    let y = map(&ops::add(&gated, &also), "down");
    let (_, x) = ops::add_rms_norm(&sum, &y, &gain, 1e-5);
    let (w, b, v) = (get("up"), get("bias16"), get("down"));
    let (up, down) = (Affine { weight: &w, bias: &b }, Affine { weight: &v, bias: &bias });
    let y = ops::feed_forward(&x, up, down, Weights::OutIn, Activation::GeluTanh);
    let y = ops::linear(&y, &get("down2"), None, Weights::OutIn, Activation::Tanh);
    ops::sum(&ops::square(&y))
}

#[test]
fn made_again_to_the_byte() {
    let mut params = Params::new();
    for (seed, (name, shape)) in [
        ("gain", vec![8]),
        ("bias8", vec![8]),
        ("bias16", vec![16]),
        ("qkv", vec![24, 8]),
        ("gate", vec![16, 8]),
        ("up", vec![16, 8]),
        ("down", vec![8, 16]),
        ("down2", vec![3, 8]),
    ]
    .into_iter()
    .enumerate()
    {
        let x = normal(&shape, seed as u64);
        params.insert(name, Tensor::from_slice(device(), &x.0, &shape[..]));
    }
    let gradients = |graph: Graph<'_>| {
        poison();
        let loss = block(&graph, &params);
        let mut sums = GradSet::new();
        graph.backward(&loss, &mut sums);
        let all: Vec<Vec<f32>> = sums.iter().map(|(_, g)| g.to_vec()).collect();
        (loss.value().item(), all)
    };
    let kept = gradients(Graph::training(&params));
    assert_eq!(kept.1.len(), params.len());
    assert!(kept.1.iter().flatten().all(|g| g.is_finite()));
    assert!(kept == gradients(Graph::recomputing(&params)));
}
