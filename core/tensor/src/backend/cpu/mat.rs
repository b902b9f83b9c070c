//! Strided views of matrices: what the products read.

/// A strided view of a matrix inside a slice.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    pub data: &'a [f32],
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a> Mat<'a> {
    /// Row-major with `width` columns.
    pub fn new(data: &'a [f32], width: usize) -> Self {
        Self { data, row_stride: width, col_stride: 1 }
    }

    /// The transpose.
    pub fn t(self) -> Self {
        Self { row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// Checks that a matrix of these sizes lies inside the slice.
    ///
    /// # Panics
    /// If it does not.
    pub fn check(&self, what: &str, rows: usize, cols: usize) {
        let end = reach(rows, cols, self.row_stride, self.col_stride);
        assert!(
            end <= self.data.len(),
            "matmul: {what} [{rows}, {cols}] reaches {end} of {}",
            self.data.len()
        );
    }
}

/// Whether a product may use all threads, or runs inside a task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    All,
    One,
}

/// The product alpha · a[m, k] · b[k, n], written or added to what is there.
#[derive(Clone, Copy)]
pub(crate) struct Gemm<'a> {
    /// m, n and k.
    pub sizes: [usize; 3],
    pub a: Mat<'a>,
    pub b: Mat<'a>,
    pub alpha: f32,
    /// Whether it is added.
    pub accumulate: bool,
    pub threads: Threads,
}

impl<'a> Gemm<'a> {
    /// a·b, to be written, on all threads.
    pub fn new(sizes: [usize; 3], a: Mat<'a>, b: Mat<'a>) -> Self {
        Self { sizes, a, b, alpha: 1.0, accumulate: false, threads: Threads::All }
    }

    pub fn scaled(self, alpha: f32) -> Self {
        Self { alpha, ..self }
    }

    pub fn added(self, accumulate: bool) -> Self {
        Self { accumulate, ..self }
    }

    pub fn on(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }
}

/// How many elements the view of a matrix spans.
pub(super) fn reach(rows: usize, cols: usize, rs: usize, cs: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * rs + (cols - 1) * cs + 1 }
}
