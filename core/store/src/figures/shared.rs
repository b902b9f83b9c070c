//! Figures of several stages.

use super::Unit::{Named, Number, Share};

crate::figures! {
    /// Figures of several stages.
    ALL:
    /// Mean negative log-probability of the right token, in nats (natural logarithm).
    LOSS = "loss", "loss", Named("nats"), Lower;
    /// e to the mean loss of a token: compares only models with the same tokenizer.
    PERPLEXITY = "perplexity", "perplexity", Number, Lower;
    /// Loss in bits, summed over the text and divided by its bytes in UTF-8: comparable between tokenizers.
    BITS_PER_BYTE = "bits_per_byte", "bits per byte", Named("bits"), Lower;
    /// Share of right answers: of hidden tokens, of comparisons, or of labels, whichever the stage learns.
    ACCURACY = "accuracy", "accuracy", Share, Higher;
    /// How much text one token stands for, on average; more means shorter sequences.
    BYTES_PER_TOKEN = "bytes_per_token", "bytes per token", Named("bytes"), Neither;
    /// Euclidean norm of all gradients together, before clipping; spikes announce trouble.
    GRAD_NORM = "grad_norm", "gradient norm", Number, Neither;
    /// The size of the optimiser's step, after warm-up and decay.
    LEARNING_RATE = "learning_rate", "learning rate", Number, Neither;
    /// Tokens that training has read so far.
    TOKENS = "tokens", "tokens read", Named("tokens"), Neither;
    /// Tokens that training reads in a second.
    SPEED = "tokens_per_second", "speed", Named("tokens / s"), Higher;
    /// Floating-point operations of the model in a second, forward and backward.
    FLOPS = "flops_per_second", "operations per second", Named("FLOP / s"), Higher;
    /// Updates so far that were withheld because loss or gradient was not finite.
    WITHHELD = "withheld", "withheld updates", Number, Lower;
}
