/* Bounded decompression of bodies: gzip (RFC 1952, several members allowed), zlib ("deflate", RFC 1950) and
 * zstd (RFC 8878, several frames allowed, window at most 8 MiB as RFC 9659 asks).
 *
 * Work is bounded by the output; on a fiber long inputs pass rt_checkpoint() every 1 MiB or less, whose
 * ERR_CANCELED or ERR_TIMEOUT is then the answer. */
#ifndef BASE_NET_INFLATE_H
#define BASE_NET_INFLATE_H

#include "base/core/buf.h"

enum inflate_kind { INFLATE_NONE, INFLATE_GZIP, INFLATE_ZLIB, INFLATE_ZSTD };
/* Content-Encoding or grpc-encoding name -> kind; ERR_MEDIA_TYPE names an unknown one. */
MUST_CHECK err_t inflate_kind_of(struct str name, enum inflate_kind *kind);
/* Appends the decompressed bytes to out (whose max is the size limit). ERR_TOO_LARGE past out->max or past
 * 100:1 beyond 1 MiB; ERR_INVALID for broken, truncated or trailing bytes. */
MUST_CHECK err_t inflate_body(enum inflate_kind kind, struct str in, struct buf *out) MAY_YIELD;

#endif
