//! A backend that counts kernels and leaves the work to the CPU's: what a second device has to bring.

use std::{cell::RefCell, collections::BTreeMap, sync::LazyLock};

use athanor_tensor::{
    Device, Grads, Ids, Rng, Tape, Tensor, Var,
    backend::{
        self, AdamW, Attention, AttentionSaved, Backend, Binary, CachedAttention, Columns, Cpu,
        CrossEntropy, FeedForward, FeedForwardGradients, FeedForwardSaved, LogProbSaved,
        NormGradients, Normalised, PackedProduct, Product, Projection, RelativeAttention, Unary,
        Weights,
    },
    memory::{Allocator, HostAllocator},
    ops::{self, Activation},
};

use crate::common::{noise, poison};

struct Counting;

/// The device of this backend.
pub fn device() -> Device {
    static DEVICE: LazyLock<Device> = LazyLock::new(|| backend::register(&Counting));
    *DEVICE
}

thread_local! {
    static CALLS: RefCell<BTreeMap<&'static str, usize>> = const { RefCell::new(BTreeMap::new()) };
}

fn count(kernel: &'static str) {
    CALLS.with_borrow_mut(|calls| *calls.entry(kernel).or_default() += 1);
}

/// The kernels that this thread called in `work`, by name, and how often.
fn counted<R>(work: impl FnOnce() -> R) -> (R, Vec<(&'static str, usize)>) {
    CALLS.with_borrow_mut(BTreeMap::clear);
    let result = work();
    (result, CALLS.take().into_iter().collect())
}

macro_rules! forward {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {
        impl Backend for Counting {
            fn allocator(&self) -> &'static dyn Allocator {
                &HostAllocator
            }
            fn name(&self) -> Option<&'static str> {
                Some("counting")
            }
            $(fn $name(&self, $($arg: $ty),*) $(-> $ret)? {
                count(stringify!($name));
                Cpu.$name($($arg),*)
            })*
        }
    };
}

