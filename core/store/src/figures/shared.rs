//! Figures of several stages.

use super::Unit::{Named, Number, Share};

crate::figures! {
    /// Figures of several stages.
    ALL:
    /// Mean loss.
    LOSS = "loss", "loss", Named("nats"), Lower,
        "Mean negative log-probability of the right token, in nats (natural logarithm).";
    /// e to the mean loss.
    PERPLEXITY = "perplexity", "perplexity", Number, Lower,
        "e to the mean loss of a token: compares only models with the same tokenizer.";
    /// Loss by bytes.
    BITS_PER_BYTE = "bits_per_byte", "bits per byte", Named("bits"), Lower,
        "Loss in bits, summed over the text and divided by its bytes in UTF-8: comparable between tokenizers.";
    /// Right answers.
    ACCURACY = "accuracy", "accuracy", Share, Higher,
        "Share of right answers: of hidden tokens, of comparisons, or of labels, whichever the stage learns.";
    /// Text of a token.
    BYTES_PER_TOKEN = "bytes_per_token", "bytes per token", Named("bytes"), Neither,
        "How much text one token stands for, on average; more means shorter sequences.";
    /// Norm of all gradients.
    GRAD_NORM = "grad_norm", "gradient norm", Number, Neither,
        "Euclidean norm of all gradients together, before clipping; spikes announce trouble.";
    /// Learning rate.
    LEARNING_RATE = "learning_rate", "learning rate", Number, Neither,
        "The size of the optimiser's step, after warm-up and decay.";
    /// Tokens so far.
    TOKENS = "tokens", "tokens read", Named("tokens"), Neither,
        "Tokens that training has read so far.";
    /// Tokens in a second.
    SPEED = "tokens_per_second", "speed", Named("tokens / s"), Higher,
        "Tokens that training reads in a second.";
    /// Operations in a second.
    FLOPS = "flops_per_second", "operations per second", Named("FLOP / s"), Higher,
        "Floating-point operations of the model in a second, forward and backward.";
    /// Updates that were not made.
    WITHHELD = "withheld", "withheld updates", Number, Lower,
        "Updates so far that were withheld because loss or gradient was not finite.";
}
