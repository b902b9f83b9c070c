"""TF-IDF with linear models in scikit-learn: the bar for the reward stage.

    python bench/peers/tfidf_reward.py evaluate RUN/reward [--json OUT.json]
    python bench/peers/tfidf_reward.py prepare --ratings human_ratings.jsonl.gz --out FOLDER

`evaluate` reads what the reward stage writes,

    texts.jsonl          {"id", "split": "train"|"heldout", "group", "text", "mean", "error"}, error
                         being the variance of the mean rating
    pairs.heldout.jsonl  {"better": id, "worse": id, "gap", "confidence"}

fits on the train texts and prints, for each model, how many held-out pairs it orders as the raters
did, in all, by group and by gap. Each model's hyperparameters are chosen by cross-validation on the
train texts alone, by the same pair accuracy on pairs drawn inside the left-out fold (first the
n-grams, then the strength of regularisation); the held-out pairs are scored once.

    ridge      Ridge regression on the mean rating
    logistic   LogisticRegression on the sign of the mean rating
    svr        LinearSVR on the mean rating
    pairwise   LogisticRegression on feature differences of train pairs (a linear Bradley-Terry model)

`prepare` makes the two files from a file of ratings ({"id", "domain", "text", "ratings": [..]}) for
use without a run: held out by a hash of the trimmed text, pairs inside a domain, with a gap in mean
rating of at least --min-gap and a confidence Phi(gap / sqrt(s1²/n1 + s2²/n2)) of at least
--min-confidence.
"""

import argparse
import gzip
import hashlib
import json
import math
import pathlib
import time

import numpy
import scipy.sparse
import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.svm import LinearSVR

GAP_EDGES = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, math.inf]
# Punctuation and case carry feeling ("!!!", "GREAT"); runs of the same mark stay one token.
TOKEN = r"(?u)\w+(?:'\w+)?|[!?.…:;()]+|[^\w\s]"

FEATURES = {
    "words": dict(ngram_range=(1, 1), min_df=1, token_pattern=r"(?u)\b\w\w+\b"),
    "words+punctuation": dict(ngram_range=(1, 1), min_df=1, token_pattern=TOKEN),
    "1-2-grams": dict(ngram_range=(1, 2), min_df=1, token_pattern=r"(?u)\b\w\w+\b"),
    "1-2-grams+punctuation": dict(ngram_range=(1, 2), min_df=1, token_pattern=TOKEN),
}
GRIDS = {
    "ridge": [0.03, 0.1, 0.3, 1.0, 3.0],
    "logistic": [1.0, 3.0, 10.0, 30.0, 100.0],
    "svr": [0.1, 0.3, 1.0, 3.0],
    "pairwise": [0.3, 1.0, 3.0, 10.0],
}


class Texts:
    def __init__(self, records):
        self.text = [r["text"] for r in records]
        self.group = numpy.array([r["group"] for r in records])
        self.mean = numpy.array([r["mean"] for r in records], dtype=float)
        self.error = numpy.array([r["error"] for r in records], dtype=float)

    def __len__(self):
        return len(self.text)


def confidence(texts, a, b):
    """Phi(gap / standard error of the gap) for arrays of indices."""
    gap = numpy.abs(texts.mean[a] - texts.mean[b])
    error = numpy.sqrt(texts.error[a] + texts.error[b])
    z = gap / numpy.maximum(error, 1e-9)
    return numpy.array([0.5 * (1.0 + math.erf(value / math.sqrt(2.0))) for value in z])


def draw_pairs(texts, members, partners, seed, min_gap, min_confidence):
    """Random pairs inside a group as rows (better, worse); each text draws `partners` others."""
    random = numpy.random.default_rng(seed)
    members = numpy.asarray(members)
    pairs = []
    for group in numpy.unique(texts.group[members]):
        inside = members[texts.group[members] == group]
        a = numpy.repeat(inside, partners)
        b = random.choice(inside, size=len(a))
        pairs.append(numpy.stack([a, b], axis=1))
    pairs = numpy.concatenate(pairs)
    pairs = numpy.unique(numpy.sort(pairs, axis=1), axis=0)
    a, b = pairs[:, 0], pairs[:, 1]
    gap = texts.mean[a] - texts.mean[b]
    keep = (a != b) & (numpy.abs(gap) >= min_gap) & (confidence(texts, a, b) >= min_confidence)
    pairs, gap = pairs[keep], gap[keep]
    pairs[gap < 0] = pairs[gap < 0][:, ::-1]
    return pairs


