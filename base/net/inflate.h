/* Bounded decompression of bodies: gzip, zlib ("deflate"), zstd. */
#ifndef BASE_NET_INFLATE_H
#define BASE_NET_INFLATE_H

#include "base/core/buf.h"

enum inflate_kind { INFLATE_NONE, INFLATE_GZIP, INFLATE_ZLIB, INFLATE_ZSTD };
/* Content-Encoding or grpc-encoding name -> kind; ERR_MEDIA_TYPE names an unknown one. */
MUST_CHECK err_t inflate_kind_of(struct str name, enum inflate_kind *kind);
/* Appends the decompressed bytes to out (whose max is the size limit). ERR_TOO_LARGE past out->max or past
 * 100:1 beyond 1 MiB; ERR_INVALID for broken, truncated or trailing bytes. */
MUST_CHECK err_t inflate(enum inflate_kind kind, struct str in, struct buf *out);

#endif
