//! Figures of classes, all from the confusion matrix, as scikit-learn 1.9 computes them.

/// How often each class was taken for each: rows are what is right, columns what was predicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    counts: Vec<Vec<u64>>,
}

/// Precision, recall and F1 of a class; 0 where nothing is to be divided (`zero_division=0`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassFigures {
    /// Share of what was predicted as the class that is of it.
    pub precision: f64,
    /// Share of the class that was predicted.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
    /// Examples of the class.
    pub support: u64,
    /// How often it was predicted.
    pub predicted: u64,
}

impl Confusion {
    /// Of pairs (right, predicted), of `classes` classes.
    ///
    /// # Panics
    /// If a class is not below `classes`.
    pub fn new(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut counts = vec![vec![0; classes]; classes];
        for (right, predicted) in pairs {
            counts[right][predicted] += 1;
        }
        Self { counts }
    }

    /// The counts, [right][predicted].
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// All examples.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    fn right(&self) -> u64 {
        self.counts.iter().enumerate().map(|(i, row)| row[i]).sum()
    }

    fn support(&self, class: usize) -> u64 {
        self.counts[class].iter().sum()
    }

    fn predicted(&self, class: usize) -> u64 {
        self.counts.iter().map(|row| row[class]).sum()
    }

    /// Share that is right: `accuracy_score`.
    pub fn accuracy(&self) -> f64 {
        self.right() as f64 / self.total().max(1) as f64
    }

    /// One class against the others: `precision_recall_fscore_support`.
    pub fn of(&self, class: usize) -> ClassFigures {
        let (hits, support, predicted) =
            (self.counts[class][class], self.support(class), self.predicted(class));
        let share = |of: u64| if of == 0 { 0.0 } else { hits as f64 / of as f64 };
        let both = support + predicted;
        let f1 = if both == 0 { 0.0 } else { 2.0 * hits as f64 / both as f64 };
        ClassFigures { precision: share(predicted), recall: share(support), f1, support, predicted }
    }

    /// Mean F1 of the classes that occur, as right or as predicted: `f1_score(average="macro")`.
    pub fn macro_f1(&self) -> f64 {
        let there: Vec<f64> = (0..self.counts.len())
            .map(|c| self.of(c))
            .filter(|c| c.support + c.predicted > 0)
            .map(|c| c.f1)
            .collect();
        there.iter().sum::<f64>() / there.len().max(1) as f64
    }

    /// Matthews' correlation, of many classes as Gorodkin 2004, eq. 8: `matthews_corrcoef`. 0 where only
    /// one class is right or predicted.
    pub fn matthews(&self) -> f64 {
        let (all, right) = (self.total() as f64, self.right() as f64);
        let classes = 0..self.counts.len();
        let of = |f: &dyn Fn(usize) -> f64| classes.clone().map(f).sum::<f64>();
        let support = |c: usize| self.support(c) as f64;
        let predicted = |c: usize| self.predicted(c) as f64;
        let both = right * all - of(&|c| support(c) * predicted(c));
        let spread =
            (all * all - of(&|c| predicted(c).powi(2))) * (all * all - of(&|c| support(c).powi(2)));
        if spread == 0.0 { 0.0 } else { both / spread.sqrt() }
    }
}
