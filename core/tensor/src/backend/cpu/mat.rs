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

/// How many elements the view of a matrix spans.
pub(super) fn reach(rows: usize, cols: usize, rs: usize, cs: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * rs + (cols - 1) * cs + 1 }
}
