//! Elementwise kernels.

use super::{
    math,
    parallel::{self, rows},
    simd::simd,
};
use crate::backend::{Binary, Unary};

/// sqrt(2/π) and the cubic's weight of the tanh form of GELU.
const GELU_A: f32 = 0.797_884_6;
const GELU_B: f32 = 0.044_715;

#[inline(always)]
fn map(x: &[f32], out: &mut [f32], f: impl Fn(f32) -> f32) {
    for (o, &v) in out.iter_mut().zip(x) {
        *o = f(v);
    }
}

#[inline(always)]
fn map2(x: &[f32], y: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    let n = out.len();
    for ((o, &a), &b) in out.iter_mut().zip(&x[..n]).zip(&y[..n]) {
        *o = f(a, b);
    }
}

#[inline(always)]
fn log_sigmoid(v: f32) -> f32 {
    v.min(0.0) - math::ln_1p(math::exp(-v.abs()))
}

/// GELU's tanh form and its slope. With u the argument of tanh, (1 + tanh u)/2 is sigmoid(2u).
#[inline(always)]
fn gelu_tanh(v: f32) -> (f32, f32) {
    let square = GELU_B * v * v;
    let s = math::sigmoid(2.0 * GELU_A * (v + v * square));
    let inner = 2.0 * GELU_A + 6.0 * GELU_A * square;
    (v * s, s + v * s * (1.0 - s) * inner)
}

/// x·Φ(x) and its slope Φ(x) + x·φ(x). The exponential of Φ's approximation (Abramowitz and Stegun
/// 7.1.26, as in [`math::erf`]) is the density's.
#[inline(always)]
fn gelu(v: f32) -> (f32, f32) {
    let e = math::exp(-0.5 * (v * v));
    let t = 1.0 / (1.0 + (0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2) * v.abs());
    let tail = 0.5 * math::erf_tail(t) * e;
    let below = if v < 0.0 { tail } else { 1.0 - tail };
    (v * below, below + v * (0.398_942_3 * e))
}

#[inline(always)]
fn silu(v: f32) -> (f32, f32) {
    let s = math::sigmoid(v);
    (v * s, s + v * s * (1.0 - s))
}

#[inline(always)]
fn relu(v: f32) -> (f32, f32) {
    (if v < 0.0 { 0.0 } else { v }, if v > 0.0 { 1.0 } else { 0.0 })
}

#[inline(always)]
fn tanh(v: f32) -> (f32, f32) {
    let t = math::tanh(v);
    (t, 1.0 - t * t)
}