def pair_accuracy(scores, pairs):
    """Share of pairs in which the better text has the higher score; a tie counts one half."""
    difference = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    return float(numpy.mean((difference > 0) + 0.5 * (difference == 0)))


def fit_predict(model, strength, train_x, train, test_x, train_pairs):
    if model == "ridge":
        return Ridge(alpha=strength).fit(train_x, train.mean).predict(test_x)
    if model == "svr":
        return LinearSVR(C=strength, loss="squared_epsilon_insensitive", dual=False, max_iter=2000).fit(
            train_x, train.mean
        ).predict(test_x)
    if model == "logistic":
        return LogisticRegression(C=strength, max_iter=500).fit(train_x, train.mean > 0).decision_function(test_x)
    if model == "pairwise":
        difference = train_x[train_pairs[:, 0]] - train_x[train_pairs[:, 1]]
        sign = numpy.where(numpy.arange(len(train_pairs)) % 2 == 0, 1.0, -1.0)
        difference = scipy.sparse.diags(sign) @ difference
        fitted = LogisticRegression(C=strength, max_iter=500, fit_intercept=False).fit(difference, sign > 0)
        return fitted.decision_function(test_x)
    raise ValueError(model)


def subset(texts, index):
    part = Texts.__new__(Texts)
    part.text = [texts.text[i] for i in index]
    part.group, part.mean, part.error = (array[index] for array in (texts.group, texts.mean, texts.error))
    return part


