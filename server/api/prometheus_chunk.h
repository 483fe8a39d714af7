/* Samples as Prometheus' chunks (tsdb/docs/format/chunks.md): what streamed remote reads are answered with.
 *
 *   XOR              u16 samples | varint t, f64 v | uvarint dt, xor v | (dod t, xor v)*
 *   float histogram  u16 samples | u8 resets | zero threshold | varbit schema | spans | spans | custom bounds | varbit t, f64 count, zero count,
 *                    sum, buckets. Each chunk that we write holds one histogram: the first has no differences, and any layout
 *
 * Bits are written from the most significant one on. A dod (delta of deltas) is 0 or 10, 110, 1110, 1111 and 14, 17, 20, 64 bits; an xor is
 * 0 for an equal value, 10 and the bits in the window of the one before, or 11, 5 bits of leading zeros, 6 of length, and the bits.
 * A varbit is 0, or as many ones as its class has (the last without a closing zero) and 3, 6, 9, 12, 18, 25, 56 or 64 bits. */
#ifndef SERVER_API_PROMETHEUS_CHUNK_H
#define SERVER_API_PROMETHEUS_CHUNK_H

#include "query/promql/eval.h"

enum { PROM_CHUNK_XOR = 1, PROM_CHUNK_HISTOGRAM = 2, PROM_CHUNK_FLOAT_HISTOGRAM = 3 }; /* prompb's Chunk.Encoding */
enum { PROM_CHUNK_SAMPLES_MAX = 120 };

/* How many of the samples from `at` on the next chunk takes: floats, at most PROM_CHUNK_SAMPLES_MAX, or one histogram. */
uint32_t prom_chunk_next(const struct pq_samples *s, uint32_t at);
/* A chunk of the n samples from `at` on, as prom_chunk_next says, behind what is in `out`. Its encoding. */
unsigned prom_chunk_put(const struct pq_samples *s, uint32_t at, uint32_t n, struct buf *out);

#endif