simd! {
    fn unary_piece(op: Unary, x: &[f32], out: &mut [f32]) {
        match op {
            Unary::Exp => map(x, out, math::exp),
            Unary::Log => map(x, out, f32::ln),
            Unary::Sigmoid => map(x, out, math::sigmoid),
            Unary::LogSigmoid => map(x, out, log_sigmoid),
            Unary::Square => map(x, out, |v| v * v),
            Unary::Tanh => map(x, out, math::tanh),
            Unary::Gelu => map(x, out, |v| gelu(v).0),
            Unary::GeluTanh => map(x, out, |v| gelu_tanh(v).0),
            Unary::Silu => map(x, out, |v| silu(v).0),
            Unary::Relu => map(x, out, |v| relu(v).0),
            Unary::Scale(c) => map(x, out, |v| v * c),
            Unary::Offset(c) => map(x, out, |v| v + c),
            // Selects instead of f32::clamp, which asserts lo <= hi inside the loop; NaN passes.
            Unary::Clamp(lo, hi) => map(x, out, |v| if v < lo { lo } else if v > hi { hi } else { v }),
        }
    }

    /// out = grad · op'(x), in place over `grad`.
    fn unary_grad_piece(op: Unary, x: &[f32], grad: &mut [f32]) {
        #[inline(always)]
        fn times(x: &[f32], grad: &mut [f32], slope: impl Fn(f32) -> f32) {
            for (g, &v) in grad.iter_mut().zip(x) {
                *g *= slope(v);
            }
        }
        match op {
            Unary::Exp => times(x, grad, math::exp),
            Unary::Log => times(x, grad, |v| 1.0 / v),
            Unary::Sigmoid => times(x, grad, |v| { let s = math::sigmoid(v); s * (1.0 - s) }),
            Unary::LogSigmoid => times(x, grad, |v| math::sigmoid(-v)),
            Unary::Square => times(x, grad, |v| 2.0 * v),
            Unary::Tanh => times(x, grad, |v| tanh(v).1),
            Unary::Gelu => times(x, grad, |v| gelu(v).1),
            Unary::GeluTanh => times(x, grad, |v| gelu_tanh(v).1),
            Unary::Silu => times(x, grad, |v| silu(v).1),
            Unary::Relu => times(x, grad, |v| relu(v).1),
            Unary::Scale(c) => times(x, grad, |_| c),
            Unary::Offset(_) => {}
            Unary::Clamp(lo, hi) => times(x, grad, |v| if v < lo || v > hi { 0.0 } else { 1.0 }),
        }
    }

    fn binary_piece(op: Binary, a: &[f32], b: &[f32], out: &mut [f32]) {
        match op {
            Binary::Add => map2(a, b, out, |a, b| a + b),
            Binary::Sub => map2(a, b, out, |a, b| a - b),
            Binary::Mul => map2(a, b, out, |a, b| a * b),
            Binary::Div => map2(a, b, out, |a, b| a / b),
            Binary::Min => map2(a, b, out, |a, b| if b < a || b.is_nan() { b } else { a }),
            Binary::Max => map2(a, b, out, |a, b| if b > a || b.is_nan() { b } else { a }),
            Binary::SwiGlu => map2(a, b, out, |a, b| a * math::sigmoid(a) * b),
        }
    }

    /// Gradients with respect to both sides.
    fn binary_grad_piece(op: Binary, a: &[f32], b: &[f32], g: &[f32], da: &mut [f32], db: &mut [f32]) {
        #[inline(always)]
        fn each(a: &[f32], b: &[f32], g: &[f32], da: &mut [f32], db: &mut [f32], f: impl Fn(f32, f32, f32) -> (f32, f32)) {
            let n = g.len();
            let (a, b, da, db) = (&a[..n], &b[..n], &mut da[..n], &mut db[..n]);
            for i in 0..n {
                (da[i], db[i]) = f(a[i], b[i], g[i]);
            }
        }
        match op {
            Binary::Add => each(a, b, g, da, db, |_, _, g| (g, g)),
            Binary::Sub => each(a, b, g, da, db, |_, _, g| (g, -g)),
            Binary::Mul => each(a, b, g, da, db, |a, b, g| (g * b, g * a)),
            Binary::Div => each(a, b, g, da, db, |a, b, g| (g / b, -g * a / (b * b))),
            // At a tie the gradient goes to the first, as the forward pass takes it.
            Binary::Min => each(a, b, g, da, db, |a, b, g| if b < a || b.is_nan() { (0.0, g) } else { (g, 0.0) }),
            Binary::Max => each(a, b, g, da, db, |a, b, g| if b > a || b.is_nan() { (0.0, g) } else { (g, 0.0) }),
            Binary::SwiGlu => each(a, b, g, da, db, |a, b, g| {
                let s = math::sigmoid(a);
                (g * b * s * (1.0 + a * (1.0 - s)), g * a * s)
            }),
        }
    }

    fn add_into_piece(sum: &mut [f32], x: &[f32]) {
        for (s, &v) in sum.iter_mut().zip(x) {
            *s += v;
        }
    }

    fn bias_piece(z: &mut [f32], bias: &[f32]) {
        for row in z.chunks_exact_mut(bias.len()) {
            for (z, &b) in row.iter_mut().zip(bias) {
                *z += b;
            }
        }
    }

    /// z += bias, y = op(z).
    fn biased_piece(op: Unary, z: &mut [f32], bias: &[f32], y: &mut [f32]) {
        #[inline(always)]
        fn each(z: &mut [f32], bias: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
            for (z, y) in z.chunks_exact_mut(bias.len()).zip(y.chunks_exact_mut(bias.len())) {
                for ((z, y), &b) in z.iter_mut().zip(y).zip(bias) {
                    *z += b;
                    *y = f(*z);
                }
            }
        }
        match op {
            Unary::Gelu => each(z, bias, y, |v| gelu(v).0),
            Unary::GeluTanh => each(z, bias, y, |v| gelu_tanh(v).0),
            Unary::Silu => each(z, bias, y, |v| silu(v).0),
            Unary::Relu => each(z, bias, y, |v| relu(v).0),
            other => {
                bias_piece(z, bias);
                unary_piece(other, z, y);
            }
        }
    }

    /// y = op(z), grad *= op'(z).
    fn both_piece(op: Unary, z: &[f32], y: &mut [f32], grad: &mut [f32]) {
        #[inline(always)]
        fn each(z: &[f32], y: &mut [f32], grad: &mut [f32], f: impl Fn(f32) -> (f32, f32)) {
            let n = z.len();
            for ((&z, y), g) in z.iter().zip(&mut y[..n]).zip(&mut grad[..n]) {
                let (value, slope) = f(z);
                *y = value;
                *g *= slope;
            }
        }
        match op {
            Unary::Gelu => each(z, y, grad, gelu),
            Unary::GeluTanh => each(z, y, grad, gelu_tanh),
            Unary::Silu => each(z, y, grad, silu),
            Unary::Relu => each(z, y, grad, relu),
            Unary::Tanh => each(z, y, grad, tanh),
            other => {
                unary_piece(other, z, y);
                unary_grad_piece(other, z, grad);
            }
        }
    }

    fn column_sum_piece(x: &[f32], sums: &mut [f32]) {
        for row in x.chunks_exact(sums.len()) {
            for (s, &v) in sums.iter_mut().zip(row) {
                *s += v;
            }
        }
    }

    fn dropout_piece(x: &[f32], out: &mut [f32], key: crate::Rng, first: usize, below: u32, scale: f32) {
        let mut words = [0u32; 64];
        for (i, (o, x)) in out.chunks_mut(64).zip(x.chunks(64)).enumerate() {
            let lanes = key.blocks16((first / 4 + 16 * i) as u64);
            for (j, word) in words.iter_mut().enumerate() {
                *word = lanes[j % 4][j / 4];
            }
            for ((o, &x), &w) in o.iter_mut().zip(x).zip(&words) {
                *o = if w < below { 0.0 } else { x * scale };
            }
        }
    }
}