def read_jsonl(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def evaluate(arguments):
    folder = pathlib.Path(arguments.folder)
    records = read_jsonl(folder / "texts.jsonl")
    train = Texts([r for r in records if r["split"] == "train"])
    heldout_records = [r for r in records if r["split"] == "heldout"]
    heldout = Texts(heldout_records)
    place = {r["id"]: i for i, r in enumerate(heldout_records)}
    marked = read_jsonl(folder / "pairs.heldout.jsonl")
    pairs = numpy.array([[place[p["better"]], place[p["worse"]]] for p in marked])
    gaps = numpy.array([p["gap"] for p in marked])
    everything = numpy.arange(len(train))
    min_gap, min_confidence = gaps.min(), min(p["confidence"] for p in marked)
    print(f"{len(train)} train texts, {len(heldout)} held-out texts, {len(pairs)} held-out pairs")

    folds = []
    for fit, left in KFold(arguments.folds, shuffle=True, random_state=0).split(everything):
        fold_train, fold_test = subset(train, fit), subset(train, left)
        folds.append(
            (
                fold_train,
                fold_test,
                draw_pairs(fold_train, numpy.arange(len(fit)), 3, 1, min_gap, min_confidence),
                draw_pairs(fold_test, numpy.arange(len(left)), 10, 2, min_gap, min_confidence),
            )
        )
    train_pairs = draw_pairs(train, everything, 3, 1, min_gap, min_confidence)

    models = arguments.models.split(",")
    results = []
    fold_features = {}

    def cross_validate(model, features, strength):
        if features not in fold_features:
            fold_features[features] = []
            for fold_train, fold_test, _, _ in folds:
                vectorizer = TfidfVectorizer(sublinear_tf=True, **FEATURES[features])
                fitted = vectorizer.fit_transform(fold_train.text)
                fold_features[features].append((fitted, vectorizer.transform(fold_test.text)))
        accuracies = [
            pair_accuracy(fit_predict(model, strength, train_x, fold_train, test_x, fold_pairs), test_pairs)
            for (fold_train, _, fold_pairs, test_pairs), (train_x, test_x) in zip(folds, fold_features[features])
        ]
        return float(numpy.mean(accuracies)), features, strength

    for model in models:
        # The features at the middle strength, then the strength with these features.
        grid = GRIDS[model]
        best = max(cross_validate(model, features, grid[len(grid) // 2]) for features in FEATURES)
        best = max([best] + [cross_validate(model, best[1], strength) for strength in grid])
        started = time.perf_counter()
        cross_validated, features, strength = best
        vectorizer = TfidfVectorizer(sublinear_tf=True, **FEATURES[features])
        train_x = vectorizer.fit_transform(train.text)
        scores = fit_predict(model, strength, train_x, train, vectorizer.transform(heldout.text), train_pairs)
        group = heldout.group[pairs[:, 0]]
        result = {
            "model": model,
            "features": features,
            "strength": strength,
            "columns": train_x.shape[1],
            "cross_validated_accuracy": cross_validated,
            "accuracy": pair_accuracy(scores, pairs),
            "seconds": time.perf_counter() - started,
            "by_group": [
                {"group": str(g), "pairs": int((group == g).sum()), "accuracy": pair_accuracy(scores, pairs[group == g])}
                for g in numpy.unique(group)
            ],
            "by_gap": [
                {
                    "from": low,
                    "to": None if math.isinf(high) else high,
                    "pairs": int(((gaps >= low) & (gaps < high)).sum()),
                    "accuracy": pair_accuracy(scores, pairs[(gaps >= low) & (gaps < high)]),
                }
                for low, high in zip(GAP_EDGES, GAP_EDGES[1:])
                if ((gaps >= low) & (gaps < high)).any()
            ],
        }
        results.append(result)
        print(
            f"{model:9} {result['accuracy']:.4f}  (cross-validated {cross_validated:.4f}; {features}, {strength}, "
            f"{train_x.shape[1]} columns)"
        )
        print("    by group: " + ", ".join(f"{g['group']} {g['accuracy']:.4f} of {g['pairs']}" for g in result["by_group"]))
        print("    by gap:   " + ", ".join(f"{g['from']}+ {g['accuracy']:.4f} of {g['pairs']}" for g in result["by_gap"]))
    # The best is chosen by cross-validation too, not by its held-out figure.
    best = max(results, key=lambda result: result["cross_validated_accuracy"])
    print(f"tfidf_accuracy {best['accuracy']:.4f} ({best['model']}, chosen by cross-validation)")
    if arguments.json:
        report = {
            "tfidf_accuracy": best["accuracy"],
            "tfidf_model": best["model"],
            "texts_train": len(train),
            "texts_heldout": len(heldout),
            "pairs_heldout": len(pairs),
            "versions": {"scikit-learn": sklearn.__version__, "numpy": numpy.__version__},
            "models": results,
        }
        pathlib.Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n")


def prepare(arguments):
    records = []
    opener = gzip.open if arguments.ratings.endswith(".gz") else open
    seen = set()
    with opener(arguments.ratings, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            text = record["text"].strip()
            if (record["domain"], text) in seen:
                continue
            seen.add((record["domain"], text))
            ratings = numpy.array(record["ratings"], dtype=float)
            # As core/data's `heldout`, so that a run holds out the same texts.
            digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
            records.append(
                {
                    "id": record["id"],
                    "split": "heldout" if digest % 1000 < arguments.per_thousand else "train",
                    "group": record["domain"],
                    "text": text,
                    "mean": round(float(ratings.mean()), 6),
                    "error": round(float(ratings.var(ddof=1)) / len(ratings), 9),
                }
            )
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    texts = Texts(records)
    members = [i for i, r in enumerate(records) if r["split"] == "heldout"]
    pairs = draw_pairs(texts, members, arguments.partners, 0, arguments.min_gap, arguments.min_confidence)
    sure = confidence(texts, pairs[:, 0], pairs[:, 1])
    with open(out / "texts.jsonl", "w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    with open(out / "pairs.heldout.jsonl", "w", encoding="utf-8") as file:
        for (better, worse), p in zip(pairs, sure):
            gap = round(records[better]["mean"] - records[worse]["mean"], 6)
            pair = {"better": records[better]["id"], "worse": records[worse]["id"], "gap": gap, "confidence": round(p, 6)}
            file.write(json.dumps(pair) + "\n")
    print(f"{len(records)} texts, {len(members)} of them held out, {len(pairs)} held-out pairs")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("evaluate", help="fit on the train texts, score the held-out pairs")
    command.add_argument("folder", help="RUN/reward")
    command.add_argument("--json", help="write the figures here")
    command.add_argument("--folds", type=int, default=3)
    command.add_argument("--models", default="ridge,logistic,svr,pairwise")
    command.set_defaults(run=evaluate)
    command = commands.add_parser("prepare", help="make the two files from ratings")
    command.add_argument("--ratings", required=True)
    command.add_argument("--out", required=True)
    command.add_argument("--per-thousand", type=int, default=100)
    command.add_argument("--partners", type=int, default=8)
    command.add_argument("--min-gap", type=float, default=0.5)
    command.add_argument("--min-confidence", type=float, default=0.95)
    command.set_defaults(run=prepare)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
