//! Every kernel at sizes drawn by chance: forward and backward within 1e-5 of an f64 reference, relative to
//! the greatest value of the output or the gradient (at least a tenth of the greatest of all of the op's;
//! Newton-Schulz 2e-5), and the same bytes on one thread and on two. All of it once more with the
//! instructions that the processor has beside its widest.

mod attention;
mod dense;
mod losses;
mod optim;

use std::sync::LazyLock;

use athanor_tensor::{Rng, Var};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::common::*;

/// Pools of one thread and of two.
pub static POOLS: LazyLock<[ThreadPool; 2]> =
    LazyLock::new(|| [1, 2].map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap()));

const NEAR: Near = Near { forward: 1e-5, backward: 1e-5, least: 0.1, slopes: 6 };

/// Numbers drawn one after the other.
pub struct Draw(Rng, u64);

impl Draw {
    /// Goes through the cases of a test, with numbers drawn one after the other.
    pub fn cases(name: &str, count: u64, mut check: impl FnMut(&mut Self, u64)) {
        let mut draw = Self(Rng::new(2027).fork(name), 0);
        (0..count).for_each(|case| check(&mut draw, case));
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.1 += 1;
        self.0.below(self.1, n as u64) as usize
    }

    /// From 1 on; one in three is small.
    pub fn size(&mut self, most: usize) -> usize {
        let most = if self.below(3) == 0 { most.min(9) } else { most };
        1 + self.below(most)
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        self.1 += 1;
        low + (high - low) * self.0.uniform(self.1)
    }

    /// Normal values of a shape.
    pub fn normal(&mut self, shape: &[usize]) -> In {
        normal(shape, 1000 + self.below(1 << 20) as u64)
    }
}

/// [`run`] on one thread and on two, to the same bytes.
pub fn run_twice(name: &str, inputs: &[In], op: impl Fn(&[Var]) -> Vec<Var> + Sync) -> Given {
    let [one, two] = [0, 1].map(|n| POOLS[n].install(|| run(name, inputs, &op)));
    let bits = |given: &Given| -> Vec<Vec<u32>> {
        let all = given.outputs.iter().chain(&given.gradients);
        all.map(|x| x.iter().map(|v| v.to_bits()).collect()).collect()
    };
    assert!(bits(&one) == bits(&two), "{name}: other bytes on two threads");
    one
}

pub fn strict(
    name: &str,
    inputs: &[In],
    op: impl Fn(&[Var]) -> Vec<Var> + Sync,
    reference: impl Fn(&[Vec<f64>]) -> Vec<Vec<f64>>,
) {
    compare(name, inputs, &NEAR, &run_twice(name, inputs, op), reference);
}

/// This program once more, its kernels held to narrower instructions. On processors that lack the named
/// ones it is the same once more.
#[test]
fn narrower_instructions() {
    const VARIABLE: &str = "ATHANOR_SIMD";
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    for level in ["avx2", "plain"] {
        let mut command = std::process::Command::new(&program);
        let done = command.args(["random::", "bare_products"]).env(VARIABLE, level).output();
        let done = done.unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{level}: {said}");
        assert!(said.contains("random::dense::linear"), "{level}: {said}");
    }
}
