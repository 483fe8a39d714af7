/* CRC-32C (Castagnoli), which remote reads frame their messages with. */
#ifndef SERVER_API_CRC32C_H
#define SERVER_API_CRC32C_H

#include "base/core/str.h"

#ifdef __cplusplus
extern "C"
#endif
uint32_t crc32c(struct str s);

#endif
