/* Datagrams on the running reactor. Sending never waits and never fails in place: a datagram arrives once, twice, later than
 * others, or not at all. Nothing yields; everything here is for the reactor that opened the socket. */
#ifndef BASE_RT_DGRAM_H
#define BASE_RT_DGRAM_H

#include "base/rt/addr.h"

enum { DGRAM_BYTES_MAX = 1400 }; /* what passes common networks whole; a longer one that comes is cut or dropped */

struct dgram;
/* From the reactor's loop; bytes are borrowed during the call. May send and close. */
typedef void dgram_fn(struct dgram *d, const struct io_addr *from, const uint8_t *bytes, size_t n);
/* ERR_INVALID: not a numeric address. ERR_IO names address and reason. Port 0: any, dgram_port tells. */
MUST_CHECK err_t dgram_open(const char *addr, uint16_t port, dgram_fn *fn, void *user, struct dgram **out);
uint16_t dgram_port(const struct dgram *d);
void *dgram_user(const struct dgram *d);
void dgram_send(struct dgram *d, const struct io_addr *to, const void *bytes, size_t n);
/* No call of fn comes after this. The stop of the runtime does it too. */
void dgram_close(struct dgram *d);

#endif