#[rustfmt::skip]
forward! {
    fn convert(x: &Tensor, out: &mut Tensor);
    fn unary(op: Unary, x: &Tensor, y: &mut Tensor);
    fn unary_grad(op: Unary, x: &Tensor, grad: &mut Tensor);
    fn binary(op: Binary, a: &Tensor, b: &Tensor, y: &mut Tensor);
    fn binary_grad(op: Binary, sides: [&Tensor; 2], grad: &Tensor, to: [&mut Tensor; 2]);
    fn add_assign(sum: &mut Tensor, x: &Tensor);
    fn scale(x: &mut Tensor, c: f32);
    fn scale_by(x: &mut Tensor, factor: &Tensor);
    fn weighted_sum(x: &mut Tensor, a: f32, y: &Tensor, b: f32);
    fn sum(x: &Tensor, total: &mut Tensor);
    fn broadcast(value: &Tensor, out: &mut Tensor);
    fn sum_rows(x: &Tensor, sums: &mut Tensor);
    fn sum_squares(x: &Tensor) -> f64;
    fn all_finite(x: &Tensor) -> bool;
    fn dropout(x: &Tensor, key: Rng, p: f32, y: &mut Tensor);
    fn copy_columns(from: (&Tensor, Columns), to: (&mut Tensor, Columns), width: usize);
    fn matmul(product: Product<'_>, out: &mut Tensor);
    fn add_bias(z: &mut Tensor, bias: &Tensor);
    fn packed_product(product: PackedProduct<'_>, out: &mut Tensor) -> bool;
    fn feed_forward(x: &FeedForward<'_>, kept: Option<&mut Tensor>, y: &mut Tensor);
    fn feed_forward_grad(x: &FeedForward<'_>, saved: FeedForwardSaved<'_>, gradients: FeedForwardGradients<'_>);
    fn norm(x: Normalised<'_>, y: &mut Tensor);
    fn add_norm(x: Normalised<'_>, other: &Tensor, sum: &mut Tensor, y: &mut Tensor);
    fn norm_grad(x: Normalised<'_>, grad: &Tensor, gradients: NormGradients<'_>);
    fn gather(table: &Tensor, ids: &Ids, out: &mut Tensor);
    fn scatter_add(table: &mut Tensor, ids: &Ids, skip: Option<i32>, rows: &Tensor);
    fn rotary(x: &Tensor, positions: &Ids, tables: &[Tensor; 2], sign: f32, y: &mut Tensor);
    fn attention(x: &Attention<'_>, out: &mut Tensor, lse: &mut Tensor);
    fn attention_grad(x: &Attention<'_>, saved: AttentionSaved<'_>, to: &mut [Tensor]);
    fn cache_write(cache: &mut Tensor, new: &Tensor, starts: &Ids);
    fn attention_cached(x: &CachedAttention<'_>, out: &mut Tensor);
    fn relative_attention(x: &RelativeAttention<'_>, out: &mut Tensor, lse: &mut Tensor);
    fn relative_attention_grad(x: &RelativeAttention<'_>, saved: AttentionSaved<'_>, to: &mut [Tensor]);
    fn cross_entropy(x: &Projection<'_>, weights: &[f32], to: CrossEntropy<'_>);
    fn log_prob(x: &Projection<'_>, scale: f32, to: [&mut Tensor; 3]);
    fn log_prob_grad(x: &Projection<'_>, saved: LogProbSaved<'_>, gradients: [Option<&mut Tensor>; 2]);
    fn log_softmax(x: &Tensor, y: &mut Tensor);
    fn log_softmax_grad(y: &Tensor, grad: &Tensor, dx: &mut Tensor);
    fn draw(logits: &Tensor, rng: Rng) -> Vec<[i32; 2]>;
    fn adamw(p: &mut Tensor, g: &Tensor, moments: [&mut Tensor; 2], by: AdamW, step: u64);
    fn nesterov(m: &mut Tensor, g: &Tensor, beta: f32, scale: f32, ahead: &mut Tensor);
    fn newton_schulz(g: &Tensor, among: bool, out: &mut Tensor);
}

/// A layer with a loss: its output, its loss and the gradients of its weights.
fn step(device: Device) -> Vec<Vec<f32>> {
    poison();
    let tape = Tape::new();
    let leaf = |shape: &[usize], seed| {
        let values = noise(shape.iter().product(), seed);
        tape.leaf(Tensor::from_slice(device, &values, shape))
    };
    let (x, w, b) = (leaf(&[6, 5], 1), leaf(&[4, 5], 2), leaf(&[4], 3));
    let table = leaf(&[9, 4], 4);
    let targets = Ids::new(device, vec![0, 8, 3, 3, 1, 2], [6]);
    let y = ops::linear(&x, &w, Some(&b), Weights::OutIn, Activation::Gelu);
    let (loss, _) = ops::linear_cross_entropy(&y, &table, &targets, &[0.25; 6]);
    let loss = ops::scale(&loss, 2.0);
    let outputs = [&y, &loss].map(|v: &Var| v.value().to_vec());
    let mut grads = Grads::new();
    tape.backward(&loss, &mut grads);
    let gradients = [&x, &w, &b, &table].map(|v| grads.take(v).unwrap().to_vec());
    outputs.into_iter().chain(gradients).collect()
}

#[test]
fn devices_have_names() {
    let counting = device();
    assert_eq!(Device::by_name("counting"), Ok(counting));
    assert_eq!(Device::by_name("cpu"), Ok(Device::Cpu));
    let error = Device::by_name("plan").unwrap_err().to_string();
    assert_eq!(error, "no device \"plan\"; this build has cpu, counting");
}

/// One kernel a call, none of them the CPU's by its own way, and no value read on the host.
#[test]
fn ops_call_the_kernels_of_their_device() {
    let (counting, calls) = counted(|| step(device()));
    let expected = [
        ("add_bias", 1),
        ("cross_entropy", 1),
        // x·Wᵀ, and the gradients of both.
        ("matmul", 3),
        ("scale_by", 2),
        ("sum_rows", 1),
        ("unary", 2),
        ("unary_grad", 2),
    ];
    assert_eq!(calls, expected);
    let (cpu, calls) = counted(|| step(Device::Cpu));
    assert_eq!(calls, []);
    assert_eq!(counting, cpu);
}

#[test]
#[should_panic(expected = "an op over tensors on")]
fn an_op_over_two_devices_is_refused() {
    let [a, b] = [Device::Cpu, device()].map(|d| Var::constant(Tensor::zeros(d, [2])));
    ops::add(&a, &b);
}
