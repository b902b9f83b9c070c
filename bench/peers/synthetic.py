"""Numbers that app/bench/src/train makes, too: SplitMix64 of a count."""

import numpy


def splitmix64(x):
    with numpy.errstate(over="ignore"):
        z = x + numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        return z ^ (z >> numpy.uint64(31))


def hashes(first, count):
    return splitmix64(numpy.arange(first, first + count, dtype=numpy.uint64))


def token(first, count, below):
    u = (hashes(first, count) >> numpy.uint64(11)) / 2.0**53
    return (below * u * u * u).astype(numpy.int64)


def chosen(first, among, count):
    return numpy.argsort(hashes(first, among), kind="stable")[:count]
