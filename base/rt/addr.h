/* Addresses of the network: numeric IPv4 or IPv6, and a port. */
#ifndef BASE_RT_ADDR_H
#define BASE_RT_ADDR_H

#include "base/core/err.h"
#include "base/core/types.h"

struct io_addr {
    _Alignas(8) unsigned char bytes[32]; /* sockaddr_in or sockaddr_in6; zeros behind it */
    unsigned n;
};
/* ERR_INVALID: not a numeric address. */
MUST_CHECK err_t io_addr_parse(const char *addr, uint16_t port, struct io_addr *out);
uint16_t io_addr_port(const struct io_addr *a);
enum { IO_ADDR_NAME_MAX = 64 };
/* "127.0.0.1", "::1"; as io_addr_parse takes it. */
void io_addr_host(const struct io_addr *a, char *to, size_t n);
/* "127.0.0.1:4317", "[::1]:4317" */
void io_addr_name(const struct io_addr *a, char *to, size_t n);

#endif