/// out = op(x)
pub(crate) fn unary(op: Unary, x: &[f32], out: &mut [f32]) {
    rows(out, 1, |i, out| unary_piece(op, &x[i..], out));
}

/// grad *= op'(x)
pub(crate) fn unary_grad(op: Unary, x: &[f32], grad: &mut [f32]) {
    rows(grad, 1, |i, grad| unary_grad_piece(op, &x[i..], grad));
}

/// out = op(a, b)
pub(crate) fn binary(op: Binary, a: &[f32], b: &[f32], out: &mut [f32]) {
    rows(out, 1, |i, out| binary_piece(op, &a[i..], &b[i..], out));
}

/// Gradients of `binary`.
pub(crate) fn binary_grad(
    op: Binary,
    a: &[f32],
    b: &[f32],
    g: &[f32],
    da: &mut [f32],
    db: &mut [f32],
) {
    super::parallel::rows2(da, 1, db, 1, |i, da, db| {
        let n = da.len();
        binary_grad_piece(op, &a[i..], &b[i..], &g[i..i + n], da, db);
    });
}

/// sum += x
pub(crate) fn add_into(sum: &mut [f32], x: &[f32]) {
    rows(sum, 1, |i, sum| add_into_piece(sum, &x[i..]));
}

/// x *= c
pub(crate) fn scale(x: &mut [f32], c: f32) {
    rows(x, 1, |_, x| x.iter_mut().for_each(|v| *v *= c));
}

/// x = a·x + b·y
pub(crate) fn weighted_sum(x: &mut [f32], a: f32, y: &[f32], b: f32) {
    rows(x, 1, |i, x| x.iter_mut().zip(&y[i..]).for_each(|(x, &y)| *x = a * *x + b * y));
}

/// Adds `bias` to every row.
pub(crate) fn add_bias(z: &mut [f32], bias: &[f32]) {
    rows(z, bias.len(), |_, z| bias_piece(z, bias));
}

/// z += bias on every row, y = op(z): in one pass, while a row is near.
pub(crate) fn biased(op: Unary, z: &mut [f32], bias: &[f32], y: &mut [f32]) {
    let width = bias.len();
    super::parallel::rows2(z, width, y, width, |_, z, y| biased_piece(op, z, bias, y));
}

/// y = op(z), grad *= op'(z).
pub(crate) fn both(op: Unary, z: &[f32], y: &mut [f32], grad: &mut [f32]) {
    super::parallel::rows2(y, 1, grad, 1, |i, y, grad| {
        both_piece(op, &z[i..i + y.len()], y, grad);
    });
}

/// Sum over rows of `width`.
pub(crate) fn sum_rows(x: &[f32], width: usize) -> Vec<f32> {
    let n = x.len().checked_div(width).unwrap_or(0);
    super::parallel::column_sums(n, width, |from, to, sums| {
        column_sum_piece(&x[from * width..to * width], sums)
    })
}

/// Zeroes each element with probability `p` and scales the rest by 1/(1-p). The same key gives the
/// same choice, so the backward pass is this function on the gradient.
pub(crate) fn dropout(x: &[f32], out: &mut [f32], key: crate::Rng, p: f32) {
    let below = (f64::from(p) * 4_294_967_296.0) as u32;
    let scale = 1.0 / (1.0 - p);
    rows(out, 4, |i, out| dropout_piece(&x[i * 4..], out, key, i * 4, below, scale));
}

/// Sum of all values: fixed blocks, then the blocks in order.
pub(crate) fn total(x: &[f32]) -> f32 {
    simd! { fn piece(x: &[f32]) -> f32 { math::sum(x) } }
    block_sums(x, piece) as f32
}

/// Sum of squares, in f64 over fixed blocks.
pub(crate) fn total_squares(x: &[f32]) -> f64 {
    simd! { fn piece(x: &[f32]) -> f32 { math::sum_squares(x, 0.0) } }
    block_sums(x, piece)
}

/// Σ piece(block) over blocks of fixed size, added up in order.
fn block_sums(x: &[f32], piece: impl Fn(&[f32]) -> f32 + Sync) -> f64 {
    const SIZE: usize = 16 * 1024;
    let mut sums = vec![0.0f32; x.len().div_ceil(SIZE)];
    parallel::chunks(&mut sums, 4, |i, sums| {
        for (sum, block) in sums.iter_mut().zip(x[4 * SIZE * i..].chunks(SIZE)) {
            *sum = piece(block);
        }
    });
    sums.into_iter().map(f64::from).sum()
}
