//! Figures and fields of several stages.

use super::describe::objects;

crate::figures! {
    /// The figures that stages and the report share, in the report's order: those of several stages first.
    ALL
    of "" {
        /// Mean negative log-probability of the right token, in nats (natural logarithm).
        LOSS = "loss", "loss", "nats", Lower;
        /// e to the mean loss of a token: compares only models with the same tokenizer.
        PERPLEXITY = "perplexity", "perplexity", "", Lower;
        /// Loss in bits, summed over the text and divided by its bytes in UTF-8: comparable between tokenizers.
        BITS_PER_BYTE = "bits_per_byte", "bits per byte", "bits", Lower;
        /// Share of right answers: of hidden tokens, of comparisons, or of labels, whichever the stage learns.
        ACCURACY = "accuracy", "accuracy", "share", Higher;
        /// Bytes of text in a token, on average; more means shorter sequences.
        BYTES_PER_TOKEN = "bytes_per_token", "bytes per token", "bytes", Neither;
        /// Euclidean norm of all gradients together, before clipping; spikes announce trouble.
        GRAD_NORM = "grad_norm", "gradient norm", "", Neither;
        /// The size of the optimiser's step, after warm-up and decay.
        LEARNING_RATE = "learning_rate", "learning rate", "", Neither;
        /// Tokens that training has read so far.
        TOKENS = "tokens", "tokens read", "tokens", Neither;
        /// Tokens that training reads in a second.
        SPEED = "tokens_per_second", "speed", "tokens / s", Higher;
        /// Floating-point operations of the model in a second, forward and backward.
        FLOPS = "flops_per_second", "operations per second", "FLOP / s", Higher;
        /// Updates so far that were withheld because loss or gradient was not finite.
        WITHHELD = "withheld", "withheld updates", "", Lower;
    }
    of "corpus" {
        /// How many documents have how many tokens.
        DOCUMENT_LENGTH = "lengths", "document lengths", "tokens in a document", Neither;
        /// Different words among the first n words of the corpus. A curve that flattens early means repetition.
        VOCABULARY_GROWTH = "growth", "growth of the vocabulary", "different words", Neither;
        /// Probability that two documents with this Jaccard similarity share a band, so that they are compared (Leskovec et al. 2014, section 3.4).
        PAIR_CHANCE = "curve", "MinHash: chance to find a pair", "probability", Neither;
        /// How surprising a document is to a small model of the sources that the recipe calls good, document by document.
        DOCUMENT_PERPLEXITY = "percentiles", "perplexity under the good sources' model", "perplexity", Neither;
    }
    of "pretrain" {
        /// Loss of a guess that knows only how frequent tokens are, at the hidden tokens of held-out text.
        UNIGRAM_LOSS = "unigram_loss", "loss by frequency", "nats", Lower;
        /// Share of the hidden tokens that are the most frequent token.
        UNIGRAM_ACCURACY = "unigram_accuracy", "right guesses by frequency", "share", Higher;
        /// Loss of a guess by the counts of pairs of tokens, from the token before.
        BIGRAM_LOSS = "bigram_loss", "loss by the token before", "nats", Lower;
        /// Share of the hidden tokens that most often follow the token before.
        BIGRAM_ACCURACY = "bigram_accuracy", "right guesses by the token before", "share", Higher;
        /// Loss of a guess by the counts of pairs of tokens, from the tokens before and after.
        BOTH_SIDES_LOSS = "both_sides_loss", "loss by both neighbours", "nats", Lower;
        /// Share of the hidden tokens that the tokens before and after let one guess.
        BOTH_SIDES_ACCURACY = "both_sides_accuracy", "right guesses by both neighbours", "share", Higher;
        /// Loss of the answer whether the second segment follows the first (Devlin et al. 2019).
        PAIRS_LOSS = "pairs_loss", "loss of segment pairs", "nats", Lower;
        /// Share of segment pairs for which the model says rightly whether the second follows the first.
        PAIRS_ACCURACY = "pairs_accuracy", "right answers about segment pairs", "share", Higher;
        /// Share of the held-out segment pairs that have the commoner answer.
        PAIRS_MAJORITY = "pairs_majority", "the commoner answer about segment pairs", "share", Neither;
        /// Loss of the small model that writes replaced tokens (Clark et al. 2020), at the hidden tokens.
        GENERATOR_LOSS = "generator_loss", "generator's loss", "nats", Lower;
        /// Share of the hidden tokens that the generator guesses.
        GENERATOR_ACCURACY = "generator_accuracy", "generator's right guesses", "share", Higher;
        /// Share of tokens that have the commoner answer, replaced or not: what no knowledge reaches.
        MAJORITY = "majority", "the commoner answer", "share", Neither;
        /// Share of the tokens called replaced that were replaced.
        PRECISION = "precision", "precision", "share", Higher;
        /// Share of the replaced tokens that were found.
        RECALL = "recall", "recall", "share", Higher;
        /// Harmonic mean of precision and recall of replaced tokens.
        F1 = "f1", "F1", "share", Higher;
    }
    of "reward" {
        /// Share of held-out pairs in which the reward model scores the text that people preferred higher; 50 % is chance.
        HELDOUT_ACCURACY = "heldout_accuracy", "held-out accuracy", "share", Higher;
        /// Ridge regression of the texts' mean ratings on TF-IDF word weights, fitted on the same training texts: what can be known without a language model.
        TFIDF_ACCURACY = "tfidf_accuracy", "TF-IDF baseline", "share", Higher;
        /// Expected calibration error: distance between predicted and observed shares in bins, weighted by pairs (Naeini et al. 2015). Of the pairs that the model calls 80 % sure, are 80 % right?
        ECE = "ece", "ECE", "share", Lower;
        /// Difference of the mean ratings of a pair's texts. People agree about pairs with a large gap, and a model should, too.
        GAP = "gap", "gap between the two texts' ratings", "", Neither;
        /// Probability with which the reward model expects people to prefer the first text of a pair.
        PREDICTED = "predicted", "predicted probability", "share", Neither;
        /// Share of such pairs in which people preferred the first text.
        OBSERVED = "observed", "observed share", "share", Neither;
    }
    of "reinforce" {
        /// Mean score of what the policy writes.
        REWARD = "reward", "reward", "", Higher;
        /// Standard deviation of the scores of what the policy writes.
        REWARD_STD = "reward_std", "standard deviation of rewards", "", Neither;
        /// Kullback-Leibler divergence of the policy from the reference model over a whole text, in nats: how far it has moved. Reward against KL shows what each nat bought; a curve that goes right without going up is being over-optimised.
        KL = "kl", "KL", "nats", Neither;
        /// Mean entropy of the next-token distribution, in nats; a fall to 0 means that the policy always writes the same.
        ENTROPY = "entropy", "entropy", "nats per token", Neither;
        /// Share of tokens with a probability ratio outside PPO's trust interval (Schulman et al. 2017, eq. 7).
        CLIP_FRACTION = "clip_fraction", "clip fraction", "share of tokens", Neither;
        /// 1 − Var(return − value) / Var(return): 1 is a perfect value function, 0 is no better than the mean.
        EXPLAINED_VARIANCE = "explained_variance", "explained variance", "", Higher;
        /// Clipped surrogate loss of the policy, the mean over an iteration's updates.
        POLICY_LOSS = "policy_loss", "policy loss", "", Lower;
        /// Half the squared error of the values, the mean over an iteration's updates.
        VALUE_LOSS = "value_loss", "value loss", "", Lower;
        /// Different pairs of neighbouring words divided by all of them, all texts together; a Chinese character counts as a word. A fall means repetition (Li et al. 2016).
        DISTINCT2 = "distinct2", "distinct-2", "share", Neither;
        /// Mean number of tokens that the policy writes in an answer.
        LENGTH = "length", "length", "tokens", Neither;
        /// Share of answers that come to their end before the limit.
        FINISHED = "finished", "finished answers", "share", Neither;
        /// Difference between a token's log-probability when it was written and when training computes it again; should be near 0.
        LOGPROB_GAP = "logprob_gap", "log-probability gap", "nats", Lower;
        /// How much more the policy prefers the chosen text to the rejected one than the reference does: the difference of β·ln(π / π_ref) (Rafailov et al. 2023).
        MARGIN = "margin", "margin", "β times the log-probability ratio", Higher;
    }
}

objects! {
    /// The fields of every stage that trains.
    Training {
        /// Seconds of work, all sessions.
        seconds: Option<f64>, "s";
        /// Parameters of the model.
        parameters: Option<u64>, "";
        /// Tokens that training read.
        tokens: Option<u64>, "tokens";
    }

    /// The memory of a stage.
    Memory {
        /// The forecast of the memory that the stage needs; null if it was not made.
        expected_memory_bytes: Option<u64>, "bytes";
        /// Greatest memory of the process; null if the system does not say.
        resident_memory_bytes: Option<u64>, "bytes";
        /// Greatest memory of tensors.
        peak_memory_bytes: Option<u64>, "bytes";
    }
}
